//! Mutual TLS: a caller needs a certificate that the API knows, or that one of the API's
//! authorities has signed.
//!
//! That the caller has the key of its certificate was checked in the handshake.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::StatusCode;
use moka::sync::Cache;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use tracing::info;
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::chain::{Flow, Middleware, Step};
use crate::error::{AuthRefusal, ProxyError};
use crate::exchange::{Exchange, TlsPeer};
use crate::session::unix_now;
use crate::tls::{self, TlsError};

/// How long it is remembered that an authority has signed a certificate, and how many are.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
const MOST_REMEMBERED: u64 = 10_000;

/// Asks for a certificate.
pub struct ClientCertificate {
    known: HashSet<String>,
    authorities: Vec<TrustAnchor<'static>>,
    signed: Cache<String, ()>,
}

impl ClientCertificate {
    /// The certificates that a definition or the configuration names: PEM files, and ids that
    /// end with the SHA-256 of a certificate.
    pub fn new<'a>(named: impl Iterator<Item = &'a str>) -> Result<Self, TlsError> {
        let mut step = Self {
            known: HashSet::new(),
            authorities: Vec::new(),
            signed: Cache::builder()
                .max_capacity(MOST_REMEMBERED)
                .time_to_live(REMEMBERED_FOR)
                .build(),
        };
        for name in named {
            match fingerprint_in(name) {
                Some(fingerprint) => drop(step.known.insert(fingerprint)),
                None => step.read(&PathBuf::from(name))?,
            }
        }
        Ok(step)
    }

    /// Whether no certificate at all is accepted.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.authorities.is_empty()
    }

    fn read(&mut self, file: &Path) -> Result<(), TlsError> {
        let wrong = |reason: String| TlsError(format!("{}: {reason}", file.display()));
        for certificate in tls::read_certificates(file)? {
            let (_, parsed) = X509Certificate::from_der(&certificate)
                .map_err(|error| wrong(format!("unusable certificate: {error}")))?;
            if parsed.is_ca() {
                let anchor = webpki::anchor_from_trusted_cert(&certificate)
                    .map_err(|error| wrong(format!("unusable authority: {error}")))?;
                self.authorities.push(anchor.to_owned());
            }
            self.known.insert(tls::fingerprint(&certificate));
        }
        Ok(())
    }

    fn check(&self, peer: Option<&TlsPeer>) -> Result<(), String> {
        let Some(peer) = peer else {
            return Err("TLS not enabled".into());
        };
        let Some((certificate, between)) = peer.chain.split_first() else {
            return Err("Client TLS certificate is required".into());
        };
        if self.known.contains(&peer.fingerprint) {
            return match is_over(certificate) {
                true => Err("Certificate has expired".into()),
                false => Ok(()),
            };
        }
        if self.is_signed(certificate, between, &peer.fingerprint) {
            return Ok(());
        }
        Err(format!(
            "Certificate with SHA256 {} not allowed",
            peer.fingerprint
        ))
    }

    fn is_signed(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        fingerprint: &str,
    ) -> bool {
        if self.authorities.is_empty() {
            return false;
        }
        if self.signed.contains_key(fingerprint) {
            return true;
        }
        let Ok(parsed) = EndEntityCert::try_from(certificate) else {
            return false;
        };
        let verified = parsed.verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &self.authorities,
            between,
            UnixTime::now(),
            KeyUsage::client_auth(),
            None,
            None,
        );
        match verified {
            Ok(_) => {
                self.signed.insert(fingerprint.to_owned(), ());
                true
            }
            Err(error) => {
                info!(%error, fingerprint, "No authority of the API vouches for a certificate.");
                false
            }
        }
    }
}

impl Middleware for ClientCertificate {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let checked = self.check(exchange.client.tls.as_deref());
        Step::Done(checked.map(|()| Flow::Continue).map_err(|message| {
            info!(
                api = exchange.api.id,
                message, "Client certificate is refused."
            );
            let refusal = AuthRefusal::new(StatusCode::FORBIDDEN, message);
            ProxyError::Auth(Box::new(refusal))
        }))
    }
}

/// The SHA-256 that an id ends with; the original puts the organisation before it.
fn fingerprint_in(id: &str) -> Option<String> {
    let start = id.len().checked_sub(64)?;
    let hex = id.get(start..)?;
    hex.bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| hex.to_ascii_lowercase())
}

fn is_over(certificate: &CertificateDer<'_>) -> bool {
    // What cannot be read is not trusted.
    X509Certificate::from_der(certificate).map_or(true, |(_, parsed)| {
        parsed.validity().not_after.timestamp() < unix_now()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_end_with_a_fingerprint_and_paths_do_not() {
        let hex = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";
        let lower = Some(hex.to_ascii_lowercase());
        assert_eq!(fingerprint_in(hex), lower);
        assert_eq!(fingerprint_in(&format!("org{hex}")), lower);
        assert_eq!(fingerprint_in("client.pem"), None);
        assert_eq!(fingerprint_in(&format!("{hex}.pem")), None);
        assert_eq!(fingerprint_in("é".repeat(40).as_str()), None);
    }
}

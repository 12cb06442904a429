//! Mutual TLS: a caller needs a certificate that the API knows, or that one of the API's
//! authorities has signed.
//!
//! That the caller has the key of its certificate was checked in the handshake.

use std::collections::HashSet;
use std::time::Duration;

use http::StatusCode;
use moka::sync::Cache;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use tracing::{info, warn};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::certificates::{Found, Material, Sources, fingerprint_in};
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
    /// The certificates that a definition or the configuration names: ids of the store and
    /// PEM files. An id that the store does not have lets nobody in.
    pub fn new<'a>(
        named: impl Iterator<Item = &'a str>,
        sources: &Sources,
    ) -> Result<Self, TlsError> {
        let mut step = Self {
            known: HashSet::new(),
            authorities: Vec::new(),
            signed: Cache::builder()
                .max_capacity(MOST_REMEMBERED)
                .time_to_live(REMEMBERED_FOR)
                .build(),
        };
        for name in named {
            match (sources.find(name)?, fingerprint_in(name)) {
                // The id is the first certificate's; what is behind it only vouches for it.
                (Found::Here(material), Some(_)) => step.take(&material, 1)?,
                (Found::Here(material), None) => step.take(&material, usize::MAX)?,
                (Found::Unknown, Some(fingerprint)) => drop(step.known.insert(fingerprint)),
                (Found::Absent | Found::Unknown, _) => {
                    warn!(
                        id = name,
                        "Certificate is not in the store, so it lets nobody in."
                    );
                }
            }
        }
        Ok(step)
    }

    /// Whether no certificate at all is accepted.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.authorities.is_empty()
    }

    fn take(&mut self, material: &Material, most: usize) -> Result<(), TlsError> {
        let wrong = |reason: String| TlsError(format!("{}: {reason}", material.name));
        if material.chain.is_empty() {
            return Err(wrong("it is a public key and no certificate".into()));
        }
        for certificate in material.chain.iter().take(most) {
            let (_, parsed) = X509Certificate::from_der(certificate)
                .map_err(|error| wrong(format!("unusable certificate: {error}")))?;
            if parsed.is_ca() {
                let anchor = webpki::anchor_from_trusted_cert(certificate)
                    .map_err(|error| wrong(format!("unusable authority: {error}")))?;
                self.authorities.push(anchor.to_owned());
            }
            self.known.insert(tls::fingerprint(certificate));
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

fn is_over(certificate: &CertificateDer<'_>) -> bool {
    // What cannot be read is not trusted.
    X509Certificate::from_der(certificate).map_or(true, |(_, parsed)| {
        parsed.validity().not_after.timestamp() < unix_now()
    })
}

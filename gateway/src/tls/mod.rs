//! TLS, for both sides: towards upstreams (`client`) and towards clients (`server`).
//!
//! What is here is what both need: the library's provider, versions and ciphers by the names
//! that configurations use, and PEM files whose errors name the file.

pub mod client;
pub mod fields;
pub mod server;
pub mod verify;

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer};
use rustls::{ProtocolVersion, SupportedCipherSuite, SupportedProtocolVersion, version};
use tracing::warn;
use x509_parser::prelude::{FromDer, X509Certificate};

/// The versions that there are, by the numbers that configurations use.
const TLS_12: u16 = 771;
const TLS_13: u16 = 772;

/// A setting or file of TLS that cannot be used. The text says which, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(pub String);

/// Which protocol versions and ciphers are spoken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suite<'a> {
    /// The lowest version by its number on the wire, 771 is TLS 1.2; 0 is the default.
    pub min_version: u16,
    /// The highest version; 0 is the default.
    pub max_version: u16,
    /// Ciphers of TLS 1.2 by their IANA names; none means all. Those of TLS 1.3 are always on.
    pub ciphers: &'a [String],
}

// === impl Suite ===

impl Suite<'_> {
    /// The versions that are left. Versions below 1.2 are not spoken at all, so a lower
    /// minimum means 1.2.
    pub fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
        for (name, value) in [("min", self.min_version), ("max", self.max_version)] {
            if !matches!(value, 0 | 769..=TLS_13) {
                return Err(TlsError(format!(
                    "{name}_version {value} is none; 771 is TLS 1.2 and 772 is TLS 1.3"
                )));
            }
        }
        let highest = match self.max_version {
            0 => TLS_13,
            version => version,
        };
        let spoken: Vec<_> = [(TLS_12, &version::TLS12), (TLS_13, &version::TLS13)]
            .into_iter()
            .filter(|(number, _)| (self.min_version..=highest).contains(number))
            .map(|(_, version)| version)
            .collect();
        if spoken.is_empty() {
            return Err(TlsError(format!(
                "min_version {} and max_version {} leave no version of TLS; 771 is TLS 1.2 and \
                 772 is TLS 1.3, older ones are not spoken",
                self.min_version, self.max_version
            )));
        }
        Ok(spoken)
    }

    /// The cryptography with the ciphers that are left.
    pub fn provider(&self) -> Result<Arc<CryptoProvider>, TlsError> {
        let mut provider = crypto::aws_lc_rs::default_provider();
        if !self.ciphers.is_empty() {
            let known = names(&provider.cipher_suites);
            let unknown: Vec<&str> = self.ciphers.iter().map(String::as_str).collect();
            let unknown: Vec<&str> = unknown
                .into_iter()
                .filter(|name| !known.iter().any(|known| same_cipher(known, name)))
                .collect();
            if unknown.len() == self.ciphers.len() {
                return Err(TlsError(format!(
                    "none of the ciphers {} is spoken; those of TLS 1.2 that are: {}",
                    unknown.join(", "),
                    known.join(", ")
                )));
            }
            if !unknown.is_empty() {
                warn!(ciphers = ?unknown, "Ciphers are unknown or too weak, and are left out.");
            }
            provider
                .cipher_suites
                .retain(|suite| is_13(suite) || self.names_cipher(suite));
        }
        Ok(Arc::new(provider))
    }

    fn names_cipher(&self, suite: &SupportedCipherSuite) -> bool {
        let known = format!("{:?}", suite.suite());
        self.ciphers.iter().any(|name| same_cipher(&known, name))
    }
}

fn is_13(suite: &SupportedCipherSuite) -> bool {
    suite.version().version == ProtocolVersion::TLSv1_3
}

/// The library writes the names of TLS 1.3 in its own way.
fn same_cipher(known: &str, name: &str) -> bool {
    let of_13 = known.strip_prefix("TLS13_");
    known == name || of_13.is_some_and(|known| Some(known) == name.strip_prefix("TLS_"))
}

fn names(suites: &[SupportedCipherSuite]) -> Vec<String> {
    let suites = suites.iter();
    suites.map(|suite| format!("{:?}", suite.suite())).collect()
}

/// All certificates of a PEM file, at least one.
pub fn read_certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = read(file)?;
    certificates(&pem).map_err(|reason| at(file, &reason))
}

/// The private key of a PEM file.
pub fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let pem = read(file)?;
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|error| at(file, &format!("no usable private key: {error}")))
}

/// The same, where there need not be one.
pub fn read_key_if_any(file: &Path) -> Result<Option<PrivateKeyDer<'static>>, TlsError> {
    let pem = read(file)?;
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(key) => Ok(Some(key)),
        Err(pem::Error::NoItemsFound) => Ok(None),
        Err(error) => Err(TlsError(error.to_string())),
    }
}

/// A public key in a PEM file, as its DER (`SubjectPublicKeyInfo`).
pub fn read_public_key(file: &Path) -> Result<Vec<u8>, TlsError> {
    let pem = read(file)?;
    let key = SubjectPublicKeyInfoDer::from_pem_slice(&pem);
    let key = key.map_err(|error| at(file, &format!("no usable public key: {error}")))?;
    Ok(key.to_vec())
}

/// The public key of a certificate, as its DER (`SubjectPublicKeyInfo`).
pub fn public_key_of(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(parsed.public_key().raw.to_vec())
}

/// What certificates are named by: the SHA-256 of one in lower-case hex.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    crate::session::key::hex(digest::digest(&digest::SHA256, certificate).as_ref())
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|error| format!("broken certificate: {error}"))?;
    if found.is_empty() {
        return Err("there is no certificate in this PEM file".into());
    }
    Ok(found)
}

fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file)
        .map_err(|error| TlsError(format!("cannot read {}: {error}", file.display())))
}

fn at(file: &Path, reason: &str) -> TlsError {
    TlsError(format!("{}: {reason}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(min_version: u16, max_version: u16) -> Result<usize, TlsError> {
        let suite = Suite {
            min_version,
            max_version,
            ciphers: &[],
        };
        suite.versions().map(|versions| versions.len())
    }

    #[test]
    fn versions_are_those_between_the_two_numbers() {
        for (min, max, expected) in [(0, 0, 2), (769, 0, 2), (771, 771, 1), (772, 0, 1)] {
            assert_eq!(suite(min, max), Ok(expected), "{min} {max}");
        }
        for (min, max, part) in [
            (0, 770, "leave no version"),
            (772, 771, "leave no version"),
            (12, 0, "min_version 12"),
        ] {
            let said = suite(min, max).unwrap_err().to_string();
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn ciphers_are_found_by_name() {
        let left = |names: &[&str]| {
            let ciphers: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let suite = Suite {
                ciphers: &ciphers,
                ..Suite::default()
            };
            suite
                .provider()
                .map(|provider| provider.cipher_suites.len())
        };
        let good = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";
        assert_eq!(left(&[good]), Ok(4), "one of 1.2 and three of 1.3");
        assert_eq!(left(&[good, "TLS_RSA_WITH_RC4_128_SHA"]), Ok(4));
        for name in ["TLS_RSA_WITH_RC4_128_SHA", "ROT13"] {
            let said = left(&[name]).unwrap_err().to_string();
            assert!(said.contains(name) && said.contains(good), "{said}");
        }
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.pem");
        for (text, part) in [
            (None, "cannot read"),
            (Some("hello"), "no certificate"),
            (
                Some("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
                "broken certificate",
            ),
        ] {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let said = read_certificates(&file).unwrap_err().to_string();
            assert!(said.contains(part) && said.contains("x.pem"), "{said}");
        }
        assert!(
            read_key(&file)
                .unwrap_err()
                .0
                .contains("no usable private key")
        );
    }
}

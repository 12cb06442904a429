//! What a file or an entry of the store has: certificates with or without a key, or a public
//! key alone.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use pem::Pem;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use webpki::EndEntityCert;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::sealed;
use crate::session::key::hex;
use crate::session::unix_now;
use crate::tls::{self, TlsError};

/// Certificates and keys that were kept together.
pub struct Material {
    /// The file or the id that it is from.
    pub name: String,
    /// A certificate, and what is between it and its authority. Empty for a public key.
    pub chain: Vec<CertificateDer<'static>>,
    /// A public key without a certificate: its DER (`SubjectPublicKeyInfo`).
    pub public_key: Option<Vec<u8>>,
    key: Key,
    /// The file that the key is from, where it is one of its own.
    key_file: Option<String>,
}

enum Key {
    None,
    Usable(PrivateKeyDer<'static>),
    Unusable(String),
}

impl fmt::Debug for Material {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Material")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Why a text is no certificate that the store takes. The texts are the original's.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Nothing in it is a certificate or a public key.
    #[error("Failed to decode certificate. It should be PEM encoded.")]
    Nothing,
    /// More than one private key.
    #[error("Found multiple private keys")]
    Keys,
    /// It is over.
    #[error("certificate is expired")]
    Expired,
    /// Both kinds in one text.
    #[error("Public keys can't be combined with certificates")]
    Both,
    /// The private key is another certificate's.
    #[error("tls: private key does not match public key")]
    OtherKey,
    /// A certificate that cannot be read.
    #[error("Error while parsing certificate: {0}")]
    Certificate(String),
    /// A private key that cannot be used.
    #[error("tls: failed to parse private key: {0}")]
    Key(String),
}

// === impl Material ===

impl Material {
    /// Reads a PEM file that has at least one certificate.
    pub fn of_file(file: &Path) -> Result<Self, TlsError> {
        let key = match tls::read_key_if_any(file) {
            Ok(Some(key)) => Key::Usable(key),
            Ok(None) => Key::None,
            Err(error) => Key::Unusable(error.0),
        };
        Ok(Self {
            name: file.display().to_string(),
            chain: tls::read_certificates(file)?,
            public_key: None,
            key,
            key_file: None,
        })
    }

    /// Reads a certificate whose key is in another file.
    pub fn of_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self {
            name: certificate.display().to_string(),
            chain: tls::read_certificates(certificate)?,
            public_key: None,
            key: Key::Usable(tls::read_key(key)?),
            key_file: Some(key.display().to_string()),
        })
    }

    /// Reads what the store has under an id.
    pub(super) fn of_store(id: &str, text: &[u8], secret: &str) -> Result<Self, TlsError> {
        let wrong = |reason: &str| TlsError(format!("certificate `{id}` in the store: {reason}"));
        let blocks = pem::parse_many(text).map_err(|error| wrong(&error.to_string()))?;
        let mut read = Self {
            name: id.to_owned(),
            chain: Vec::new(),
            public_key: None,
            key: Key::None,
            key_file: None,
        };
        for block in blocks {
            match block.tag() {
                "CERTIFICATE" => read.chain.push(block.into_contents().into()),
                "PUBLIC KEY" => read.public_key = Some(block.into_contents()),
                tag if tag.ends_with("PRIVATE KEY") => read.key = Key::of(block, secret),
                _ => {}
            }
        }
        match (&read.public_key, read.chain.is_empty()) {
            (None, true) => Err(wrong("there is no certificate in it")),
            _ => Ok(read),
        }
    }

    /// Whether there is a private key, usable or not.
    pub fn has_key(&self) -> bool {
        !matches!(self.key, Key::None)
    }

    /// The certificate with what is between it and its authority, and its key.
    pub fn identity(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let wrong = |reason: &str| TlsError(format!("{}: {reason}", self.name));
        if self.chain.is_empty() {
            return Err(wrong("it is a public key and no certificate"));
        }
        match &self.key {
            Key::Usable(key) => Ok((self.chain.clone(), key.clone_key())),
            Key::None => Err(wrong("no usable private key: there is none")),
            Key::Unusable(reason) => Err(wrong(&format!("no usable private key: {reason}"))),
        }
    }

    /// The same, to be shown to clients; the key is known to be the certificate's.
    pub fn certified(&self) -> Result<Arc<CertifiedKey>, TlsError> {
        let (chain, key) = self.identity()?;
        let certified = CertifiedKey::from_der(chain, key, &default_provider());
        certified.map(Arc::new).map_err(|error| {
            let reason = match error {
                rustls::Error::InconsistentKeys(_) => {
                    format!("is not the key of the certificate in {}", self.name)
                }
                error => error.to_string(),
            };
            let from = self.key_file.as_ref().unwrap_or(&self.name);
            TlsError(format!("{from}: {reason}"))
        })
    }

    /// The names of servers that the certificate is for, in lower case.
    pub fn server_names(&self) -> Result<Vec<String>, TlsError> {
        let wrong = |reason: &str| TlsError(format!("{}: unusable certificate{reason}", self.name));
        let first = self.chain.first().ok_or_else(|| wrong(""))?;
        let leaf = EndEntityCert::try_from(first).map_err(|error| wrong(&format!(": {error}")))?;
        Ok(leaf
            .valid_dns_names()
            .map(str::to_ascii_lowercase)
            .collect())
    }

    /// The SHA-256 in hex that it is known by: of the certificate, or else of the public key.
    pub fn fingerprint(&self) -> String {
        match (self.chain.first(), &self.public_key) {
            (Some(certificate), _) => tls::fingerprint(certificate),
            (None, key) => hex(digest(&SHA256, key.as_deref().unwrap_or_default()).as_ref()),
        }
    }

    /// The public key (`SubjectPublicKeyInfo`), of the certificate where there is one.
    pub fn public_key(&self) -> Option<Vec<u8>> {
        match self.chain.first() {
            None => self.public_key.clone(),
            Some(certificate) => tls::public_key_of(certificate),
        }
    }
}

impl Key {
    fn of(block: Pem, secret: &str) -> Self {
        let der = match sealed::is_sealed(&block) {
            true => sealed::open(&block, secret),
            false => Ok(block.into_contents()),
        };
        let parsed = der.and_then(|der| PrivateKeyDer::try_from(der).map_err(str::to_owned));
        parsed.map_or_else(Self::Unusable, Self::Usable)
    }
}

/// Takes a text for the store apart. Returns the SHA-256 that names it and the text that is
/// stored, in which the private key is encrypted.
pub(super) fn prepare(text: &str, secret: &str) -> Result<(String, String), Unfit> {
    let blocks = pem::parse_many(text).map_err(|_| Unfit::Nothing)?;
    let (mut kept, mut key) = (Vec::new(), None);
    for block in blocks {
        match block.tag() {
            "CERTIFICATE" => {
                check(block.contents())?;
                kept.push(Pem::new("CERTIFICATE", block.contents()));
            }
            "PUBLIC KEY" => kept.push(Pem::new("PUBLIC KEY", block.contents())),
            tag if tag.ends_with("PRIVATE KEY") && key.is_some() => return Err(Unfit::Keys),
            tag if tag.ends_with("PRIVATE KEY") => key = Some(block),
            _ => {}
        }
    }
    let first = kept.first().ok_or(Unfit::Nothing)?;
    if kept.iter().any(|block| block.tag() != first.tag()) {
        return Err(Unfit::Both);
    }
    let id = hex(digest(&SHA256, first.contents()).as_ref());
    if let Some(key) = key {
        if first.tag() != "CERTIFICATE" {
            return Err(Unfit::Both);
        }
        kept.push(fitting(&kept, &key, secret)?);
    }
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    Ok((id, pem::encode_many_config(&kept, config)))
}

/// A private key that belongs to the first of these certificates, encrypted.
fn fitting(chain: &[Pem], key: &Pem, secret: &str) -> Result<Pem, Unfit> {
    if sealed::is_sealed(key) || key.tag().starts_with("ENCRYPTED") {
        return Err(Unfit::Key("it is encrypted".into()));
    }
    let der = PrivateKeyDer::try_from(key.contents().to_vec());
    let der = der.map_err(|reason| Unfit::Key(reason.into()))?;
    let chain = chain.iter().map(|block| block.contents().to_vec().into());
    CertifiedKey::from_der(chain.collect(), der, &default_provider()).map_err(
        |error| match error {
            rustls::Error::InconsistentKeys(_) => Unfit::OtherKey,
            error => Unfit::Key(error.to_string()),
        },
    )?;
    sealed::seal(key.contents(), secret).map_err(Unfit::Key)
}

fn check(certificate: &[u8]) -> Result<(), Unfit> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| Unfit::Certificate(error.to_string()))?;
    match parsed.validity().not_after.timestamp() < unix_now() {
        true => Err(Unfit::Expired),
        false => Ok(()),
    }
}

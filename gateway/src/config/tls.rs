//! `security`: certificates that hold for all APIs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Config;

/// `security`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// What the private keys of the certificate store are encrypted with; empty means
    /// `secret`.
    pub private_certificate_encoding_secret: String,
    /// The public keys that upstreams of all APIs may have, by their host.
    pub pinned_public_keys: BTreeMap<String, String>,
    /// Certificates by what they are for.
    pub certificates: Certificates,
}

/// `security.certificates`: ids of the certificate store, and PEM files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Certificates {
    /// What is shown to upstreams, by their host: certificates with their key.
    pub upstream: BTreeMap<String, String>,
    /// What clients of all APIs with mutual TLS may show, beside those of each API.
    pub apis: Vec<String>,
}

impl Config {
    /// What the private keys of the certificate store are encrypted with.
    pub fn certificate_secret(&self) -> &str {
        match self.security.private_certificate_encoding_secret.as_str() {
            "" => &self.secret,
            own => own,
        }
    }
}

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
    /// When events tell of certificates that end.
    pub certificate_expiry_monitor: ExpiryMonitor,
    /// Certificates by what they are for.
    pub certificates: Certificates,
}

/// `security.certificate_expiry_monitor`; 0 is the default.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExpiryMonitor {
    /// Days before its end from which on a certificate ends soon; 30 by default.
    pub warning_threshold_days: u32,
    /// Seconds between two looks at all certificates; an hour by default.
    pub check_cooldown_seconds: u64,
    /// Seconds in which the same event is not fired again; a day by default.
    pub event_cooldown_seconds: u64,
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
    /// The names of all certificates that the configuration uses.
    pub fn certificate_names(&self) -> impl Iterator<Item = &String> {
        let server = &self.http_server_options;
        let files = server.ssl_certificates.iter().filter(|_| server.use_ssl);
        let common = &self.security.certificates;
        files
            .chain(common.apis.iter())
            .chain(common.upstream.values())
    }

    /// What the private keys of the certificate store are encrypted with.
    pub fn certificate_secret(&self) -> &str {
        match self.security.private_certificate_encoding_secret.as_str() {
            "" => &self.secret,
            own => own,
        }
    }
}

//! What a definition says of the connection to its upstream.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `proxy.transport`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Transport {
    /// Do not check the upstream's certificate.
    pub ssl_insecure_skip_verify: bool,
    /// PEM file of the authorities that vouch for the upstream (an addition).
    pub ssl_ca_file: PathBuf,
    /// The lowest version of TLS, 771 is 1.2; 0 leaves it to the configuration.
    pub ssl_min_version: u16,
    /// The highest version; 0 leaves it to the configuration.
    pub ssl_max_version: u16,
    /// Ciphers of TLS 1.2, by their IANA names; none leaves them to the configuration.
    pub ssl_ciphers: Vec<String>,
}

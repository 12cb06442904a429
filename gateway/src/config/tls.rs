//! `security`: certificates that hold for all APIs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `security`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Security {
    /// Certificates by what they are for.
    pub certificates: Certificates,
}

/// `security.certificates`. Where the original takes ids of its certificate store, these are
/// PEM files.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Certificates {
    /// What is shown to upstreams, by their host: PEM files with certificate and key.
    pub upstream: BTreeMap<String, PathBuf>,
    /// What clients of all APIs with mutual TLS may show, beside those of each API.
    pub apis: Vec<String>,
}

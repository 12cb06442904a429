//! `http_server_options`: how clients are served.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `http_server_options`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpServerOptions {
    /// Let WebSocket upgrades through.
    pub enable_websockets: bool,
    /// A listen path matches whole path segments only.
    pub enable_strict_routes: bool,
    /// Patterns of paths that begin with `/` stand at the beginning of a path.
    pub enable_path_prefix_matching: bool,
    /// Patterns of paths reach to a path's end.
    pub enable_path_suffix_matching: bool,
    /// Addresses and networks of proxies whose `X-Forwarded-For` is believed (an addition).
    pub trusted_proxies: Vec<String>,
    /// Seconds that a client may take to send a request's head, and that a connection may
    /// stay idle.
    pub read_timeout: u64,
    /// Largest request head in bytes.
    pub max_request_header_bytes: usize,
    /// Most header fields of a request.
    pub max_request_headers: usize,
    /// Forward paths with `%2F`. Off, because upstreams disagree on what it means.
    pub allow_encoded_slash: bool,
    /// Speak TLS with clients, on all ports.
    pub use_ssl: bool,
    /// Certificates with the names that they are for.
    pub certificates: Vec<CertificateEntry>,
    /// More certificates: ids of the store, and PEM files that have the key too.
    pub ssl_certificates: Vec<String>,
    /// The lowest version of TLS with clients, 771 is 1.2; 0 is the default.
    pub min_version: u16,
    /// The highest version; 0 is the default.
    pub max_version: u16,
    /// Ciphers of TLS 1.2 with clients, by their IANA names; none means all.
    pub ssl_ciphers: Vec<String>,
    /// Offer HTTP/2 to clients that speak TLS.
    pub enable_http2: bool,
    /// Seconds that a client may take for the handshake (an addition).
    pub tls_handshake_timeout: u64,
    /// Pseudonym in the `Via` field towards upstreams; empty leaves the field out.
    pub via: String,
}

/// One entry of `http_server_options.certificates`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CertificateEntry {
    /// The name that clients ask for, beside those in the certificate.
    pub domain_name: String,
    /// PEM file of the certificate and what is between it and its authority.
    pub cert_file: PathBuf,
    /// PEM file of the key.
    pub key_file: PathBuf,
}

impl Default for HttpServerOptions {
    fn default() -> Self {
        Self {
            enable_websockets: false,
            enable_strict_routes: false,
            enable_path_prefix_matching: false,
            enable_path_suffix_matching: false,
            trusted_proxies: Vec::new(),
            read_timeout: 60,
            max_request_header_bytes: 64 * 1024,
            max_request_headers: 100,
            allow_encoded_slash: false,
            use_ssl: false,
            certificates: Vec::new(),
            ssl_certificates: Vec::new(),
            min_version: 0,
            max_version: 0,
            ssl_ciphers: Vec::new(),
            enable_http2: true,
            tls_handshake_timeout: 10,
            via: "coprocess-gateway".into(),
        }
    }
}

impl HttpServerOptions {
    /// Settings that are there and do nothing, one sentence each.
    pub(super) fn without_effect(&self) -> Option<String> {
        let has_certificates = !self.certificates.is_empty() || !self.ssl_certificates.is_empty();
        (has_certificates && !self.use_ssl).then(|| {
            "http_server_options: its certificates have no effect, because use_ssl is off".into()
        })
    }
}

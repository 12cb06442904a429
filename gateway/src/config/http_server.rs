//! `http_server_options`: how clients are served.

use serde::{Deserialize, Serialize};

/// `http_server_options`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct HttpServerOptions {
    /// Let WebSocket upgrades through.
    pub enable_websockets: bool,
    /// A listen path matches whole path segments only.
    pub enable_strict_routes: bool,
    /// Seconds that a client may take to send a request's head, and that a connection may
    /// stay idle.
    pub read_timeout: u64,
    /// Largest request head in bytes.
    pub max_request_header_bytes: usize,
    /// Most header fields of a request.
    pub max_request_headers: usize,
    /// Forward paths with `%2F`. Off, because upstreams disagree on what it means.
    pub allow_encoded_slash: bool,
    /// Pseudonym in the `Via` field towards upstreams; empty leaves the field out.
    pub via: String,
}

impl Default for HttpServerOptions {
    fn default() -> Self {
        Self {
            enable_websockets: false,
            enable_strict_routes: false,
            read_timeout: 60,
            max_request_header_bytes: 64 * 1024,
            max_request_headers: 100,
            allow_encoded_slash: false,
            via: "coprocess-gateway".into(),
        }
    }
}

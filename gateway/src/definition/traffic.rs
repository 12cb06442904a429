//! What holds for all requests of an API: other origins, callers' addresses.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `CORS`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Cors {
    /// Answer for other origins.
    pub enable: bool,
    /// Origins that may call; empty is all. One `*` in each stands for anything.
    pub allowed_origins: Vec<String>,
    /// Methods that they may use; empty is GET, POST and HEAD.
    pub allowed_methods: Vec<String>,
    /// Headers that they may send; `*` is all.
    pub allowed_headers: Vec<String>,
    /// Headers of answers that their scripts may read.
    pub exposed_headers: Vec<String>,
    /// Cookies and the like may be sent.
    pub allow_credentials: bool,
    /// Seconds that a browser may keep the answer; 0 leaves it to the browser.
    pub max_age: u64,
    /// `OPTIONS` goes to the upstream, past every other step.
    pub options_passthrough: bool,
    /// The original logs more; here it has no effect.
    pub debug: bool,
}

/// One of `response_processors`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ResponseProcessor {
    /// `header_injector`, `response_body_transform` or another one.
    pub name: String,
    /// Its own settings.
    pub options: Value,
}

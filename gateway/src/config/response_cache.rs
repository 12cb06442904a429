//! How many responses a process keeps.

use serde::{Deserialize, Serialize};

/// `local_response_cache`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalResponseCache {
    /// Bytes of all of them.
    pub max_bytes: u64,
    /// Bytes of one; a longer one passes and is not kept.
    pub max_entry_bytes: u64,
}

impl Default for LocalResponseCache {
    fn default() -> Self {
        Self {
            max_bytes: 64 << 20,
            max_entry_bytes: 1 << 20,
        }
    }
}

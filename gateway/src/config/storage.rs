//! `storage`: where keys, sessions and plugin data are kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// Least room that makes sense: below it, not even one session of some size fits.
const LEAST_BYTES: usize = 1024 * 1024;

/// `storage`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageOptions {
    /// Which store; without it the embedded one.
    #[serde(rename = "type")]
    pub kind: Option<StorageType>,
    /// The embedded store's file.
    pub path: PathBuf,
    /// Most bytes of keys and values in the embedded store, or in memory.
    pub max_bytes: usize,
}

/// `storage.type`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageType {
    /// A file of this gateway's own.
    Embedded,
    /// Memory of this process; gone with it.
    Memory,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            kind: None,
            path: "gateway.redb".into(),
            max_bytes: 256 * 1024 * 1024,
        }
    }
}

impl StorageOptions {
    /// Which store to open.
    pub fn kind(&self) -> StorageType {
        self.kind.unwrap_or(StorageType::Embedded)
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |key, reason: String| Err(ConfigError::Value { key, reason });
        if self.path.as_os_str().is_empty() {
            return wrong("storage.path", "it is empty; name a file".into());
        }
        if self.max_bytes < LEAST_BYTES {
            return wrong(
                "storage.max_bytes",
                format!(
                    "{} is too little; give {LEAST_BYTES} or more",
                    self.max_bytes
                ),
            );
        }
        Ok(())
    }
}

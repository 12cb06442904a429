//! `policies`: where policies come from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// `policies`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PolicyOptions {
    /// `file`; nothing means the same.
    pub policy_source: String,
    /// JSON file with a map of policies by id; read where there is no `policy_path`.
    pub policy_record_name: PathBuf,
    /// Folder with one policy in each `*.json`; the admin API writes there.
    pub policy_path: PathBuf,
}

// === impl PolicyOptions ===

impl PolicyOptions {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        match self.policy_source.as_str() {
            "" | "file" => Ok(()),
            other => Err(ConfigError::Value {
                key: "policies.policy_source",
                reason: format!(
                    "`{other}` is not implemented; use `file` with policy_path or \
                     policy_record_name"
                ),
            }),
        }
    }
}

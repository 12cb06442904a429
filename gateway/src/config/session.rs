//! What the configuration says about sessions.

use std::time::Duration;

use super::{Config, ConfigError};
use crate::session::Settings;
use crate::session::key::{HashFunction, KeyNames};

impl Config {
    /// How sessions are named and remembered.
    pub fn sessions(&self) -> Settings {
        let cache = &self.local_session_cache;
        let fresh_for = if cache.disable_cached_session_state {
            Duration::ZERO
        } else {
            Duration::from_secs(cache.cached_session_timeout)
        };
        Settings {
            names: KeyNames {
                hashed: self.hash_keys,
                function: HashFunction::named(&self.hash_key_function),
            },
            min_id_length: self.min_token_length,
            fresh_for,
        }
    }

    /// The lifetime of all sessions, where there is one for all.
    pub fn forced_session_lifetime(&self) -> Option<i64> {
        self.force_global_session_lifetime
            .then_some(self.global_session_lifetime)
    }
}

pub(super) fn validate(config: &Config) -> Result<(), ConfigError> {
    let name = &config.hash_key_function;
    if !name.is_empty() && HashFunction::named(name).is_none() {
        let known = HashFunction::ALL.map(|(known, _)| known).join(", ");
        return Err(ConfigError::Value {
            key: "hash_key_function",
            reason: format!("`{name}` is not one of {known}"),
        });
    }
    Ok(())
}

//! How upstreams are tested.

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// `uptime_tests`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UptimeOptions {
    /// This process tests nothing.
    pub disable: bool,
    /// How it tests.
    pub config: UptimeSettings,
}

/// `uptime_tests.config`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UptimeSettings {
    /// So many failures in a row take a host down, so many successes bring it back; 0 is 3.
    pub failure_trigger_sample_size: u32,
    /// Seconds between two tests of the same kind; 0 is 10.
    pub time_wait: f64,
    /// Most tests at the same time; 0 is 50.
    pub checker_pool_size: usize,
}

/// Most tests at the same time that can be asked for.
const MOST_AT_ONCE: usize = 10_000;

impl UptimeOptions {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let (wait, pool) = (self.config.time_wait, self.config.checker_pool_size);
        if !(0.0..=86_400.0).contains(&wait) {
            return Err(ConfigError::Value {
                key: "uptime_tests.config.time_wait",
                reason: format!("{wait} is not between 0 and 86400 seconds"),
            });
        }
        if pool > MOST_AT_ONCE {
            return Err(ConfigError::Value {
                key: "uptime_tests.config.checker_pool_size",
                reason: format!("{pool} is too many; at most {MOST_AT_ONCE} are possible"),
            });
        }
        Ok(())
    }
}

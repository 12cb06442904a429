//! What is counted of requests.

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// `health_check`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthCheck {
    /// Count what becomes of requests.
    pub enable_health_checks: bool,
    /// How many seconds are looked back; 0 is 60.
    pub health_check_value_timeouts: usize,
}

/// The furthest that can be looked back.
const MOST_SECONDS: usize = 3600;

impl HealthCheck {
    /// How many seconds are looked back.
    pub fn seconds(&self) -> usize {
        match self.health_check_value_timeouts {
            0 => 60,
            seconds => seconds,
        }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let seconds = self.health_check_value_timeouts;
        if seconds > MOST_SECONDS {
            return Err(ConfigError::Value {
                key: "health_check.health_check_value_timeouts",
                reason: format!("{seconds} is too far back; at most {MOST_SECONDS} are possible"),
            });
        }
        Ok(())
    }
}

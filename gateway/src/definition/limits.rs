//! Limits in a definition: the rate of the whole API, and switches for those of keys.

use serde::{Deserialize, Serialize};

/// `global_rate_limit`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GlobalRateLimit {
    /// How many requests; 0 is no limit.
    pub rate: f64,
    /// In how many seconds.
    pub per: f64,
    /// Leave it aside.
    pub disabled: bool,
}

impl GlobalRateLimit {
    /// What is wrong with it, if something is.
    pub fn problem(&self) -> Option<String> {
        if self.disabled || self.rate == 0.0 {
            None
        } else if self.rate < 0.0 {
            Some(format!(
                "global_rate_limit.rate: {} is below 0; give a number of requests, or 0 for no limit",
                self.rate
            ))
        } else if self.per <= 0.0 {
            Some(format!(
                "global_rate_limit.per: {} is no time; give seconds above 0",
                self.per
            ))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_makes_no_sense_is_named() {
        let limit = |rate, per, disabled| GlobalRateLimit {
            rate,
            per,
            disabled,
        };
        for (limit, key) in [
            (limit(0.0, 0.0, false), None),
            (limit(5.0, 1.0, false), None),
            (limit(5.0, 0.0, true), None),
            (limit(5.0, 0.0, false), Some("global_rate_limit.per: 0 ")),
            (limit(5.0, -1.0, false), Some("global_rate_limit.per: -1 ")),
            (limit(-5.0, 1.0, false), Some("global_rate_limit.rate: -5 ")),
        ] {
            let problem = limit.problem();
            let fits = match key {
                Some(key) => problem.as_ref().is_some_and(|said| said.starts_with(key)),
                None => problem.is_none(),
            };
            assert!(fits, "{problem:?}");
        }
    }
}

//! What the configuration says about limits.

use serde::{Deserialize, Serialize};

/// `rate_limit_response_headers`: what `X-RateLimit-*` tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitHeaders {
    /// The quota.
    #[default]
    #[serde(alias = "")]
    Quotas,
    /// The rate; then refusals for it have them too.
    RateLimits,
}

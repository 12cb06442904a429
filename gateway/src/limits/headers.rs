//! `X-RateLimit-*`: what a client is told about its limits.

use coprocess_core::Session;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::quota::QuotaState;
use super::window::RateState;

/// Limit, remaining, reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LimitValues([i64; 3]);

impl From<QuotaState> for LimitValues {
    fn from(quota: QuotaState) -> Self {
        Self([quota.max, quota.remaining, quota.renews])
    }
}

impl From<RateState> for LimitValues {
    /// A reset is told in seconds from now, rounded up: who waits that long gets in.
    fn from(rate: RateState) -> Self {
        let seconds = rate.reset.div_ceil(1_000_000);
        Self([
            rate.limit.into(),
            rate.remaining.into(),
            i64::try_from(seconds).unwrap_or(i64::MAX),
        ])
    }
}

impl From<&Session> for LimitValues {
    fn from(session: &Session) -> Self {
        Self([
            session.quota_max,
            session.quota_remaining,
            session.quota_renews,
        ])
    }
}

impl LimitValues {
    /// The quota of a limit that does not limit.
    pub fn unlimited(max: i64, remaining: i64, renews: i64) -> Self {
        Self([max, remaining, renews])
    }

    /// Writes the three fields.
    pub fn put(self, headers: &mut HeaderMap) {
        static LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
        static REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
        static RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
        for (name, value) in [&LIMIT, &REMAINING, &RESET].into_iter().zip(self.0) {
            let value = if value == 0 {
                HeaderValue::from_static("0")
            } else {
                value.into()
            };
            headers.insert(name.clone(), value);
        }
    }
}

//! A quota: so many requests, until its counter begins anew some time after the first.

use serde::{Deserialize, Serialize};

use crate::session::unix_now;

/// A limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaLimit {
    /// How many requests; at least one.
    pub max: i64,
    /// Seconds after the first request until the counter begins anew; 0 is never.
    pub renewal: i64,
}

/// What a quota tells about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QuotaState {
    /// How many requests there are.
    pub max: i64,
    /// How many of them are left.
    pub remaining: i64,
    /// When the counter begins anew, in Unix seconds; 0 is never.
    pub renews: i64,
}

/// How a quota is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// How many requests were made.
    pub used: i64,
    /// When the counter begins anew, in Unix seconds; 0 is never.
    pub renews: i64,
    /// How many microseconds are left until then.
    #[serde(skip)]
    pub left: Option<u64>,
}

/// A counter.
#[derive(Debug)]
pub struct Quota {
    used: i64,
    /// When it begins anew, by the clock of the table; nothing where it never does, or has
    /// not begun.
    ends: Option<u64>,
    /// The same by the system's clock. Only for showing: that clock may be set.
    renews: i64,
}

// === impl QuotaLimit ===

impl QuotaLimit {
    /// The limit of a session, where that is one.
    pub fn new(max: i64, renewal: i64) -> Option<Self> {
        (max > 0).then_some(Self {
            max,
            renewal: renewal.max(0),
        })
    }
}

// === impl Quota ===

impl Quota {
    /// The counter as it was kept. One that would last longer than a whole period was kept
    /// by a clock that was wrong, and lasts one.
    pub fn begin(kept: Option<Kept>, limit: QuotaLimit, now: u64) -> Self {
        let Some(kept) = kept else {
            return Self {
                used: 0,
                ends: None,
                renews: 0,
            };
        };
        if kept.renews == 0 || limit.renewal == 0 {
            return Self {
                used: kept.used,
                ends: None,
                renews: 0,
            };
        }
        let left = kept
            .renews
            .saturating_sub(unix_now())
            .clamp(0, limit.renewal);
        Self {
            used: kept.used,
            ends: Some(now.saturating_add(micros(left))),
            renews: kept.renews,
        }
    }

    /// Whether there is one more at `now`.
    pub fn is_left(&mut self, limit: QuotaLimit, now: u64) -> bool {
        if self.ends.is_some_and(|ends| ends <= now) {
            *self = Self {
                used: 0,
                ends: None,
                renews: 0,
            };
        }
        self.used < limit.max
    }

    /// Counts one; the first begins the period.
    pub fn spend(&mut self, limit: QuotaLimit, now: u64) {
        if self.ends.is_none() && limit.renewal > 0 {
            self.ends = Some(now.saturating_add(micros(limit.renewal)));
            self.renews = unix_now().saturating_add(limit.renewal);
        }
        self.used = self.used.saturating_add(1);
    }

    /// Takes one back, because something else has refused it.
    pub fn take_back(&mut self) {
        self.used = self.used.saturating_sub(1).max(0);
    }

    /// What it tells.
    pub fn state(&self, limit: QuotaLimit) -> QuotaState {
        QuotaState {
            max: limit.max,
            remaining: limit.max.saturating_sub(self.used).max(0),
            renews: self.renews,
        }
    }

    /// What is written down at `now`.
    pub fn kept(&self, now: u64) -> Kept {
        Kept {
            used: self.used,
            renews: self.renews,
            left: self.ends.map(|ends| ends.saturating_sub(now)),
        }
    }

    /// Whether nothing of it counts any more.
    pub fn is_over(&self, now: u64) -> bool {
        self.used == 0 || self.ends.is_some_and(|ends| ends <= now)
    }
}

fn micros(seconds: i64) -> u64 {
    u64::try_from(seconds)
        .unwrap_or(0)
        .saturating_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: QuotaLimit = QuotaLimit {
        max: 2,
        renewal: 10,
    };

    #[test]
    fn a_period_begins_with_its_first_request() {
        let mut quota = Quota::begin(None, LIMIT, 0);
        assert!(quota.is_left(LIMIT, 5_000_000));
        quota.spend(LIMIT, 5_000_000);
        let renews = quota.state(LIMIT).renews;
        assert!((renews - unix_now() - 10).abs() <= 1, "{renews}");
        quota.spend(LIMIT, 6_000_000);
        assert_eq!(quota.state(LIMIT).remaining, 0);
        assert!(!quota.is_left(LIMIT, 14_999_999));
        assert!(quota.is_left(LIMIT, 15_000_000));
        assert_eq!(quota.state(LIMIT).remaining, 2);
    }

    #[test]
    fn what_was_kept_goes_on_for_one_period_at_most() {
        for (renews, ends) in [(4, 4_000_000), (1000, 10_000_000), (-100, 0)] {
            let kept = Kept {
                used: 2,
                renews: unix_now() + renews,
                left: None,
            };
            let mut quota = Quota::begin(Some(kept), LIMIT, 0);
            // The second may have ended since.
            assert!(quota.is_left(LIMIT, ends + 1), "{renews}");
            let mut quota = Quota::begin(Some(kept), LIMIT, 0);
            if let Some(before) = u64::checked_sub(ends, 1_500_000) {
                assert!(!quota.is_left(LIMIT, before), "{renews}");
            }
        }
    }

    #[test]
    fn without_a_renewal_it_never_begins_anew() {
        let limit = QuotaLimit::new(1, -5).unwrap();
        let mut quota = Quota::begin(None, limit, 0);
        quota.spend(limit, 0);
        assert_eq!(quota.state(limit).renews, 0);
        assert!(!quota.is_left(limit, u64::MAX));
        let mut again = Quota::begin(Some(quota.kept(0)), limit, 0);
        assert!(!again.is_left(limit, u64::MAX));
    }

    #[test]
    fn nothing_and_less_is_no_limit() {
        assert_eq!(QuotaLimit::new(0, 1), None);
        assert_eq!(QuotaLimit::new(-1, 1), None);
    }

    #[test]
    fn a_limit_that_changes_holds_for_what_was_counted() {
        let mut quota = Quota::begin(None, LIMIT, 0);
        quota.spend(LIMIT, 0);
        quota.spend(LIMIT, 0);
        let more = QuotaLimit {
            max: 5,
            renewal: 10,
        };
        assert!(quota.is_left(more, 1));
        assert_eq!(quota.state(more).remaining, 3);
        assert!(!quota.is_left(LIMIT, 1));
    }
}

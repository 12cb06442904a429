//! The time by which entries end.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds that go on while the process runs, whatever is done to the system's clock.
pub(super) struct Clock {
    start: Instant,
    at_start: u64,
}

impl Clock {
    /// A clock that shows `millis` now.
    pub(super) fn showing(millis: u64) -> Self {
        Self {
            start: Instant::now(),
            at_start: millis,
        }
    }

    /// What it shows.
    pub(super) fn now(&self) -> u64 {
        let passed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at_start.saturating_add(passed)
    }
}

/// Milliseconds since 1970 by the system's clock, which may be set at any time.
pub(super) fn system_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

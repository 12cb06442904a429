//! Waiting for conditions: the only place where the suite lets time pass.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before the test fails. Generous, because test machines are slow
/// and busy; a test that passes never waits this long.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Returns once `condition` holds; panics with `what` when it does not within the deadline.
#[track_caller]
pub fn until(what: &str, condition: impl FnMut() -> bool) {
    assert!(within(DEADLINE, condition), "waited in vain: {what}");
}

/// Whether `condition` holds before `limit` has passed.
pub fn within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        // The pace of asking, not a guess at how long something takes.
        thread::sleep(Duration::from_millis(5));
    }
}

//! What is known about how long a hook takes: whether it may run on the caller's thread.
//!
//! A hook starts on the host's threads. When it has been short many times in a row it may
//! run in place; one long call there sends it back, for twice as many calls as before.
//! Counts are plain loads and stores: a lost update costs a call more or less.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// A call below this is short.
const SHORT: Duration = Duration::from_micros(200);

/// A call above this is long: it alone ends running in place.
const LONG: Duration = Duration::from_millis(1);

/// Calls in a row that must be short before a hook runs in place.
const PROOF: u32 = 1000;

/// The longest proof that is asked for, after many relapses.
const MAX_PROOF: u32 = 1 << 20;

/// Calls between short and long that end running in place, within [`PROOF`] calls.
const STRIKES: u32 = 3;

/// Calls in a row after which a hook is expected to be back in a moment.
const BRIEF: u32 = 20;

/// Statistics of one hook.
#[derive(Debug)]
pub(crate) struct Stats {
    in_place: AtomicBool,
    /// Short calls in a row.
    streak: AtomicU32,
    /// Short calls in a row that are asked for.
    proof: AtomicU32,
    strikes: AtomicU32,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            in_place: AtomicBool::new(false),
            streak: AtomicU32::new(0),
            proof: AtomicU32::new(PROOF),
            strikes: AtomicU32::new(0),
        }
    }
}

impl Stats {
    /// Whether the hook has proved short enough to run on the caller's thread.
    pub(crate) fn is_proved(&self) -> bool {
        self.in_place.load(Relaxed)
    }

    /// Whether a thread that runs the hook is expected back in a moment.
    pub(crate) fn is_brief(&self) -> bool {
        self.streak.load(Relaxed) >= BRIEF
    }

    /// Counts a call, waiting for the interpreter included.
    pub(crate) fn record(&self, took: Duration) {
        if took < SHORT {
            self.record_short();
        } else if took < LONG && self.is_proved() {
            let strikes = self.strikes.load(Relaxed) + 1;
            self.strikes.store(strikes, Relaxed);
            if strikes >= STRIKES {
                self.send_back();
            }
        } else {
            self.send_back();
        }
    }

    fn record_short(&self) {
        let streak = self.streak.load(Relaxed).saturating_add(1);
        self.streak.store(streak, Relaxed);
        if streak.is_multiple_of(PROOF) {
            self.strikes.store(0, Relaxed);
        }
        if streak == self.proof.load(Relaxed) {
            self.strikes.store(0, Relaxed);
            self.in_place.store(true, Relaxed);
        }
    }

    fn send_back(&self) {
        self.streak.store(0, Relaxed);
        if self.in_place.swap(false, Relaxed) {
            let longer = self.proof.load(Relaxed).saturating_mul(2).min(MAX_PROOF);
            self.proof.store(longer, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repeat(stats: &Stats, took: Duration, times: u32) {
        for _ in 0..times {
            stats.record(took);
        }
    }

    #[test]
    fn a_hook_that_stays_short_may_run_in_place() {
        let stats = Stats::default();
        repeat(&stats, SHORT / 2, PROOF - 1);
        assert!(!stats.is_proved() && stats.is_brief());
        stats.record(SHORT / 2);
        assert!(stats.is_proved());
    }

    #[test]
    fn one_long_call_sends_it_back_for_longer() {
        let stats = Stats::default();
        repeat(&stats, SHORT / 2, PROOF);
        stats.record(LONG * 2);
        assert!(!stats.is_proved() && !stats.is_brief());
        repeat(&stats, SHORT / 2, PROOF);
        assert!(!stats.is_proved());
        repeat(&stats, SHORT / 2, PROOF);
        assert!(stats.is_proved());
    }

    #[test]
    fn a_few_calls_that_are_not_short_send_it_back_too() {
        let stats = Stats::default();
        repeat(&stats, SHORT / 2, PROOF);
        repeat(&stats, SHORT * 2, STRIKES - 1);
        assert!(stats.is_proved());
        stats.record(SHORT * 2);
        assert!(!stats.is_proved());
    }
}

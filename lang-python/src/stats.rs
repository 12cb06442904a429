//! What is known about how long a hook takes: whether it may run on the caller's thread.
//!
//! A hook starts on the host's threads. When it has been short many times it may run in
//! place; one very long call there, or several that are not short, send it back, for longer
//! each time that it relapses soon. A single call that is a little late proves nothing: on
//! a busy machine the system takes the processor away in the middle of any hook. Asking the
//! system about that costs more than a short hook does, so it is asked while a hook proves
//! itself, and in place for a while after the processor was taken away.
//!
//! Counts are plain loads and stores: a lost update costs a call more or less.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::interpreter::{ThreadUsage, thread_usage};

/// A call below this is short. Taking a hook to another thread and back costs some 10 us of
/// processor time, which is little beside one that takes longer than this, while the other
/// requests of the caller's thread wait all the longer for one in place.
const SHORT: Duration = Duration::from_micros(500);

/// A call above this blocks or computes; it alone ends running in place.
const LONG: Duration = Duration::from_millis(10);

/// Short calls after which a hook runs in place.
const PROOF: u32 = 1000;

/// Short calls that one which is not costs a hook that proves itself.
const PENALTY: u32 = 128;

/// The longest proof that is asked for, after many relapses.
const MAX_PROOF: u32 = 1 << 20;

/// Calls that are neither short nor long which end running in place, within [`WINDOW`].
const STRIKES: u32 = 8;

/// Calls after which strikes are forgiven.
const WINDOW: u32 = 4096;

/// A hook that stayed in place for this many calls has not relapsed, but changed.
const TENURE: u32 = 1 << 18;

/// Calls in place that are measured closely after one that was not short, perhaps because
/// the processor was taken away.
const CLOSE: u32 = 4096;

/// Calls in place after which a thread looks at what it has used.
const LOOK: u32 = 256;

/// Short calls after which a hook is expected to be back in a moment.
const BRIEF: u32 = 20;

/// Statistics of one hook.
#[derive(Debug)]
pub(crate) struct Stats {
    in_place: AtomicBool,
    /// Short calls, since the hook was sent back or allowed in.
    short: AtomicU32,
    /// Short calls that are asked for.
    proof: AtomicU32,
    strikes: AtomicU32,
    /// Calls that wait for a thread or run on one.
    elsewhere: AtomicU32,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            in_place: AtomicBool::new(false),
            short: AtomicU32::new(0),
            proof: AtomicU32::new(PROOF),
            strikes: AtomicU32::new(0),
            elsewhere: AtomicU32::new(0),
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
        self.is_proved() || self.short.load(Relaxed) >= BRIEF
    }

    /// Counts a call that is handed to a thread.
    pub(crate) fn leaves(&self) {
        self.elsewhere.fetch_add(1, Relaxed);
    }

    /// A call that was handed to a thread is done.
    pub(crate) fn is_back(&self) {
        self.elsewhere.fetch_sub(1, Relaxed);
    }

    /// Begins to measure a call, on the thread that runs it.
    pub(crate) fn start(&self) -> Running<'_> {
        // The first calls in place wait for the last ones that are not: that says nothing
        // of either.
        let overlaps = self.is_proved() && self.elsewhere.load(Relaxed) > 0;
        Running {
            stats: self,
            before: if overlaps || !self.is_proved() || Crowd::next_call() {
                thread_usage()
            } else {
                None
            },
            overlaps,
            began: Instant::now(),
        }
    }

    /// Counts a call, waiting for the interpreter included.
    fn record(&self, took: Duration) {
        if took < SHORT {
            self.record_short();
        } else if took >= LONG {
            self.send_back();
        } else if self.is_proved() {
            self.strike();
        } else {
            let left = self.short.load(Relaxed).saturating_sub(PENALTY);
            self.short.store(left, Relaxed);
        }
    }

    fn strike(&self) {
        let strikes = self.strikes.load(Relaxed) + 1;
        self.strikes.store(strikes, Relaxed);
        if strikes >= STRIKES {
            self.send_back();
        }
    }

    fn record_short(&self) {
        let short = self.short.load(Relaxed).saturating_add(1);
        self.short.store(short, Relaxed);
        if short.is_multiple_of(WINDOW) {
            self.strikes.store(0, Relaxed);
        }
        if !self.is_proved() && short >= self.proof.load(Relaxed) {
            self.short.store(0, Relaxed);
            self.strikes.store(0, Relaxed);
            self.in_place.store(true, Relaxed);
        }
    }

    fn send_back(&self) {
        let served = self.short.swap(0, Relaxed);
        if self.in_place.swap(false, Relaxed) {
            let proof = match served {
                TENURE.. => PROOF,
                _ => self.proof.load(Relaxed).saturating_mul(2).min(MAX_PROOF),
            };
            self.proof.store(proof, Relaxed);
        }
    }
}

/// A call that is measured.
#[must_use = "a call that is not ended is not counted"]
pub(crate) struct Running<'a> {
    stats: &'a Stats,
    before: Option<ThreadUsage>,
    /// Other calls of the hook, on threads, may have the interpreter.
    overlaps: bool,
    began: Instant,
}

impl Running<'_> {
    /// When it began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// Counts the call, on the thread that ran it.
    pub(crate) fn ended(self) {
        let elapsed = self.began.elapsed();
        if elapsed < SHORT {
            return self.stats.record(elapsed);
        }
        let Some(after) = thread_usage() else {
            return self.stats.record(elapsed);
        };
        let last = Crowd::look(after);
        if let Some(before) = self.before {
            let own = match self.overlaps {
                true => Some(after.busy.saturating_sub(before.busy)),
                false => own_time(before, after),
            };
            self.stats
                .record(own.map_or(elapsed, |own| own.min(elapsed)));
        } else if after.preemptions != last.preemptions {
            // How much of it was the hook will be known next time. More than the thread has
            // done since the last look it was not.
            let most = after.busy.saturating_sub(last.busy).min(elapsed);
            self.stats.record(most.max(SHORT));
        } else {
            self.stats.record(elapsed);
        }
    }
}

/// The time that a call itself used, where the clock shows more only because the processor
/// was taken away. Nothing where it waited: then the clock is right.
fn own_time(before: ThreadUsage, after: ThreadUsage) -> Option<Duration> {
    let was_preempted = after.preemptions != before.preemptions;
    let has_waited = after.waits != before.waits;
    (was_preempted && !has_waited).then(|| after.busy.saturating_sub(before.busy))
}

/// What a thread knows of others that want its processor.
#[derive(Clone, Copy)]
struct Crowd {
    /// At the last look.
    usage: ThreadUsage,
    /// Calls until the next look.
    quiet: u32,
    /// Calls that are still measured closely.
    close: u32,
}

thread_local! {
    static CROWD: Cell<Crowd> = const {
        let usage = ThreadUsage { busy: Duration::ZERO, waits: 0, preemptions: 0 };
        Cell::new(Crowd { usage, quiet: 0, close: 0 })
    };
}

impl Crowd {
    /// Counts a call in place; whether it is one to measure closely.
    fn next_call() -> bool {
        let mut crowd = CROWD.get();
        if crowd.close > 0 {
            crowd.close -= 1;
            CROWD.set(crowd);
            return true;
        }
        if crowd.quiet == 0 {
            // Threads that only tick take the processor away too, and hit hardly any hook:
            // that is no reason to measure closely.
            crowd.usage = thread_usage().unwrap_or(crowd.usage);
            crowd.quiet = LOOK;
        }
        crowd.quiet -= 1;
        CROWD.set(crowd);
        false
    }

    /// Looks in the middle of a call that was not short; what was seen at the last look.
    fn look(usage: ThreadUsage) -> ThreadUsage {
        let mut crowd = CROWD.get();
        let last = std::mem::replace(&mut crowd.usage, usage);
        if usage.preemptions != last.preemptions {
            crowd.close = CLOSE;
        }
        CROWD.set(crowd);
        last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_call_whose_processor_was_taken_away_is_measured_by_its_own_time() {
        let usage = |busy, waits, preemptions| ThreadUsage {
            busy: Duration::from_micros(busy),
            waits,
            preemptions,
        };
        let before = usage(100, 3, 3);
        for (after, expected) in [
            (usage(150, 3, 3), None),
            (usage(150, 4, 3), None),
            (usage(150, 4, 4), None),
            (usage(150, 3, 4), Some(Duration::from_micros(50))),
        ] {
            assert_eq!(own_time(before, after), expected, "{after:?}");
        }
    }

    #[test]
    fn calls_are_measured_closely_after_one_that_the_processor_may_have_been_taken_from() {
        let mut usage = thread_usage().unwrap();
        assert!(!Crowd::next_call());
        usage = Crowd::look(usage);
        let before = CROWD.get().close;
        Crowd::look(usage);
        assert_eq!(CROWD.get().close, before);
        usage.preemptions += 1;
        Crowd::look(usage);
        assert!((0..CLOSE).all(|_| Crowd::next_call()));
    }

    #[test]
    fn a_call_that_waits_counts_with_the_time_that_it_waited() {
        let stats = proved();
        let running = Running {
            stats: &stats,
            before: thread_usage(),
            overlaps: false,
            began: Instant::now(),
        };
        std::thread::sleep(LONG);
        running.ended();
        assert!(!stats.is_proved());
    }

    fn repeat(stats: &Stats, took: Duration, times: u32) {
        for _ in 0..times {
            stats.record(took);
        }
    }

    fn proved() -> Stats {
        let stats = Stats::default();
        repeat(&stats, SHORT / 2, PROOF);
        assert!(stats.is_proved());
        stats
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
    fn a_hook_that_is_often_not_short_never_does() {
        let stats = Stats::default();
        for _ in 0..PROOF {
            repeat(&stats, SHORT / 2, 100);
            stats.record(SHORT * 2);
            assert!(!stats.is_proved());
        }
    }

    #[test]
    fn one_long_call_sends_it_back_for_longer() {
        let stats = proved();
        stats.record(LONG);
        assert!(!stats.is_proved() && !stats.is_brief());
        repeat(&stats, SHORT / 2, PROOF * 2 - 1);
        assert!(!stats.is_proved());
        stats.record(SHORT / 2);
        assert!(stats.is_proved());
    }

    #[test]
    fn a_long_service_is_remembered() {
        let stats = proved();
        repeat(&stats, SHORT / 2, TENURE);
        stats.record(LONG);
        repeat(&stats, SHORT / 2, PROOF);
        assert!(stats.is_proved());
    }

    #[test]
    fn several_calls_that_are_not_short_send_it_back_and_a_few_do_not() {
        let stats = proved();
        for _ in 0..STRIKES {
            repeat(&stats, SHORT * 2, STRIKES - 1);
            repeat(&stats, SHORT / 2, WINDOW);
            assert!(stats.is_proved());
        }
        repeat(&stats, SHORT * 2, STRIKES);
        assert!(!stats.is_proved());
    }
}

//! Notices work that runs too long, at almost no cost to work that does not.
//!
//! A thread that runs plugin code owns a [`Slot`]. Entering and leaving is two plain atomic
//! stores, with no clock and no lock; one watchdog thread looks at all slots every few
//! milliseconds and calls back when a slot has been in the same run for longer than its
//! limit, and again every [`REPEAT`] for as long as that run goes on.
//!
//! The watchdog can only tell; stopping the work is the language's job. A callback must
//! check that the run it was told of is still the current one ([`Overrun::is_current`])
//! at the moment where it can no longer end in between.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How often the watchdog looks.
pub const TICK: Duration = Duration::from_millis(5);

/// How often a run that goes on past its limit is reported again.
pub const REPEAT: Duration = Duration::from_millis(50);

/// Ticks without any run after which the watchdog sleeps until it is woken.
const IDLE_TICKS: u32 = 200;

/// Longest sleep of an idle watchdog: bounds the loss should a wake-up be missed.
const IDLE_SLEEP: Duration = Duration::from_secs(1);

type Callback = Box<dyn Fn(&Overrun<'_>) + Send>;

/// Watches slots from a thread of its own, which ends when this value is dropped.
pub struct Watchdog {
    shared: Arc<Shared>,
    thread: Thread,
}

struct Shared {
    slots: Mutex<Vec<Weak<State>>>,
    asleep: AtomicBool,
    stopped: AtomicBool,
}

struct State {
    /// Odd while something runs; goes up by one at each entry and each exit.
    run: AtomicU64,
    limit_ms: AtomicU32,
    tag: u64,
}

/// A place where one thread runs one thing at a time.
pub struct Slot {
    state: Arc<State>,
    shared: Arc<Shared>,
    thread: Thread,
}

/// A run that has passed its limit.
pub struct Overrun<'a> {
    state: &'a State,
    /// The tag that the slot was made with.
    pub tag: u64,
    /// The run's number, as [`Slot::enter`] returned it.
    pub run: u64,
    /// The limit that was passed.
    pub limit: Duration,
    /// How many times this run has been reported, counted from 1.
    pub times: u32,
}

impl Overrun<'_> {
    /// Whether the reported run is still going on.
    pub fn is_current(&self) -> bool {
        self.state.run.load(Ordering::SeqCst) == self.run
    }
}

// === impl Watchdog ===

impl Watchdog {
    /// Starts the watching thread.
    pub fn start(
        name: &str,
        callback: impl Fn(&Overrun<'_>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            slots: Mutex::new(Vec::new()),
            asleep: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        });
        let watched = Arc::clone(&shared);
        let callback: Callback = Box::new(callback);
        let handle = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || watch(&watched, &callback))?;
        Ok(Self {
            shared,
            thread: handle.thread().clone(),
        })
    }

    /// Makes a slot; `tag` comes back in [`Overrun::tag`]. Dropping the slot ends its watch.
    pub fn slot(&self, tag: u64) -> Slot {
        let state = Arc::new(State {
            run: AtomicU64::new(0),
            limit_ms: AtomicU32::new(0),
            tag,
        });
        let mut slots = self
            .shared
            .slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        slots.push(Arc::downgrade(&state));
        Slot {
            state,
            shared: Arc::clone(&self.shared),
            thread: self.thread.clone(),
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

// === impl Slot ===

impl Slot {
    /// Begins a run that may take `limit`, and returns its number. Must be followed by
    /// [`leave`](Self::leave) on every path; only the owning thread may call either.
    pub fn enter(&self, limit: Duration) -> u64 {
        let run = self.state.run.load(Ordering::Relaxed) + 1;
        debug_assert!(is_running(run), "a slot is entered once at a time");
        let limit_ms = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        self.state.limit_ms.store(limit_ms, Ordering::Relaxed);
        // Pairs with the watchdog, which says that it sleeps and then looks: one of the two
        // sees the other.
        self.state.run.store(run, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        run
    }

    /// Ends the run.
    pub fn leave(&self) {
        let run = self.state.run.load(Ordering::Relaxed) + 1;
        debug_assert!(!is_running(run), "a slot is left once for each entry");
        self.state.run.store(run, Ordering::SeqCst);
    }

    /// The run that goes on now, if any.
    pub fn current(&self) -> Option<u64> {
        let run = self.state.run.load(Ordering::SeqCst);
        is_running(run).then_some(run)
    }
}

/// Runs are counted at entry and at exit, so a number that is odd goes on.
fn is_running(run: u64) -> bool {
    !run.is_multiple_of(2)
}

// === the watching thread ===

struct Seen {
    state: Weak<State>,
    run: u64,
    since: Instant,
    times: u32,
}

fn watch(shared: &Shared, callback: &Callback) {
    let mut seen: Vec<Seen> = Vec::new();
    let mut idle = 0;
    while !shared.stopped.load(Ordering::SeqCst) {
        idle = if look_at_all(shared, &mut seen, callback) {
            0
        } else {
            idle + 1
        };
        if idle < IDLE_TICKS {
            thread::park_timeout(TICK);
            continue;
        }
        if sleep(shared, || look_at_all(shared, &mut seen, callback)) {
            idle = IDLE_TICKS - 1;
        } else {
            idle = 0;
        }
    }
}

/// Sleeps until a run wakes this thread; says whether it slept at all.
///
/// What began between the last look and the moment where the others know of the sleep has
/// woken nobody, so there is one more look in between.
fn sleep(shared: &Shared, look_again: impl FnOnce() -> bool) -> bool {
    shared.asleep.store(true, Ordering::SeqCst);
    let busy = look_again();
    if !busy && !shared.stopped.load(Ordering::SeqCst) {
        thread::park_timeout(IDLE_SLEEP);
    }
    shared.asleep.store(false, Ordering::SeqCst);
    !busy
}

fn look_at_all(shared: &Shared, seen: &mut Vec<Seen>, callback: &Callback) -> bool {
    adopt_new_slots(shared, seen);
    seen.retain(|slot| slot.state.strong_count() > 0);
    let mut busy = false;
    for slot in seen {
        busy |= look(slot, callback);
    }
    busy
}

fn adopt_new_slots(shared: &Shared, seen: &mut Vec<Seen>) {
    let mut slots = shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    seen.extend(slots.drain(..).map(|state| Seen {
        state,
        run: 0,
        since: now,
        times: 0,
    }));
}

/// Looks at one slot; says whether something runs there.
fn look(slot: &mut Seen, callback: &Callback) -> bool {
    let Some(state) = slot.state.upgrade() else {
        return false;
    };
    let run = state.run.load(Ordering::SeqCst);
    if run != slot.run {
        let began = run != 0;
        slot.run = run;
        slot.since = Instant::now();
        slot.times = 0;
        // A slot that changed since the last look is in use, whichever half it is in.
        return began;
    }
    if !is_running(run) {
        return false;
    }
    let limit = Duration::from_millis(state.limit_ms.load(Ordering::Relaxed).into());
    if slot.since.elapsed() >= limit + REPEAT * slot.times {
        slot.times += 1;
        callback(&Overrun {
            state: &state,
            tag: state.tag,
            run,
            limit,
            times: slot.times,
        });
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn a_long_run_is_reported_until_it_ends() {
        let (reports, inbox) = mpsc::channel();
        let watchdog = Watchdog::start("test-watchdog", move |overrun| {
            let _ = reports.send((
                overrun.tag,
                overrun.run,
                overrun.times,
                overrun.is_current(),
            ));
        })
        .unwrap();
        let slot = watchdog.slot(7);
        let run = slot.enter(SHORT);
        assert_eq!(inbox.recv().unwrap(), (7, run, 1, true));
        assert_eq!(inbox.recv().unwrap(), (7, run, 2, true));
        slot.leave();
        assert_eq!(slot.current(), None);
    }

    #[test]
    fn short_runs_are_never_reported() {
        let (reports, inbox) = mpsc::channel();
        let watchdog = Watchdog::start("test-watchdog", move |overrun| {
            let _ = reports.send(overrun.run);
        })
        .unwrap();
        let slot = watchdog.slot(0);
        let end = Instant::now() + SHORT * 10;
        while Instant::now() < end {
            slot.enter(SHORT * 5);
            slot.leave();
        }
        assert!(inbox.try_recv().is_err());
    }

    #[test]
    fn a_run_that_begins_before_the_sleep_is_known_is_seen() {
        let watchdog = Watchdog::start("test-watchdog", |_| ()).unwrap();
        let slot = watchdog.slot(0);
        let shared = Shared {
            slots: Mutex::new(vec![Arc::downgrade(&slot.state)]),
            asleep: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        };
        let callback: Callback = Box::new(|_| ());
        let mut seen = Vec::new();
        assert!(!look_at_all(&shared, &mut seen, &callback));
        // Here the run wakes nobody, since nobody is known to sleep.
        slot.enter(SHORT);
        let began = Instant::now();
        assert!(!sleep(&shared, || look_at_all(
            &shared, &mut seen, &callback
        )));
        assert!(began.elapsed() < IDLE_SLEEP / 2);
        slot.leave();
    }

    #[test]
    fn a_run_that_begins_while_the_watchdog_sleeps_is_reported() {
        let (reports, inbox) = mpsc::channel();
        let watchdog = Watchdog::start("test-watchdog", move |overrun| {
            let _ = reports.send(overrun.run);
        })
        .unwrap();
        let slot = watchdog.slot(0);
        while !watchdog.shared.asleep.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        let began = Instant::now();
        let run = slot.enter(SHORT);
        assert_eq!(inbox.recv().unwrap(), run);
        assert!(began.elapsed() < Duration::from_millis(900));
        slot.leave();
    }
}

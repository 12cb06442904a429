//! The host's threads, and the calls that wait for one.
//!
//! Each plugin has a lane: so many calls at the same time, so many waiting. A call that
//! blocks holds its thread, so another thread is started when there is work and nobody to
//! do it. Hooks known to be brief are the exception: the thread that runs one will be back
//! in a moment, and waking another would only make two contend for the interpreter. So are
//! hooks that only compute: two threads do not compute faster than one, as only one has the
//! interpreter. A monitor looks every few milliseconds whether that hope was wrong.

mod job;
mod state;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use coprocess_core::DispatchError;

pub(crate) use job::{Expected, Job, LaneKey, Submitted, Work};
use state::State;

/// Python recurses on the C stack in places; the system gives memory as it is used.
pub(crate) const STACK_SIZE: usize = 8 << 20;

/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);

/// How many threads stay for good once they were needed.
const WARM: usize = 1;

/// Most events of one plugin that are handled at the same time, so that handlers which wait
/// or compute leave the interpreter to hooks.
const EVENTS_AT_ONCE: usize = 2;

/// How often the monitor looks while calls wait, and how long a call may wait for a thread
/// that was expected back at once.
const MONITOR: Duration = Duration::from_millis(2);

/// How long no thread is asked for after the system refused one: the log gets a line each
/// time.
const START_AGAIN: Duration = Duration::from_millis(250);

/// Work outside of the pool that may keep the interpreter for long; while it lives, hooks
/// do not run in place.
pub(crate) struct Risk(Arc<Pool>);

impl Risk {
    pub(crate) fn begin(pool: &Arc<Pool>) -> Self {
        pool.risky.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(pool))
    }
}

impl Drop for Risk {
    fn drop(&mut self) {
        self.0.risky.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What the pool was configured with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Calls of one plugin at the same time.
    pub(crate) concurrency: usize,
    /// Calls of one plugin that wait.
    pub(crate) queue: usize,
    /// Threads held by calls that do not end.
    pub(crate) stuck: usize,
}

impl Limits {
    /// How many jobs of a lane run at the same time.
    fn at_once(self, key: LaneKey) -> usize {
        if key.is_event {
            self.concurrency.min(EVENTS_AT_ONCE)
        } else {
            self.concurrency
        }
    }
}

/// Which threads are relied upon to come for a job.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Those that run what is soon done, and all below.
    Runs,
    /// Those that are about to take a job, and those below.
    Coming,
    /// Those that were woken.
    Woken,
}

impl Trust {
    fn covers(self, comes: bool, is_expected: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Runs => comes || is_expected(),
            Self::Coming => comes,
            Self::Woken => false,
        }
    }
}

/// Jobs, and the threads that take them.
pub(crate) struct Pool {
    limits: Limits,
    state: Mutex<State>,
    /// Threads that run a hook which is not known to be brief, and the like ([`Risk`]).
    risky: AtomicUsize,
    work: Condvar,
    monitor: Condvar,
    /// Starts a thread that calls [`Pool::take`] until that gives nothing; says whether it
    /// could.
    start_thread: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Pool {
    pub(crate) fn new(
        limits: Limits,
        start_thread: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            limits,
            state: Mutex::new(State::default()),
            risky: AtomicUsize::new(0),
            work: Condvar::new(),
            monitor: Condvar::new(),
            start_thread: Box::new(start_thread),
        }
    }

    /// Queues a job. Nothing waits here; a plugin that has too many jobs already gets the
    /// error.
    pub(crate) fn submit(&self, job: Job) -> Result<(), DispatchError> {
        let mut state = self.lock();
        if state.closed {
            return Err(DispatchError::Unavailable(
                "Python was shut down".to_owned(),
            ));
        }
        let all_stuck = state.stuck;
        let plugin = &job.hook.plugin().name;
        let key = job.lane();
        let at_once = self.limits.at_once(key);
        let lane = state.lanes.entry(key).or_default();
        if !lane.may_lose_threads(self.limits, all_stuck) {
            return Err(DispatchError::Overloaded(format!(
                "{} calls of plugin `{plugin}` do not end",
                lane.stuck
            )));
        }
        if lane.active < at_once {
            lane.active += 1;
            state.ready.push_back(job);
            self.rouse(state, Trust::Runs);
            return Ok(());
        }
        if lane.waiting.len() >= self.limits.queue {
            return Err(DispatchError::Overloaded(format!(
                "{} calls of plugin `{plugin}` wait already",
                lane.waiting.len()
            )));
        }
        lane.waiting.push_back(job);
        self.wake_monitor(&mut state);
        Ok(())
    }

    /// Whether a hook that may compute for long, or hold the interpreter, runs now.
    pub(crate) fn has_risky_run(&self) -> bool {
        self.risky.load(Ordering::Relaxed) > 0
    }

    /// A job that is there already.
    pub(crate) fn try_take(&self) -> Option<Job> {
        let state = self.lock();
        self.pop(state).ok()
    }

    /// Waits for a job; nothing when the thread is to end. The caller does not have the
    /// interpreter, and says by [`Pool::entered`] when it has.
    pub(crate) fn take(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            state.entering += 1;
            state = match self.pop(state) {
                Ok(job) => return Some(job),
                Err(state) => state,
            };
            state.entering -= 1;
            if state.closed {
                state.threads -= 1;
                return None;
            }
            state.idle += 1;
            let (woken, timeout) = self
                .work
                .wait_timeout(state, IDLE)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            // Also after a time-out: a wake-up may have come at that moment. Counting too
            // few wakes one thread too many, counting too many would lose a job.
            state.waking = state.waking.saturating_sub(1);
            if timeout.timed_out() && state.next().is_none() && state.threads > WARM {
                state.threads -= 1;
                return None;
            }
        }
    }

    /// A thread that was started, or that [`Pool::take`] gave this job, has the interpreter.
    /// Nobody else was asked for while it waited.
    pub(crate) fn entered(&self, with: Option<Expected>) {
        let mut state = self.lock();
        state.entering -= 1;
        if with.is_none_or(Expected::may_wait) {
            self.rouse(state, Trust::Coming);
        }
    }

    /// The job that `take` gave is done.
    pub(crate) fn finished(&self, key: LaneKey, expected: Expected, written_off: bool) {
        let mut state = self.lock();
        if written_off {
            state.stuck -= 1;
            state.threads += 1;
        } else {
            self.run_ends(&mut state, expected);
        }
        let lane = state.lanes.entry(key).or_default();
        if written_off {
            lane.stuck -= 1;
        } else {
            lane.active -= 1;
        }
        self.promote(&mut state, key);
    }

    /// A thread is held by a call that has passed its limit: it counts as lost until the
    /// call ends, and another thread may take its place.
    pub(crate) fn write_off(&self, key: LaneKey, expected: Expected) {
        let mut state = self.lock();
        state.threads -= 1;
        state.stuck += 1;
        self.run_ends(&mut state, expected);
        let lane = state.lanes.entry(key).or_default();
        lane.active -= 1;
        lane.stuck += 1;
        self.promote(&mut state, key);
        self.rouse(state, Trust::Coming);
    }

    /// Lets the threads end when their work is done, and takes no more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        drop(state);
        self.work.notify_all();
        self.monitor.notify_all();
    }

    /// Runs on a thread of its own until the pool is closed: answers calls whose limit
    /// passed while they waited, and sees that calls which wait get a thread.
    pub(crate) fn watch(&self) {
        let mut state = self.lock();
        let mut taken = state.taken;
        while !state.closed {
            let quiet =
                state.ready.is_empty() && state.lanes.values().all(|lane| lane.waiting.is_empty());
            if quiet {
                state.monitor_asleep = true;
                state = wait(&self.monitor, state);
                state.monitor_asleep = false;
                continue;
            }
            let expired = state.expired();
            // All lanes: what keeps one from starting calls may have ended in another.
            let lanes: Vec<LaneKey> = state.lanes.keys().copied().collect();
            for lane in lanes {
                self.promote(&mut state, lane);
            }
            // Jobs that are taken one after the other come as fast as the interpreter does
            // them; another thread would only make them wait for each other.
            let goes_on = std::mem::replace(&mut taken, state.taken) != state.taken;
            if state.is_overdue() && !(goes_on && state.all_compute()) {
                if !goes_on {
                    state.epoch += 1;
                    state.computing = 0;
                }
                self.rouse(state, Trust::Woken);
            } else {
                drop(state);
            }
            expired.into_iter().for_each(Job::expire);
            state = self.lock();
            if !state.closed {
                let waited = self.monitor.wait_timeout(state, MONITOR);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// Takes the next job, or gives the state back.
    fn pop<'a>(&self, mut state: MutexGuard<'a, State>) -> Result<Job, MutexGuard<'a, State>> {
        let next = state.next().and_then(|at| state.ready.remove(at));
        let Some(mut job) = next else {
            return Err(state);
        };
        let expected = &mut job.expected;
        expected.epoch = state.epoch;
        state.taken += 1;
        state.runs += 1;
        state.brief += usize::from(expected.brief);
        state.computing += usize::from(expected.computes);
        if !expected.brief {
            self.risky.fetch_add(1, Ordering::Relaxed);
        }
        // Who relied on this thread coming back soon must not do so any longer.
        if expected.may_wait() && !state.ready.is_empty() {
            self.rouse(state, Trust::Coming);
        }
        Ok(job)
    }

    fn run_ends(&self, state: &mut State, expected: Expected) {
        state.runs -= 1;
        state.brief -= usize::from(expected.brief);
        if expected.epoch == state.epoch {
            state.computing -= usize::from(expected.computes);
        }
        if !expected.brief {
            self.risky.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Moves the waiting jobs of a lane that may start to the ready ones. The others stay
    /// until a call ends or their limit passes.
    fn promote(&self, state: &mut State, key: LaneKey) {
        let all_stuck = state.stuck;
        let at_once = self.limits.at_once(key);
        let Some(lane) = state.lanes.get_mut(&key) else {
            return;
        };
        while lane.active < at_once
            && lane.may_lose_threads(self.limits, all_stuck)
            && let Some(job) = lane.waiting.pop_front()
        {
            lane.active += 1;
            state.ready.push_back(job);
        }
        if lane.active == 0 && lane.stuck == 0 && lane.waiting.is_empty() {
            state.lanes.remove(&key);
        }
    }

    /// Sees that a thread comes for what is ready: one that is relied upon, one that sleeps,
    /// or a new one. None while a thread waits for the interpreter: another would only wait
    /// beside it, and hundreds that do need whole processors for it.
    fn rouse(&self, mut state: MutexGuard<'_, State>, trust: Trust) {
        if state.ready.is_empty() || state.waking >= state.ready.len() {
            return;
        }
        if state.entering > 0 {
            return self.wake_monitor(&mut state);
        }
        let comes = state.coming() >= state.wanted();
        if trust.covers(comes, || state.expects_a_thread()) {
            self.wake_monitor(&mut state);
        } else if state.idle > state.waking {
            state.waking += 1;
            drop(state);
            self.work.notify_one();
        } else if state.start_again.is_some_and(|time| time > Instant::now()) {
            self.wake_monitor(&mut state);
        } else {
            state.threads += 1;
            state.entering += 1;
            drop(state);
            if !(self.start_thread)() {
                self.lock().entering -= 1;
                self.thread_failed();
            }
        }
    }

    /// A thread could not start, or ended without being told to. Another is tried a little
    /// later; until then the monitor answers the calls whose limit passes.
    pub(crate) fn thread_failed(&self) {
        let mut state = self.lock();
        state.threads -= 1;
        state.start_again = Some(Instant::now() + START_AGAIN);
        self.wake_monitor(&mut state);
    }

    fn wake_monitor(&self, state: &mut State) {
        // Notifying costs a system call even when nobody listens.
        if state.monitor_asleep {
            state.monitor_asleep = false;
            self.monitor.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait<'a>(condition: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    condition
        .wait(state)
        .unwrap_or_else(PoisonError::into_inner)
}

/// The monitor's thread.
pub(crate) fn start_monitor(pool: &Arc<Pool>) -> std::io::Result<()> {
    let pool = Arc::clone(pool);
    std::thread::Builder::new()
        .name("py-monitor".to_owned())
        .spawn(move || pool.watch())
        .map(drop)
}

#[cfg(test)]
mod tests;

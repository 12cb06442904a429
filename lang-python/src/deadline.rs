//! Ends hooks that run too long, from outside of Python.
//!
//! Each thread that runs plugin code is a [`Worker`]. The watchdog, which never touches the
//! interpreter, answers the waiting request when the limit has passed; a second thread
//! injects an exception into the hook, again every 50 ms for loops that swallow it; from the
//! third on it is raised once more inside of the handler that swallowed it. That thread may
//! wait for the interpreter for as long as native code holds it. The watchdog does not, so
//! requests are answered and the log is written in any case.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::c_long;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use coprocess_core::watchdog::{Overrun, Slot, Watchdog};
use coprocess_core::{DispatchError, Host, LogLevel};
use pyo3::prelude::*;

use crate::interpreter;
use crate::main_thread;
use crate::native::SOURCE;
use crate::oneshot::Reply;
use crate::plugin::PluginState;
use crate::pool::{Expected, LaneKey, Pool};
use crate::support::Support;

/// A plugin that swallows this many cuts in one run is disabled until it is loaded again.
const MAX_SWALLOWED: u32 = 3;

/// How long the interpreter may be out of reach before the log says so.
const UNREACHABLE: Duration = Duration::from_millis(100);

thread_local! {
    static CURRENT: RefCell<Option<Arc<Worker>>> = const { RefCell::new(None) };
}

/// Counts a cut that became an exception on this thread, and tells how many did in this
/// run. Called from Python.
pub(crate) fn cut_arrived() -> u32 {
    CURRENT.with_borrow(|worker| match worker {
        Some(worker) => worker.arrived.fetch_add(1, Ordering::Relaxed) + 1,
        None => 0,
    })
}

/// What is left of the time of this thread's run. Called from Python.
pub(crate) fn time_left() -> Duration {
    CURRENT.with_borrow(|worker| {
        let worker = worker.as_ref();
        let ends = worker.and_then(|worker| Some(worker.current_run()?.ends));
        ends.map_or(Duration::ZERO, |ends| {
            ends.saturating_duration_since(Instant::now())
        })
    })
}

/// Cuts nothing on this thread for that long: code of the host is at work, which a cut would
/// leave half done. It is not for ever, as that code may call the plugin's.
pub(crate) fn spare(py: Python<'_>, time: Duration) {
    CURRENT.with_borrow(|worker| {
        if let Some(worker) = worker {
            worker.spare(py, time);
        }
    });
}

/// What a run is about, for logs and errors.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) plugin: Arc<PluginState>,
    pub(crate) name: Arc<str>,
}

/// A thread that runs plugin code.
pub(crate) struct Worker {
    /// Python's number for the thread.
    ident: c_long,
    slot: Slot,
    /// The run in progress, or the last one.
    run: Mutex<Run>,
    injected: AtomicBool,
    arrived: AtomicU32,
}

/// What begins a run.
pub(crate) struct Start<'a> {
    pub(crate) plugin: &'a Arc<PluginState>,
    pub(crate) name: &'a Arc<str>,
    pub(crate) now: Instant,
    /// What is left of its limit.
    pub(crate) left: Duration,
    /// The limit that errors name.
    pub(crate) whole: Duration,
    pub(crate) pooled: Option<Pooled>,
}

/// A run.
struct Run {
    /// Its number in the slot; the first has 1.
    number: u64,
    /// Absent before the first run.
    subject: Option<Subject>,
    limit: Duration,
    ends: Instant,
    /// When it may be cut again.
    spared: Option<Instant>,
    /// Set for runs of the pool: who waits, and how the pool counts the thread.
    pooled: Option<Pooled>,
    written_off: bool,
    told: bool,
}

/// A run that the pool's bookkeeping knows.
pub(crate) struct Pooled {
    /// Absent for events, which nobody waits for.
    pub(crate) reply: Option<Reply>,
    pub(crate) lane: LaneKey,
    pub(crate) expected: Expected,
}

/// How a run ended.
pub(crate) struct Ended {
    /// An exception was injected.
    pub(crate) cut: bool,
    /// So many exceptions were swallowed that the plugin cannot be trusted to end.
    pub(crate) stubborn: bool,
}

/// Whether the interpreter lets others in while a run is past its limit.
#[derive(Default)]
struct Reaching {
    /// Somebody waits for the interpreter, or is about to.
    pending: AtomicBool,
    since: Mutex<Option<Instant>>,
}

/// The two threads that watch, and the workers that they watch.
pub(crate) struct Deadlines {
    host: Arc<dyn Host>,
    pub(crate) pool: Arc<Pool>,
    workers: Mutex<HashMap<u64, Weak<Worker>>>,
    next: AtomicU64,
    interrupts: mpsc::Sender<(Arc<Worker>, u64)>,
    reaching: Arc<Reaching>,
    watchdog: OnceLock<Watchdog>,
}

// === impl Worker ===

impl Subject {
    fn is(&self, plugin: &Arc<PluginState>, name: &Arc<str>) -> bool {
        Arc::ptr_eq(&self.name, name) && Arc::ptr_eq(&self.plugin, plugin)
    }
}

impl Worker {
    /// Begins a run.
    pub(crate) fn begin(&self, start: Start<'_>) {
        let mut run = lock(&self.run);
        run.number = self.slot.enter(start.left);
        run.limit = start.whole;
        run.ends = start.now + start.left;
        run.spared = None;
        run.pooled = start.pooled;
        run.written_off = false;
        run.told = false;
        // A thread runs the same hook many times in a row.
        let known = run.subject.as_ref();
        if !known.is_some_and(|known| known.is(start.plugin, start.name)) {
            run.subject = Some(Subject {
                plugin: Arc::clone(start.plugin),
                name: Arc::clone(start.name),
            });
        }
    }

    /// Ends the run. An exception that was injected and has not arrived is taken back, so
    /// that it cannot hit the next hook: it is injected under the interpreter's lock, and
    /// only while the run is current.
    pub(crate) fn end(&self, py: Python<'_>) -> Ended {
        self.slot.leave();
        // Only this thread and those that have the interpreter write these two.
        let cut = self.injected.load(Ordering::Relaxed);
        let arrived = self.arrived.load(Ordering::Relaxed);
        if cut {
            self.take_back(py);
        }
        if arrived > 0 {
            self.arrived.store(0, Ordering::Relaxed);
        }
        Ended {
            cut,
            stubborn: arrived >= MAX_SWALLOWED,
        }
    }

    /// Ends what the pool knows of a run that has ended: whether the request was answered and
    /// the thread counted as lost. It is back now.
    pub(crate) fn was_written_off(&self) -> bool {
        let mut run = lock(&self.run);
        run.pooled = None;
        run.written_off
    }

    #[cold]
    fn take_back(&self, py: Python<'_>) {
        self.injected.store(false, Ordering::Relaxed);
        if let Some(main) = main_thread::running() {
            self.clear(py, &main.support);
            main.support.relent(py);
        }
    }

    /// Takes back an exception that may have been injected into this thread, and may have
    /// arrived.
    ///
    /// Before 3.13, CPython does not forget one that is just set to none: it goes on looking for
    /// it at every turn, on all threads, and at the first line of a function that is traced or
    /// profiled it does nothing else for ever. So another takes its place, and arrives here.
    fn clear(&self, py: Python<'_>, support: &Support) {
        let taken_back = support.taken_back.bind(py).as_any();
        interpreter::set_async_exception(py, self.ident, Some(taken_back));
        if let Some(error) = support.let_arrive(py)
            && !error.is_instance(py, taken_back)
        {
            interpreter::set_async_exception(py, self.ident, None);
        }
    }

    /// The run in progress.
    fn current_run(&self) -> Option<MutexGuard<'_, Run>> {
        let run = lock(&self.run);
        (self.slot.current() == Some(run.number)).then_some(run)
    }

    fn spare(&self, py: Python<'_>, time: Duration) {
        let now = Instant::now();
        // Read before it may be set for a cut that there is not.
        let was_injected = self.injected.load(Ordering::Relaxed);
        if let Some(mut run) = self.current_run() {
            run.spared = Some(now + time);
            // What ends it now is its limit, even if nothing was injected.
            if now >= run.ends {
                self.injected.store(true, Ordering::Relaxed);
            }
        }
        if was_injected && let Some(main) = main_thread::running() {
            self.clear(py, &main.support);
        }
    }

    fn is_spared(&self) -> bool {
        let spared = self.current_run().and_then(|run| run.spared);
        spared.is_some_and(|end| Instant::now() < end)
    }

    /// Injects the exception if the run `number` still goes on.
    fn interrupt(&self, py: Python<'_>, number: u64) {
        let Some(main) = main_thread::running() else {
            return;
        };
        // The thread ends its run with the interpreter's lock held, as we hold it now.
        if self.slot.current() == Some(number) && !self.is_spared() {
            self.injected.store(true, Ordering::Relaxed);
            let class = main.support.timeout.bind(py).as_any();
            interpreter::set_async_exception(py, self.ident, Some(class));
        }
    }
}

// === impl Deadlines ===

impl Deadlines {
    /// Starts the two threads. They end when the value is dropped.
    pub(crate) fn start(host: Arc<dyn Host>, pool: Arc<Pool>) -> io::Result<Arc<Self>> {
        let (interrupts, inbox) = mpsc::channel();
        let reaching = Arc::new(Reaching::default());
        let marker = Arc::clone(&reaching);
        thread::Builder::new()
            .name("py-interrupt".to_owned())
            .spawn(move || interrupt_all(&inbox, &marker))?;
        let this = Arc::new(Self {
            host,
            pool,
            workers: Mutex::new(HashMap::new()),
            next: AtomicU64::new(0),
            interrupts,
            reaching,
            watchdog: OnceLock::new(),
        });
        let weak = Arc::downgrade(&this);
        let watchdog = Watchdog::start("py-watchdog", move |overrun| {
            if let Some(this) = weak.upgrade() {
                this.report(overrun);
            }
        })?;
        let _ = this.watchdog.set(watchdog);
        Ok(this)
    }

    /// Makes the calling thread a worker.
    pub(crate) fn worker(&self, py: Python<'_>) -> PyResult<Arc<Worker>> {
        let threading = py.import("threading")?;
        let ident = threading.call_method0("get_ident")?.extract()?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let watchdog = self.watchdog.get().expect("set before `start` returns");
        let worker = Arc::new(Worker {
            ident,
            slot: watchdog.slot(id),
            run: Mutex::new(Run {
                number: 0,
                subject: None,
                limit: Duration::ZERO,
                ends: Instant::now(),
                spared: None,
                pooled: None,
                written_off: false,
                told: false,
            }),
            injected: AtomicBool::new(false),
            arrived: AtomicU32::new(0),
        });
        let mut workers = lock(&self.workers);
        workers.retain(|_, worker| worker.strong_count() > 0);
        workers.insert(id, Arc::downgrade(&worker));
        CURRENT.set(Some(Arc::clone(&worker)));
        Ok(worker)
    }

    /// Whether a run past its limit may hold the interpreter now.
    pub(crate) fn interpreter_is_held(&self) -> bool {
        self.reaching.pending.load(Ordering::Relaxed)
    }

    /// What the watchdog does about a run that has passed its limit.
    fn report(&self, overrun: &Overrun<'_>) {
        let worker = lock(&self.workers)
            .get(&overrun.tag)
            .and_then(Weak::upgrade);
        let Some(worker) = worker else { return };
        let Some(mut guard) = worker.current_run() else {
            return;
        };
        let run = &mut *guard;
        let Some(subject) = run.subject.clone().filter(|_| run.number == overrun.run) else {
            return;
        };
        // Before the pool forgets the run: between the two, callers would take the
        // interpreter for free.
        self.reaching.pending.store(true, Ordering::Relaxed);
        if overrun.times == 1 {
            self.write_off(run, &subject);
        }
        self.tell_when_unreachable(run, &subject);
        if worker.arrived.load(Ordering::Relaxed) >= MAX_SWALLOWED {
            self.disable(&subject);
        }
        drop(guard);
        // The receiver lives as long as this value.
        let _ = self.interrupts.send((worker, overrun.run));
    }

    /// Answers the request. The thread counts as lost until it comes back by itself.
    fn write_off(&self, run: &mut Run, subject: &Subject) {
        let Some(pooled) = &run.pooled else { return };
        if let Some(reply) = &pooled.reply {
            reply.send(Err(DispatchError::TimeLimit {
                limit: run.limit,
                detail: format!(
                    "; `{}` of plugin `{}` is being stopped",
                    subject.name, subject.plugin.name
                ),
            }));
        }
        run.written_off = true;
        self.pool.write_off(pooled.lane, pooled.expected);
    }

    fn tell_when_unreachable(&self, run: &mut Run, subject: &Subject) {
        let since = *lock(&self.reaching.since);
        let Some(waited) = since.map(|since| since.elapsed()) else {
            return;
        };
        if run.told || waited < UNREACHABLE {
            return;
        }
        run.told = true;
        let Subject { plugin, name } = subject;
        let line = format!(
            "GIL held: native code has not let go of the interpreter for {} ms while `{name}` \
             of plugin `{}` is past its limit; all Python hooks wait",
            waited.as_millis(),
            plugin.name
        );
        self.host.log(LogLevel::Error, SOURCE, &line);
    }

    /// Switches a plugin off that swallows what is to end it.
    pub(crate) fn disable(&self, subject: &Subject) {
        let Subject { plugin, name } = subject;
        let reason = format!(
            "`{name}` of plugin `{}` swallowed {MAX_SWALLOWED} attempts to stop it",
            plugin.name
        );
        if plugin.disable(&reason) {
            let line = format!("{reason}; the plugin is disabled until it is loaded again");
            self.host.log(LogLevel::Error, SOURCE, &line);
        }
    }
}

/// The thread that waits for the interpreter so that the watchdog need not.
fn interrupt_all(inbox: &mpsc::Receiver<(Arc<Worker>, u64)>, reaching: &Reaching) {
    while let Ok(first) = inbox.recv() {
        reaching.pending.store(true, Ordering::Relaxed);
        *lock(&reaching.since) = Some(Instant::now());
        Python::attach(|py| {
            *lock(&reaching.since) = None;
            // What has piled up meanwhile is done at once; repeats do no harm.
            for (worker, run) in std::iter::once(first).chain(inbox.try_iter()) {
                worker.interrupt(py, run);
            }
            reaching.pending.store(false, Ordering::Relaxed);
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

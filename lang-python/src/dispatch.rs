//! Where a call runs: on the caller's thread, or on one of the host's.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use coprocess_core::{
    DispatchError, DispatchFuture, Event, Host, InitContext, InitError, LogLevel, Object,
};
use pyo3::prelude::*;

use crate::deadline::{Deadlines, Ended, Pooled, Start, Subject, Worker};
use crate::hook::{self, PyHook};
use crate::interpreter;
use crate::main_thread::{self, MainThread};
use crate::native::{self, SOURCE};
use crate::oneshot::oneshot;
use crate::options::{Mode, Options};
use crate::pool::{self, Expected, Job, Limits, Pool, Submitted, Work};
use crate::views::Given;

/// How long a hook may run in place because it has always been short. It holds up all
/// requests of the thread, which must not last as long as those may that hold up only one.
const IN_PLACE_LIMIT: Duration = Duration::from_millis(100);

/// A started language.
pub(crate) struct Runtime {
    /// Tells languages apart, should a process start several.
    id: u64,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) options: Options,
    pub(crate) main: &'static MainThread,
    pub(crate) deadlines: Arc<Deadlines>,
    pool: Arc<Pool>,
    /// Events that found no place in the queue.
    dropped_events: AtomicU64,
}

/// What a thread needs for hooks in place: as much as those that Python itself starts have.
/// Code in C recurses on it until Python's own limit, and what overflows ends the process.
const STACK_IN_PLACE: usize = 7 << 20;

thread_local! {
    /// What this thread is when hooks run in place on it, and for which runtime.
    static IN_PLACE: RefCell<Option<(u64, Arc<Worker>)>> = const { RefCell::new(None) };
    /// Whether the thread's stack is large enough for that; not known before the first call.
    static FITS: Cell<Option<bool>> = const { Cell::new(None) };
}

impl Runtime {
    /// Starts the interpreter if this is the first, and the threads.
    pub(crate) fn start(context: InitContext) -> Result<Arc<Self>, InitError> {
        let options = Options::read(&context.options)?;
        let host = context.host;
        native::install_host(Arc::clone(&host));
        let main = main_thread::start(
            &options.program,
            options.path_prefix.as_deref(),
            options.fast_json,
        )
        .map_err(InitError::Interpreter)?;
        let about = format!("Python {}", main.support.about);
        host.log(LogLevel::Info, SOURCE, &about);
        let runtime: Arc<OnceLock<Weak<Self>>> = Arc::default();
        let for_threads = Arc::clone(&runtime);
        let limits = Limits {
            concurrency: options.max_concurrency,
            queue: options.queue,
            stuck: options.max_stuck,
        };
        let pool = Arc::new(Pool::new(limits, move || {
            let runtime = for_threads.get().and_then(Weak::upgrade);
            runtime.is_some_and(|runtime| runtime.start_thread())
        }));
        let cannot = |error| InitError::Interpreter(format!("cannot start a thread: {error}"));
        pool::start_monitor(&pool).map_err(cannot)?;
        let deadlines = Deadlines::start(Arc::clone(&host), Arc::clone(&pool)).map_err(cannot)?;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let started = Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            host,
            options,
            main,
            deadlines,
            pool,
            dropped_events: AtomicU64::new(0),
        });
        let _ = runtime.set(Arc::downgrade(&started));
        Ok(started)
    }

    pub(crate) fn dispatch(&self, mut object: Object) -> DispatchFuture<'static> {
        let time_limit = object.time_limit;
        let (hook, given) = Given::of(&mut object);
        let Some(hook) = hook.get::<PyHook>() else {
            return refused(DispatchError::Unavailable(format!(
                "hook `{}` was not loaded by this language",
                object.hook_name
            )));
        };
        if let Some(reason) = hook.plugin().disabled() {
            return refused(DispatchError::Disabled(reason.to_owned()));
        }
        if self.runs_in_place(hook) {
            let limit = match self.mode(hook) {
                Mode::Auto => time_limit.min(IN_PLACE_LIMIT),
                Mode::Inline | Mode::Thread => time_limit,
            };
            return match self.run_in_place(hook, given, limit) {
                Ok(()) => DispatchFuture::ready(Ok(object)),
                Err(error) => refused(error),
            };
        }
        let hook = hook.clone();
        self.run_on_thread(hook, object)
    }

    /// What the hook's API says of where it runs, or else the process's options.
    fn mode(&self, hook: &PyHook) -> Mode {
        hook.mode.unwrap_or(self.options.mode)
    }

    fn runs_in_place(&self, hook: &PyHook) -> bool {
        match self.mode(hook) {
            Mode::Inline => self.fits_this_thread(),
            Mode::Thread => false,
            // A hook that is not known to be short may hold the interpreter: waiting for
            // it here would stop the caller's other work.
            Mode::Auto => {
                hook.stats().is_proved()
                    && !hook.function.may_wait
                    && !self.pool.has_risky_run()
                    && !self.deadlines.interpreter_is_held()
                    && self.fits_this_thread()
            }
        }
    }

    fn fits_this_thread(&self) -> bool {
        if let Some(known) = FITS.get() {
            return known;
        }
        let size = interpreter::stack_size().unwrap_or(0);
        FITS.set(Some(size >= STACK_IN_PLACE));
        if size < STACK_IN_PLACE {
            let line = format!(
                "hooks do not run in place on thread `{}`: its stack of {} KiB is below {} KiB",
                thread::current().name().unwrap_or("without a name"),
                size >> 10,
                STACK_IN_PLACE >> 10
            );
            self.host.log(LogLevel::Warning, SOURCE, &line);
        }
        size >= STACK_IN_PLACE
    }

    fn run_on_thread(&self, hook: PyHook, object: Object) -> DispatchFuture<'static> {
        let (reply, answer) = oneshot();
        let job = Job {
            limit: object.time_limit,
            queued: Instant::now(),
            expected: hook.expected(),
            work: Work::Hook {
                object: Box::new(object),
                reply,
            },
            hook: Submitted::new(hook),
        };
        match self.pool.submit(job) {
            Ok(()) => DispatchFuture::pending(answer),
            Err(error) => refused(error),
        }
    }

    fn run_in_place(
        &self,
        hook: &PyHook,
        given: Given<'_>,
        limit: Duration,
    ) -> Result<(), DispatchError> {
        let worker = self.worker_in_place()?;
        let running = hook.stats().start();
        let outcome = Python::attach(|py| {
            worker.begin(Start {
                plugin: hook.plugin(),
                name: hook.name(),
                now: running.began(),
                left: limit,
                whole: limit,
                pooled: None,
            });
            let outcome = hook::run_hook(py, &self.main.support, hook, given);
            let ended = worker.end(py);
            self.disable_if_stubborn(hook, &ended);
            cut_outcome(outcome, ended.cut, limit)
        });
        running.ended();
        outcome
    }

    /// The calling thread as a worker; its Python thread state is kept from the first call.
    fn worker_in_place(&self) -> Result<Arc<Worker>, DispatchError> {
        IN_PLACE.with_borrow_mut(|kept| {
            if let Some((runtime, worker)) = kept
                && *runtime == self.id
            {
                return Ok(Arc::clone(worker));
            }
            if kept.is_none() {
                interpreter::keep_thread_state();
            }
            let worker = Python::attach(|py| {
                let worker = self.deadlines.worker(py);
                worker.map_err(|error| {
                    DispatchError::Unavailable(self.main.support.describe(py, &error))
                })
            })?;
            *kept = Some((self.id, Arc::clone(&worker)));
            Ok(worker)
        })
    }

    pub(crate) fn trigger_event(&self, event: Event) {
        let about = about(&event);
        let Some(hook) = event.handler.get::<PyHook>() else {
            let line = format!("{about}: was not loaded by this language");
            return self.host.log(LogLevel::Error, SOURCE, &line);
        };
        let job = Job {
            hook: Submitted::new(hook.clone()),
            limit: event.time_limit,
            queued: Instant::now(),
            expected: Expected::new(false, false),
            work: Work::Event(Box::new(event)),
        };
        if let Err(error) = self.pool.submit(job) {
            let dropped = self.dropped_events.fetch_add(1, Ordering::Relaxed) + 1;
            // Once per power of two: a flood of events must not become a flood of lines.
            if dropped.is_power_of_two() {
                let line = format!("{about}: {error}; {dropped} events were dropped so far");
                self.host.log(LogLevel::Error, SOURCE, &line);
            }
        }
    }

    /// Takes no more calls. Threads end when they have nothing to do.
    pub(crate) fn close(&self) {
        self.pool.close();
    }

    fn start_thread(self: Arc<Self>) -> bool {
        let host = Arc::clone(&self.host);
        let started = thread::Builder::new()
            .name("py-host".to_owned())
            .stack_size(pool::STACK_SIZE)
            .spawn(move || self.serve());
        if let Err(error) = &started {
            let line = format!("cannot start a thread for hooks: {error}");
            host.log(LogLevel::Error, SOURCE, &line);
        }
        started.is_ok()
    }

    /// The life of a host thread: attached while it works, detached while it waits, with
    /// one Python thread state all the time.
    fn serve(&self) {
        Python::attach(|py| {
            self.pool.entered(None);
            let worker = match self.deadlines.worker(py) {
                Ok(worker) => worker,
                Err(error) => {
                    error.print(py);
                    return self.pool.thread_failed();
                }
            };
            loop {
                let job = match self.pool.try_take() {
                    Some(job) => job,
                    None => {
                        let Some(job) = py.detach(|| self.pool.take()) else {
                            return;
                        };
                        self.pool.entered(Some(job.expected));
                        job
                    }
                };
                self.run_job(py, &worker, job);
            }
        });
    }

    fn run_job(&self, py: Python<'_>, worker: &Worker, job: Job) {
        let (lane, expected) = (job.lane(), job.expected);
        let left = job.limit.saturating_sub(job.queued.elapsed());
        let pooled = |reply| {
            Some(Pooled {
                reply,
                lane,
                expected,
            })
        };
        let written_off = match job.work {
            Work::Hook { mut object, reply } if reply.is_awaited() => {
                let running = job.hook.stats().start();
                worker.begin(Start {
                    plugin: job.hook.plugin(),
                    name: job.hook.name(),
                    now: running.began(),
                    left,
                    whole: job.limit,
                    pooled: pooled(Some(reply.clone())),
                });
                let (_, given) = Given::of(&mut object);
                let outcome = hook::run_hook(py, &self.main.support, &job.hook, given);
                let ended = worker.end(py);
                let written_off = worker.was_written_off();
                running.ended();
                self.disable_if_stubborn(&job.hook, &ended);
                self.log_cut(&job.hook, &outcome, ended.cut);
                let outcome = cut_outcome(outcome, ended.cut, job.limit);
                reply.send(outcome.map(|()| object));
                written_off
            }
            // The caller has given up meanwhile.
            Work::Hook { .. } => false,
            Work::Event(event) => self.run_event(py, worker, &job.hook, &event, pooled(None)),
        };
        self.pool.finished(lane, expected, written_off);
    }

    /// Runs an event handler; whether its thread was counted as lost meanwhile.
    fn run_event(
        &self,
        py: Python<'_>,
        worker: &Worker,
        hook: &PyHook,
        event: &Event,
        pooled: Option<Pooled>,
    ) -> bool {
        let limit = event.time_limit;
        worker.begin(Start {
            plugin: hook.plugin(),
            name: hook.name(),
            now: Instant::now(),
            left: limit,
            whole: limit,
            pooled,
        });
        let done = match hook.plugin().disabled() {
            Some(reason) => Err(format!("plugin is disabled until reload: {reason}")),
            None => hook::run_event(py, &self.main.support, hook, &event.payload),
        };
        let ended = worker.end(py);
        let written_off = worker.was_written_off();
        self.disable_if_stubborn(hook, &ended);
        if let Err(message) = done {
            let cut = if ended.cut {
                format!("ran longer than {limit:?}; ")
            } else {
                String::new()
            };
            let line = format!("{}: {cut}{message}", about(event));
            self.host.log(LogLevel::Error, SOURCE, &line);
        }
        written_off
    }

    fn disable_if_stubborn(&self, hook: &PyHook, ended: &Ended) {
        if ended.stubborn {
            self.deadlines.disable(&subject(hook));
        }
    }

    /// The request was answered when the limit passed; where the hook was is known only
    /// now.
    fn log_cut(&self, hook: &PyHook, outcome: &Result<(), DispatchError>, cut: bool) {
        if cut && let Err(DispatchError::Raised { message }) = outcome {
            let line = format!(
                "hook `{}` of plugin `{}` was stopped: {message}",
                hook.name(),
                hook.plugin().name
            );
            self.host.log(LogLevel::Warning, SOURCE, &line);
        }
    }
}

fn about(event: &Event) -> String {
    let (name, api) = (&event.handler_name, &event.api_id);
    format!("event handler `{name}` of API `{api}`")
}

#[cold]
fn refused(error: DispatchError) -> DispatchFuture<'static> {
    DispatchFuture::ready(Err(error))
}

fn subject(hook: &PyHook) -> Subject {
    Subject {
        plugin: Arc::clone(hook.plugin()),
        name: Arc::clone(hook.name()),
    }
}

/// What a run that was cut comes to: the limit, with the place where it was.
fn cut_outcome(
    outcome: Result<(), DispatchError>,
    cut: bool,
    limit: Duration,
) -> Result<(), DispatchError> {
    match outcome {
        Err(DispatchError::Raised { message }) if cut => Err(DispatchError::TimeLimit {
            limit,
            detail: format!("; {message}"),
        }),
        other => other,
    }
}

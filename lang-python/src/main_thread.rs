//! Python's main thread: the one that started the interpreter, kept for the life of the
//! process. It also does what must happen attached but not on the thread that asks for it,
//! such as dropping the code of a plugin.

use std::path::Path;
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;

use crate::interpreter;
use crate::support::Support;

type Job = Box<dyn for<'py> FnOnce(Python<'py>) + Send>;

/// The interpreter, started.
pub(crate) struct MainThread {
    jobs: mpsc::Sender<Job>,
    pub(crate) support: Support,
}

static MAIN: OnceLock<Result<MainThread, String>> = OnceLock::new();

/// Starts the interpreter; a process has one, so later calls give back the first one.
pub(crate) fn start(
    program: &Path,
    path_prefix: Option<&str>,
    fast_json: bool,
) -> Result<&'static MainThread, String> {
    let main = MAIN.get_or_init(|| spawn(program, path_prefix, fast_json));
    main.as_ref().map_err(Clone::clone)
}

/// The interpreter, if it runs.
pub(crate) fn running() -> Option<&'static MainThread> {
    MAIN.get()?.as_ref().ok()
}

fn spawn(program: &Path, path_prefix: Option<&str>, fast_json: bool) -> Result<MainThread, String> {
    let (jobs, inbox) = mpsc::channel::<Job>();
    let (ready, started) = mpsc::channel();
    let program = program.to_owned();
    let path_prefix = path_prefix.map(str::to_owned);
    thread::Builder::new()
        .name("py-main".to_owned())
        .stack_size(crate::pool::STACK_SIZE)
        .spawn(move || {
            if let Err(error) = interpreter::start(&program) {
                let _ = ready.send(Err(error));
                return;
            }
            let support = Python::attach(|py| {
                Support::install(py, path_prefix.as_deref(), fast_json).map_err(|error| {
                    error.print(py);
                    error.to_string()
                })
            });
            let _ = ready.send(support);
            // Idle means detached, so that threads of plugins run.
            while let Ok(job) = inbox.recv() {
                Python::attach(job);
            }
        })
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    let support = started
        .recv()
        .map_err(|_| "its thread ended during start-up".to_owned())??;
    Ok(MainThread { jobs, support })
}

impl MainThread {
    /// Does something on the main thread, later.
    pub(crate) fn later(&self, job: impl for<'py> FnOnce(Python<'py>) + Send + 'static) {
        // The thread lives as long as the process.
        let _ = self.jobs.send(Box::new(job));
    }

    /// Runs `atexit` callbacks and flushes the standard streams; gives up after `patience`.
    pub(crate) fn stop(&'static self, patience: Duration) -> Result<(), String> {
        let (done, stopped) = mpsc::channel();
        self.later(move |py| {
            let result = self.support.stop(py);
            let text = result.map_err(|error| self.support.describe(py, &error));
            let _ = done.send(text);
        });
        stopped
            .recv_timeout(patience)
            .unwrap_or_else(|_| Err(format!("it was not done after {patience:?}")))
    }
}

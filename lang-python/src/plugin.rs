//! Loaded plugin code: which files are read, which functions are found, and how the code
//! goes away again.

mod function;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use coprocess_core::{Hook, HookType, LoadError, Placement, Plugin, PluginSource, SourceKind};
use pyo3::prelude::*;

use crate::deadline::{Deadlines, Start, Worker};
use crate::hook::PyHook;
use crate::main_thread::MainThread;
use crate::options::Mode;
use crate::pool::{Pool, Risk};
pub(crate) use function::Function;
use function::functions;

/// What outlives the code in logs and counters.
#[derive(Debug)]
pub(crate) struct PluginState {
    pub(crate) id: u64,
    pub(crate) name: String,
    disabled: OnceLock<String>,
}

impl PluginState {
    /// Why the plugin may not run any more.
    pub(crate) fn disabled(&self) -> Option<&str> {
        self.disabled.get().map(String::as_str)
    }

    /// Switches the plugin off; whether it was on.
    pub(crate) fn disable(&self, reason: &str) -> bool {
        self.disabled.set(reason.to_owned()).is_ok()
    }
}

/// The modules of one load, alive while the plugin or a hook of it is.
pub(crate) struct PluginCode {
    pub(crate) state: Arc<PluginState>,
    generation: Option<Py<PyAny>>,
    functions: BTreeMap<Arc<str>, Arc<Function>>,
    problems: Vec<String>,
    main: &'static MainThread,
    pool: Arc<Pool>,
}

/// Plugin code as the gateway holds it.
pub(crate) struct PyPlugin(Arc<PluginCode>);

/// What a load tells its caller on the way.
enum Progress {
    Importing(PathBuf),
    Done(Box<Result<PluginCode, LoadError>>),
}

/// What loading needs of its surroundings.
pub(crate) struct Loader {
    pub(crate) main: &'static MainThread,
    pub(crate) deadlines: Arc<Deadlines>,
    pub(crate) import_timeout: Duration,
}

/// Beyond the limit, for an import that ends when it is cut.
const GRACE: Duration = Duration::from_secs(1);

impl Loader {
    /// Loads a source on a thread of its own, which is given up when an import does not
    /// end.
    pub(crate) fn load(&self, source: &PluginSource) -> Result<Arc<dyn Plugin>, LoadError> {
        let files = entry_files(source)?;
        let print = fingerprint(source);
        if lock(&HANGING).contains(&print) {
            return Err(LoadError::Other(format!(
                "{}: an import of the same files was given up and still goes on; they are \
                 loaded once they have changed or it has ended",
                source.root.display()
            )));
        }
        let attempt = Attempt::begin(print, Risk::begin(&self.deadlines.pool));
        let (progress, told) = mpsc::channel();
        let load = Load {
            root: source.root.clone(),
            files,
            tolerant: source.kind == SourceKind::Directory,
            main: self.main,
            deadlines: Arc::clone(&self.deadlines),
            limit: self.import_timeout,
            state: Arc::new(PluginState {
                id: next_id(),
                name: source.name.clone(),
                disabled: OnceLock::new(),
            }),
        };
        let watched = Arc::clone(&attempt);
        thread::Builder::new()
            .name("py-load".to_owned())
            .stack_size(crate::pool::STACK_SIZE)
            .spawn(move || {
                let _ends = Ends(watched);
                let code = Python::attach(|py| load.run(py, &progress));
                let _ = progress.send(Progress::Done(Box::new(code)));
            })
            .map_err(|error| LoadError::Other(format!("cannot start a thread: {error}")))?;
        let mut current = source.root.clone();
        loop {
            match told.recv_timeout(self.import_timeout + GRACE) {
                Ok(Progress::Importing(file)) => current = file,
                Ok(Progress::Done(code)) => {
                    return code.map(|code| Arc::new(PyPlugin(Arc::new(code))) as Arc<dyn Plugin>);
                }
                Err(_) => {
                    attempt.give_up();
                    return Err(LoadError::Other(format!(
                        "{}: import did not end within {} ms and could not be stopped",
                        current.display(),
                        self.import_timeout.as_millis()
                    )));
                }
            }
        }
    }
}

/// Loads that were given up and still go on, by what they load. Each holds a thread, and
/// loading the same again would hold another.
static HANGING: Mutex<BTreeSet<u64>> = Mutex::new(BTreeSet::new());

/// A load as both threads that know of it see it.
struct Attempt {
    print: u64,
    stage: Mutex<Stage>,
}

enum Stage {
    /// Nothing runs in place meanwhile.
    Runs {
        _risk: Risk,
    },
    GivenUp,
    Ended,
}

/// Lives as long as the thread of a load.
struct Ends(Arc<Attempt>);

impl Attempt {
    fn begin(print: u64, risk: Risk) -> Arc<Self> {
        let stage = Mutex::new(Stage::Runs { _risk: risk });
        Arc::new(Self { print, stage })
    }

    /// One that still has the interpreter is seen by what tries to stop it, so hooks may
    /// run in place again: it may go on for ever.
    fn give_up(&self) {
        let mut stage = lock(&self.stage);
        if matches!(*stage, Stage::Runs { .. }) {
            *stage = Stage::GivenUp;
            lock(&HANGING).insert(self.print);
        }
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        let mut stage = lock(&self.0.stage);
        if matches!(std::mem::replace(&mut *stage, Stage::Ended), Stage::GivenUp) {
            lock(&HANGING).remove(&self.0.print);
        }
    }
}

/// Tells sources apart by where they are and what is in them.
fn fingerprint(source: &PluginSource) -> u64 {
    let mut hasher = DefaultHasher::new();
    source.root.hash(&mut hasher);
    for file in &source.files {
        // What cannot be read is for the import to tell.
        let content = std::fs::read(source.root.join(file)).unwrap_or_default();
        (file, content).hash(&mut hasher);
    }
    hasher.finish()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The files whose functions count: the entry of a bundle, or all of a directory.
fn entry_files(source: &PluginSource) -> Result<Vec<PathBuf>, LoadError> {
    let is_python = |file: &&PathBuf| file.extension().is_some_and(|ending| ending == "py");
    let all: Vec<PathBuf> = source.files.iter().filter(is_python).cloned().collect();
    if source.kind == SourceKind::Directory {
        return Ok(all);
    }
    let entry = Path::new("middleware.py");
    match all.as_slice() {
        [] => Err(LoadError::Other(format!(
            "bundle `{}` has no Python file; its files are: {}",
            source.name,
            shown(&source.files)
        ))),
        files if source.files.len() > 1 && files.iter().any(|file| file == entry) => {
            Ok(vec![entry.to_owned()])
        }
        _ => Ok(all),
    }
}

fn shown(files: &[PathBuf]) -> String {
    let names: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    names.join(", ")
}

/// One load in progress, on its own thread.
struct Load {
    root: PathBuf,
    files: Vec<PathBuf>,
    /// A file that fails is a problem, not the end.
    tolerant: bool,
    main: &'static MainThread,
    deadlines: Arc<Deadlines>,
    limit: Duration,
    state: Arc<PluginState>,
}

impl Load {
    fn run(
        self,
        py: Python<'_>,
        progress: &mpsc::Sender<Progress>,
    ) -> Result<PluginCode, LoadError> {
        let support = &self.main.support;
        let failed = |error: PyErr| LoadError::Other(support.describe(py, &error));
        let worker = self.deadlines.worker(py).map_err(failed)?;
        let root = std::path::absolute(&self.root).unwrap_or_else(|_| self.root.clone());
        let generation = support
            .generation
            .call1(py, (self.state.id, root.as_os_str()))
            .map_err(failed)?;
        // From here on dropping `code` forgets the modules.
        let mut code = PluginCode {
            state: Arc::clone(&self.state),
            generation: Some(generation.clone_ref(py)),
            functions: BTreeMap::new(),
            problems: Vec::new(),
            main: self.main,
            pool: Arc::clone(&self.deadlines.pool),
        };
        for file in &self.files {
            let path = root.join(file);
            let _ = progress.send(Progress::Importing(path.clone()));
            let found = self.import(py, &worker, generation.bind(py), &path);
            match found {
                Ok(functions) => code.add(functions),
                Err(error) if self.tolerant => code.problems.push(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        Ok(code)
    }

    fn import(
        &self,
        py: Python<'_>,
        worker: &Worker,
        generation: &Bound<'_, PyAny>,
        path: &Path,
    ) -> Result<Vec<Function>, LoadError> {
        let file = path.display().to_string();
        let support = &self.main.support;
        worker.begin(Start {
            plugin: &self.state,
            name: &format!("import of {file}").into(),
            now: Instant::now(),
            left: self.limit,
            whole: self.limit,
            pooled: None,
        });
        // All of it runs code of the plugin, which may not end: looking at its objects
        // does, and making a text of its error.
        let found = generation
            .call_method1("load", (path.as_os_str(),))
            .and_then(|module| functions(py, &support.handlers, &module))
            .map_err(|error| {
                let place = support.error_line(py, &error, &file);
                (place, support.describe(py, &error))
            });
        let ended = worker.end(py);
        found.map_err(|(place, message)| {
            if ended.cut {
                return LoadError::Other(format!(
                    "{place}: import did not end within {} ms",
                    self.limit.as_millis()
                ));
            }
            LoadError::Code {
                file: place,
                message,
            }
        })
    }
}

impl PluginCode {
    #[cfg(test)]
    pub(crate) fn without_functions(main: &'static MainThread, pool: Arc<Pool>) -> Self {
        Self {
            state: Arc::new(PluginState {
                id: next_id(),
                name: "under-test".to_owned(),
                disabled: OnceLock::new(),
            }),
            generation: None,
            functions: BTreeMap::new(),
            problems: Vec::new(),
            main,
            pool,
        }
    }

    /// Adds the functions of one file; a name that is there already is replaced.
    fn add(&mut self, functions: Vec<Function>) {
        for function in functions {
            let function = Arc::new(function);
            let name = Arc::clone(&function.name);
            let Some(before) = self.functions.insert(name, Arc::clone(&function)) else {
                continue;
            };
            if !before.callable.is(&function.callable) {
                self.problems.push(format!(
                    "function `{}` is defined at {} and at {}; the latter counts",
                    function.name, before.location, function.location
                ));
            }
        }
    }
}

impl Drop for PluginCode {
    fn drop(&mut self) {
        // May happen on any thread, a data-plane thread among them, and takes the time of
        // a collection.
        let functions = std::mem::take(&mut self.functions);
        let generation = self.generation.take();
        let risk = Risk::begin(&self.pool);
        self.main.later(move |py| {
            let _risk = risk;
            drop(functions);
            if let Some(generation) = generation {
                let forgotten = generation.call_method0(py, "drop");
                if let Err(error) = forgotten {
                    error.print(py);
                }
            }
        });
    }
}

impl Plugin for PyPlugin {
    fn hook(&self, name: &str, _hook_type: HookType) -> Result<Hook, LoadError> {
        self.function(name, false, None)
    }

    fn placed_hook(
        &self,
        name: &str,
        _hook_type: HookType,
        placement: Placement,
    ) -> Result<Hook, LoadError> {
        self.function(name, false, Some(placement.into()))
    }

    fn event_handler(&self, name: &str) -> Result<Hook, LoadError> {
        self.function(name, true, None)
    }

    fn problems(&self) -> Vec<String> {
        self.0.problems.clone()
    }

    fn is_disabled(&self) -> bool {
        self.0.state.disabled().is_some()
    }
}

impl PyPlugin {
    fn function(
        &self,
        name: &str,
        for_events: bool,
        mode: Option<Mode>,
    ) -> Result<Hook, LoadError> {
        let functions = &self.0.functions;
        let Some(function) = functions.get(name) else {
            let fitting = functions.iter().filter(|(_, f)| f.is_event == for_events);
            return Err(LoadError::UnknownHook {
                name: name.to_owned(),
                known: fitting.map(|(name, _)| name.to_string()).collect(),
            });
        };
        if function.is_event != for_events {
            let expected = if for_events {
                "it is a hook; decorate an event handler with @Event"
            } else {
                "it is an event handler; decorate a hook with @Hook"
            };
            return Err(LoadError::BadHook {
                name: name.to_owned(),
                reason: format!("{expected} ({})", function.location),
            });
        }
        function.check_arity()?;
        Ok(Hook::new(PyHook {
            code: Arc::clone(&self.0),
            function: Arc::clone(function),
            mode,
        }))
    }
}

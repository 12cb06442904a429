//! Starts languages, loads code, runs hooks.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coprocess_core::{CoProcessLanguage, Hook, HookType, Host, InitContext, LanguageRegistry, ffi};
use tokio::runtime::Runtime;

use super::Problem;
use super::code::{Chosen, Code};
use super::host::Recorder;
use super::input::Input;
use super::outcome::Outcome;
use super::show::Times;
use super::trial::Trial;
use crate::config::Config;
use crate::coprocess::{CallSettings, HookCall, HookStep};
use crate::events::{self, ApiEvents, Handlers};
use crate::session::Sessions;
use crate::storage::{MemoryStore, Store};

/// What runs hooks.
pub(super) struct Runner<'a> {
    config: Config,
    registry: &'a LanguageRegistry,
    recorder: Arc<Recorder>,
    runtime: Runtime,
    started: RefCell<Vec<(String, Arc<dyn CoProcessLanguage>)>>,
}

/// A hook that can be run.
pub(super) struct Loaded {
    chosen: Chosen,
    language: Arc<dyn CoProcessLanguage>,
    hook: Hook,
}

impl Loaded {
    pub(super) fn name(&self) -> &str {
        &self.chosen.entry.name
    }

    pub(super) fn hook_type(&self) -> HookType {
        self.chosen.hook_type
    }

    pub(super) fn driver(&self) -> &str {
        &self.chosen.driver
    }
}

impl<'a> Runner<'a> {
    /// Without a language; each is started when a hook needs it.
    pub(super) fn start(config: Config, registry: &'a LanguageRegistry) -> Self {
        let recorder = Arc::new(Recorder::default());
        ffi::install_host(Arc::<Recorder>::clone(&recorder) as Arc<dyn Host>);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("the system has files left for a runtime");
        Self {
            config,
            registry,
            recorder,
            runtime,
            started: RefCell::default(),
        }
    }

    /// Forgets what was logged and stored.
    pub(super) fn forget(&self) {
        self.recorder.clear();
    }

    /// Starts the language and loads the code.
    pub(super) fn load(
        &self,
        code: &Code,
        name: &str,
        wanted: Option<HookType>,
    ) -> Result<Loaded, Problem> {
        let chosen = code.choose(name, wanted)?;
        let language = self.language(&chosen.driver, code)?;
        let failed = |reason: String| {
            let (hook, driver) = (chosen.hook_type.as_str(), &chosen.driver);
            Problem::Hook(format!("{hook} hook `{name}` in {driver}: {reason}"))
        };
        let remote = language.remote(&code.options(&chosen.driver));
        let plugin = remote
            .unwrap_or_else(|| language.load(&code.source))
            .map_err(|error| failed(error.to_string()))?;
        let hook = plugin.hook(name, chosen.hook_type).map_err(|error| {
            let mut reasons = vec![error.to_string()];
            reasons.extend(plugin.problems());
            failed(reasons.join("; "))
        })?;
        Ok(Loaded {
            chosen,
            language,
            hook,
        })
    }

    fn language(&self, driver: &str, code: &Code) -> Result<Arc<dyn CoProcessLanguage>, Problem> {
        let started = self.started.borrow();
        if let Some((_, language)) = started.iter().find(|(name, _)| name == driver) {
            return Ok(Arc::clone(language));
        }
        drop(started);
        let registrations = self.registry.registrations();
        let Some(registration) = registrations
            .iter()
            .find(|one| one.drivers.contains(&driver))
        else {
            let known: Vec<_> = registrations.iter().flat_map(|one| one.drivers).collect();
            return Err(Problem::Usage(missing_driver(driver, &known)));
        };
        let context = InitContext {
            host: Arc::<Recorder>::clone(&self.recorder) as Arc<dyn Host>,
            options: self.config.coprocess_options.language.clone(),
            plugin_directory: code.root().to_owned(),
            workers: 1,
        };
        let language: Arc<dyn CoProcessLanguage> = (registration.new)().into();
        language
            .init(context)
            .map_err(|error| Problem::Hook(format!("driver `{driver}` did not start: {error}")))?;
        // What a language says of itself is no news to who runs a hook.
        self.recorder.take();
        let entry = (driver.to_owned(), Arc::clone(&language));
        self.started.borrow_mut().push(entry);
        Ok(language)
    }

    /// Runs the hook once.
    pub(super) fn run(&self, loaded: &Loaded, input: &Input) -> Result<Outcome, Problem> {
        let trial = self.trial(loaded, input)?;
        let before = trial.before.clone();
        let began = Instant::now();
        let result = self.runtime.block_on(trial.go());
        let took = began.elapsed();
        Ok(Outcome {
            before,
            result,
            record: self.recorder.take(),
            took,
        })
    }

    /// Runs the hook many times, each time on a request as it was at first.
    pub(super) fn measure(
        &self,
        loaded: &Loaded,
        input: &Input,
        calls: u32,
    ) -> Result<Times, Problem> {
        let mut times = Vec::new();
        for _ in 0..calls {
            let trial = self.trial(loaded, input)?;
            let began = Instant::now();
            let ended = self.runtime.block_on(trial.go());
            times.push(began.elapsed());
            self.recorder.take();
            if let Err(error) = ended {
                let number = times.len();
                return Err(Problem::Hook(format!(
                    "call {number} of {calls} failed: {error}"
                )));
            }
        }
        Ok(Times::of(times))
    }

    fn trial(&self, loaded: &Loaded, input: &Input) -> Result<Trial, Problem> {
        // A place for sessions that nobody reads, and events that nobody hears.
        let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
        let (sessions, _) = Sessions::new(self.config.sessions(), Arc::clone(&store));
        let (events, _, _) = events::start(&Default::default(), store);
        let events = ApiEvents::new(events, Handlers::default());
        Trial::new(self.step(loaded), sessions, events, input)
    }

    fn step(&self, loaded: &Loaded) -> HookStep {
        let (entry, options) = (&loaded.chosen.entry, &self.config.coprocess_options);
        let settings = CallSettings {
            time_limit: match entry.timeout_ms {
                0 => self.config.hook_time_limit(),
                milliseconds => Duration::from_millis(milliseconds),
            },
            raw_body_only: entry.raw_body_only,
            body: entry.body,
            max_body_bytes: options.max_body_bytes,
        };
        let (language, hook) = (Arc::clone(&loaded.language), loaded.hook.clone());
        HookStep {
            hook_type: loaded.hook_type(),
            name: loaded.name().into(),
            driver: loaded.driver().into(),
            state: Ok(HookCall::new(language, hook, settings)),
        }
    }
}

fn missing_driver(driver: &str, known: &[&&str]) -> String {
    let known: Vec<_> = known.iter().map(|name| **name).collect();
    let known = match known.as_slice() {
        [] => "none".to_owned(),
        known => known.join(", "),
    };
    format!(
        "driver `{driver}` is not in this binary, which has: {known}; build it with \
         `--features coprocess,{driver}`"
    )
}

//! Turns hook entries into steps: finds the language, the code and the function.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coprocess_core::{Hook, HookType, LoadError, Placement, Plugin, PluginSource, SourceKind};
use serde_json::{Map, Value};
use tracing::{error, warn};

use super::drivers::Drivers;
use crate::bundle::Bundle;
use crate::config::Config;
use crate::coprocess::{Broken, CallSettings, Driver, HookCall, HookStep};
use crate::definition::{CustomMiddleware, Dispatch, HookEntry};

/// What an API says to a language.
type Options = Map<String, Value>;

/// The folder of the bundle, if the code is in one, and the driver.
type CodeKey = (Option<PathBuf>, Arc<str>);

/// Resolves the hook entries of one load. Code that several APIs share is loaded once.
pub(super) struct HookResolver<'a> {
    config: &'a Config,
    drivers: &'a Drivers,
    loaded: HashMap<CodeKey, Result<Arc<dyn Plugin>, String>>,
    event_folders: HashMap<Arc<str>, Result<Arc<dyn Plugin>, String>>,
}

/// Where event handlers may lie beside the plugin folders, below the working directory.
const EVENT_FOLDER: &str = "event_handlers";

impl<'a> HookResolver<'a> {
    pub(super) fn new(config: &'a Config, drivers: &'a Drivers) -> Self {
        Self {
            config,
            drivers,
            loaded: HashMap::new(),
            event_folders: HashMap::new(),
        }
    }

    /// The step for one entry.
    pub(super) fn step(
        &mut self,
        api: &str,
        bundle: Option<&Bundle>,
        middleware: &CustomMiddleware,
        entry: &HookEntry,
        hook_type: HookType,
    ) -> HookStep {
        let driver: Arc<str> = driver_of(&entry.driver, middleware).into();
        let state = self.resolve(&driver, bundle, middleware, entry, hook_type);
        if let Err(broken) = &state {
            let (hook, name, driver) = (hook_type.as_str(), &*entry.name, &*driver);
            error!(
                api,
                hook,
                name,
                driver,
                reason = broken.reason(),
                "Hook refuses its requests."
            );
        }
        HookStep {
            hook_type,
            name: entry.name.as_str().into(),
            driver,
            state,
        }
    }

    /// The language of that name, if plugins run and it is up.
    pub(super) fn driver(&self, name: &str) -> Result<Driver, Broken> {
        if !self.config.coprocess_options.enable_coprocess {
            return Err(Broken::Driver(
                "plugins are switched off; set coprocess_options.enable_coprocess to true".into(),
            ));
        }
        self.find_driver(name)
    }

    /// The function that handles events: of the API's own plugin source, or else of the
    /// folder that all APIs share.
    pub(super) fn event_handler(
        &mut self,
        driver: &Driver,
        bundle: Option<&Bundle>,
        options: Option<&Options>,
        name: &str,
    ) -> Result<Hook, String> {
        let find = |plugin: Arc<dyn Plugin>| {
            let found = plugin.event_handler(name);
            found.map_err(|error| with_problems(&error, &*plugin))
        };
        let own = self.plugin(bundle, driver, options);
        let own = own.map_err(|broken| broken.reason().to_owned());
        let own = own.and_then(find);
        let Err(reason) = own else { return own };
        match self.event_folder(driver) {
            None => Err(reason),
            Some(shared) => shared
                .and_then(find)
                .map_err(|other| format!("{reason}; in {EVENT_FOLDER}: {other}")),
        }
    }

    /// The code of the folder of event handlers, if there is such a folder.
    fn event_folder(&mut self, driver: &Driver) -> Option<Result<Arc<dyn Plugin>, String>> {
        let folder = Path::new(EVENT_FOLDER);
        if !folder.is_dir() {
            return None;
        }
        let name = Arc::clone(&driver.name);
        let loaded = self.event_folders.entry(name);
        Some(
            loaded
                .or_insert_with(|| load_directory(folder, driver))
                .clone(),
        )
    }

    /// How long event handlers may run.
    pub(super) fn time_limit(&self) -> Duration {
        self.config.hook_time_limit()
    }

    fn resolve(
        &mut self,
        driver: &str,
        bundle: Option<&Bundle>,
        middleware: &CustomMiddleware,
        entry: &HookEntry,
        hook_type: HookType,
    ) -> Result<HookCall, Broken> {
        let found = self.driver(driver)?;
        let options = middleware.driver_options.get(driver);
        let plugin = self.plugin(bundle, &found, options)?;
        let hook = match middleware.dispatch.map(placement) {
            Some(placement) => plugin.placed_hook(&entry.name, hook_type, placement),
            None => plugin.hook(&entry.name, hook_type),
        };
        let hook = hook.map_err(|error| Broken::Code(with_problems(&error, &*plugin)))?;
        Ok(HookCall::new(found.language, hook, self.settings(entry)))
    }

    fn settings(&self, entry: &HookEntry) -> CallSettings {
        let time_limit = match entry.timeout_ms {
            0 => self.config.hook_time_limit(),
            milliseconds => Duration::from_millis(milliseconds),
        };
        CallSettings {
            time_limit,
            raw_body_only: entry.raw_body_only,
            body: entry.body,
            max_body_bytes: self.config.coprocess_options.max_body_bytes,
        }
    }

    fn find_driver(&self, name: &str) -> Result<Driver, Broken> {
        match self.drivers.find(name) {
            Some(Ok(driver)) => return Ok(driver),
            Some(Err(reason)) => {
                return Err(Broken::Driver(format!(
                    "driver `{name}` did not start: {reason}"
                )));
            }
            None => {}
        }
        let known = self.drivers.names();
        let known = if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        };
        Err(Broken::Driver(if name.is_empty() {
            format!("no driver is named; set custom_middleware.driver to one of: {known}")
        } else {
            format!(
                "driver `{name}` is not in this binary, which has: {known}; build it with \
                 `--features coprocess,{name}`"
            )
        }))
    }

    /// The plugin of an API: a remote one, or its code.
    fn plugin(
        &mut self,
        bundle: Option<&Bundle>,
        driver: &Driver,
        options: Option<&Options>,
    ) -> Result<Arc<dyn Plugin>, Broken> {
        match remote(driver, options)? {
            Some(plugin) => Ok(plugin),
            None => self.code(bundle, driver).map_err(Broken::Code),
        }
    }

    fn code(
        &mut self,
        bundle: Option<&Bundle>,
        driver: &Driver,
    ) -> Result<Arc<dyn Plugin>, String> {
        let key = (
            bundle.map(|bundle| bundle.root.clone()),
            Arc::clone(&driver.name),
        );
        if let Some(loaded) = self.loaded.get(&key) {
            return loaded.clone();
        }
        let loaded = match bundle {
            Some(bundle) => bundle.plugin(&driver.name, || load_bundle(bundle, driver)),
            None => load_directory(&self.config.middleware_path.join(&*driver.name), driver),
        };
        self.loaded.insert(key, loaded.clone());
        loaded
    }
}

/// The language's plugin for functions that live elsewhere, if it has such.
fn remote(driver: &Driver, options: Option<&Options>) -> Result<Option<Arc<dyn Plugin>>, Broken> {
    let (name, none) = (&driver.name, Options::new());
    let given = options.unwrap_or(&none);
    match driver.language.remote(given) {
        Some(Ok(plugin)) => Ok(Some(plugin)),
        Some(Err(error)) => Err(Broken::Driver(format!("driver `{name}`: {error}"))),
        None if given.is_empty() => Ok(None),
        None => Err(Broken::Driver(format!(
            "driver_options.{name}: driver `{name}` has no options of an API"
        ))),
    }
}

fn placement(dispatch: Dispatch) -> Placement {
    match dispatch {
        Dispatch::Auto => Placement::Auto,
        Dispatch::Inline => Placement::Inline,
        Dispatch::Thread => Placement::Thread,
    }
}

/// The driver of an entry: its own if it names one, or else the API's.
pub(super) fn driver_of<'a>(own: &'a str, middleware: &'a CustomMiddleware) -> &'a str {
    if own.is_empty() {
        &middleware.driver
    } else {
        own
    }
}

/// Why a function is not there, and what kept files from loading: it may be in one of them.
fn with_problems(error: &LoadError, plugin: &dyn Plugin) -> String {
    let mut reason = error.to_string();
    for problem in plugin.problems() {
        reason.push_str("; ");
        reason.push_str(&problem);
    }
    reason
}

fn load_bundle(bundle: &Bundle, driver: &Driver) -> Result<Arc<dyn Plugin>, String> {
    let source = PluginSource {
        name: bundle.name.clone(),
        root: bundle
            .root
            .canonicalize()
            .map_err(|error| format!("{}: {error}", bundle.root.display()))?,
        files: bundle.manifest.files.clone(),
        kind: SourceKind::Bundle,
    };
    load(&source, driver)
}

fn load_directory(root: &Path, driver: &Driver) -> Result<Arc<dyn Plugin>, String> {
    let name = root.display().to_string();
    let files = files_in(root).map_err(|error| {
        format!("cannot read plugin folder {name}: {error}; it comes from middleware_path")
    })?;
    let root = root
        .canonicalize()
        .map_err(|error| format!("{name}: {error}"))?;
    let source = PluginSource {
        name,
        root,
        files,
        kind: SourceKind::Directory,
    };
    load(&source, driver)
}

fn load(source: &PluginSource, driver: &Driver) -> Result<Arc<dyn Plugin>, String> {
    let plugin = driver
        .language
        .load(source)
        .map_err(|error| error.to_string())?;
    for problem in plugin.problems() {
        warn!(
            driver = &*driver.name,
            problem, "Plugin file has a problem."
        );
    }
    Ok(plugin)
}

/// The files of a folder, in name order; sub-folders are left out.
fn files_in(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        // Follows links on purpose: mounted configuration is made of them.
        if entry.path().is_file() {
            files.push(PathBuf::from(entry.file_name()));
        }
    }
    files.sort();
    Ok(files)
}

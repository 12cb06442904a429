//! Python plugins for the gateway, on CPython inside the gateway's process.
//!
//! [`PythonLanguage`] implements [`CoProcessLanguage`]. There is one interpreter per
//! process, started on a thread of its own and never finalised. Hooks that have proved
//! short run on the caller's thread, all others on threads that this crate owns; a hook
//! that blocks stops nobody, and one that does not end is cut at its limit.
//!
//! What plugins see is in `objects` (message classes that behave as protobuf's) and in
//! `python/` (decorators, the `tyk` package, the loader), which is part of the binary.
#![cfg(feature = "embed")]

mod deadline;
mod dispatch;
mod hook;
mod interpreter;
mod json;
mod main_thread;
mod native;
mod objects;
mod oneshot;
mod options;
mod plugin;
mod pool;
mod stats;
mod support;
mod views;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use coprocess_core::{
    CoProcessLanguage, DispatchError, DispatchFuture, Event, InitContext, InitError, LoadError,
    LogLevel, Object, Plugin, PluginSource, register_language,
};

use crate::dispatch::Runtime;
use crate::plugin::Loader;

/// How long plugins may take over what they registered with `atexit`.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(5);

/// The language that runs Python plugins.
#[derive(Default)]
pub struct PythonLanguage {
    runtime: OnceLock<Arc<Runtime>>,
}

impl CoProcessLanguage for PythonLanguage {
    fn init(&self, context: InitContext) -> Result<(), InitError> {
        let runtime = Runtime::start(context)?;
        self.runtime
            .set(runtime)
            .map_err(|_| InitError::Interpreter("it was initialised before".to_owned()))
    }

    fn dispatch(&self, object: Object) -> DispatchFuture<'_> {
        match self.runtime.get() {
            Some(runtime) => runtime.dispatch(object),
            None => DispatchFuture::ready(Err(DispatchError::Unavailable(
                "Python was not initialised".to_owned(),
            ))),
        }
    }

    fn trigger_event(&self, event: Event) {
        if let Some(runtime) = self.runtime.get() {
            runtime.trigger_event(event);
        }
    }

    fn load(&self, source: &PluginSource) -> Result<Arc<dyn Plugin>, LoadError> {
        let Some(runtime) = self.runtime.get() else {
            return Err(LoadError::Other("Python was not initialised".to_owned()));
        };
        let loader = Loader {
            main: runtime.main,
            deadlines: Arc::clone(&runtime.deadlines),
            import_timeout: runtime.options.import_timeout,
        };
        loader.load(source)
    }

    fn shutdown(&self) {
        let Some(runtime) = self.runtime.get() else {
            return;
        };
        runtime.close();
        if let Err(error) = runtime.main.stop(SHUTDOWN_LIMIT) {
            let line = format!("shutdown: {error}");
            runtime.host.log(LogLevel::Warning, native::SOURCE, &line);
        }
    }
}

impl Drop for PythonLanguage {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.get() {
            runtime.close();
        }
    }
}

register_language! {
    name: "python",
    drivers: &["python"],
    options: options::KEYS,
    new: || Box::new(PythonLanguage::default()),
}

//! The languages of this process, each started when the first API needs it.
//!
//! An interpreter takes tens of megabytes before it runs anything. Whoever runs no plugin in
//! a language does not pay for it because it is in the binary.

use std::sync::{Arc, OnceLock};

use coprocess_core::{
    CoProcessLanguage, Host, InitContext, LanguageRegistration, LanguageRegistry,
};
use tracing::{error, info};

use crate::config::Config;
use crate::coprocess::Driver;

/// All drivers of this process.
pub struct Drivers {
    languages: Vec<Linked>,
    names: Vec<&'static str>,
    config: Arc<Config>,
    host: Arc<dyn Host>,
}

/// A language that is in the binary.
struct Linked {
    registration: LanguageRegistration,
    /// What became of its start, once somebody asked for it.
    started: OnceLock<Started>,
}

/// A language that came up, or why it did not.
type Started = Result<Arc<dyn CoProcessLanguage>, String>;

impl Drivers {
    /// The languages of `registry`. Those that no API can ask for, having no driver, start
    /// now.
    pub fn new(registry: &LanguageRegistry, config: &Arc<Config>, host: &Arc<dyn Host>) -> Self {
        let linked = |registration: &LanguageRegistration| Linked {
            registration: *registration,
            started: OnceLock::new(),
        };
        let drivers = Self {
            languages: registry.registrations().iter().map(linked).collect(),
            names: registry.drivers(),
            config: Arc::clone(config),
            host: Arc::clone(host),
        };
        for language in &drivers.languages {
            let (name, names) = (language.registration.name, language.registration.drivers);
            if names.is_empty() {
                language.started.get_or_init(|| drivers.start(language));
            } else if config.coprocess_options.enable_coprocess {
                info!(language = name, drivers = ?names, "Language is there.");
            } else {
                info!(
                    language = name,
                    "Plugins are switched off by enable_coprocess."
                );
            }
        }
        drivers
    }

    /// The driver of this name, started if it was not; nothing if no language has it. Blocks
    /// while the language starts.
    pub fn find(&self, name: &str) -> Option<Result<Driver, String>> {
        let language = self
            .languages
            .iter()
            .find(|language| language.registration.drivers.contains(&name))?;
        let started = language.started.get_or_init(|| self.start(language));
        Some(
            started
                .as_ref()
                .map_err(Clone::clone)
                .map(|language| Driver {
                    name: name.into(),
                    language: Arc::clone(language),
                }),
        )
    }

    /// What definitions may name.
    pub fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// Ends the languages that were started, after the last request.
    pub fn shut_down(&self) {
        for language in &self.languages {
            if let Some(Ok(language)) = language.started.get() {
                language.shutdown();
            }
        }
    }

    fn start(&self, linked: &Linked) -> Started {
        let registration = &linked.registration;
        let language: Arc<dyn CoProcessLanguage> = (registration.new)().into();
        let folder = registration.drivers.first().unwrap_or(&registration.name);
        let context = InitContext {
            host: Arc::clone(&self.host),
            options: self.config.coprocess_options.language.clone(),
            plugin_directory: self.config.middleware_path.join(folder),
            workers: self.config.worker_count(),
        };
        match language.init(context) {
            Ok(()) => {
                info!(language = registration.name, drivers = ?registration.drivers, "Language is up.");
                Ok(language)
            }
            Err(error) => {
                error!(language = registration.name, %error, "Language did not start.");
                Err(error.to_string())
            }
        }
    }
}

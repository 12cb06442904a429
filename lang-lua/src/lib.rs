//! Lua plugins for the gateway, on LuaJIT.
//!
//! A hook is a global function of the plugin's code, named as the hook entry says:
//!
//! | hook | called with | returns |
//! |---|---|---|
//! | pre, post, post_key_auth | `request, session, spec` | `request, session` |
//! | auth_check | `request, session, metadata, spec` | `request, session, metadata` |
//! | response | `request, response, session, metadata, spec` | `response` |
//! | event handler | `event, spec` | – |
//!
//! The first value must be a table: what was passed in, or another with the same fields.
//! The others may be left out, which leaves session and metadata as the arguments have them
//! (an `auth_check` hook that returns no session has refused the caller). What else a hook
//! returns, nothing at all included, is an error that fails the request.
//!
//! Fields have the names of the wire messages. Fields that are tables (`headers`,
//! `set_headers`, `return_overrides`, …) are plain tables, made when they are first read.
//! A field that is assigned and does not exist is an error.
//!
//! Each plugin runs in VMs of its own, one per thread, without access to files, processes
//! or the network. A VM belongs to the thread that made it: `dispatch` runs in place.
#![cfg(feature = "embed")]

mod budget;
mod convert;
mod dispatch;
mod events;
mod natives;
mod options;
mod patterns;
mod plugin;
mod raw;
mod session;
mod source;
mod vm;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use coprocess_core::{
    CoProcessLanguage, DispatchError, DispatchFuture, Event, InitContext, InitError, LoadError,
    Object, Plugin, PluginSource, register_language,
};

use crate::dispatch::Shared;
use crate::events::Events;
use crate::options::Options;
use crate::raw::interrupt;

/// What the configuration and the logs call this language.
pub(crate) const DRIVER: &str = "lua";

/// Lua on LuaJIT.
#[derive(Default)]
pub struct Lua(OnceLock<Started>);

struct Started {
    shared: Arc<Shared>,
    events: Mutex<Option<Events>>,
}

impl CoProcessLanguage for Lua {
    fn init(&self, context: InitContext) -> Result<(), InitError> {
        let options = Options::read(&context.options)?;
        interrupt::start().map_err(InitError::Interpreter)?;
        interrupt::self_test().map_err(InitError::Interpreter)?;
        let shared = Arc::new(Shared {
            options,
            host: context.host,
        });
        let events = Events::start(Arc::clone(&shared))
            .map_err(|error| InitError::Interpreter(format!("cannot start a thread: {error}")))?;
        let started = Started {
            shared,
            events: Mutex::new(Some(events)),
        };
        self.0
            .set(started)
            .map_err(|_| InitError::Interpreter("already started".to_owned()))
    }

    fn dispatch(&self, mut object: Object) -> DispatchFuture<'_> {
        let outcome = match self.0.get() {
            Some(started) => dispatch::dispatch(&started.shared, &mut object),
            None => Err(DispatchError::Unavailable(
                "it is not initialised".to_owned(),
            )),
        };
        // Written out, so that the object is moved once.
        match outcome {
            Ok(()) => DispatchFuture::ready(Ok(object)),
            Err(error) => DispatchFuture::ready(Err(error)),
        }
    }

    fn trigger_event(&self, event: Event) {
        if let Some(started) = self.0.get() {
            let events = started
                .events
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(events) = &*events {
                events.send(&started.shared, event);
            }
        }
    }

    fn load(&self, source: &PluginSource) -> Result<Arc<dyn Plugin>, LoadError> {
        match self.0.get() {
            Some(started) => plugin::load(source, &started.shared.options, &started.shared.host),
            None => Err(LoadError::Other("lua is not initialised".to_owned())),
        }
    }

    fn shutdown(&self) {
        if let Some(started) = self.0.get() {
            let mut events = started
                .events
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *events = None;
        }
    }
}

register_language! {
    name: "lua",
    drivers: &[DRIVER],
    options: options::KEYS,
    new: || Box::new(Lua::default()),
}

//! Plugins for the gateway in any language, on gRPC servers of their own.
//!
//! A server serves `coprocess.Dispatcher`, whose files are in `proto/`. The gateway sends the
//! [`Object`] of a hook to `Dispatch` and takes back what comes of it; events go to
//! `DispatchEvent`. A server finds its function by `hook_name`, so no code is loaded here.
//!
//! Each thread that runs requests has connections of its own, made when the first hook needs
//! one, and made again when they break. While a server cannot be reached its hooks fail at
//! once; they are not queued. A call that its caller no longer waits for is cancelled.
#![cfg(feature = "embed")]

mod apply;
mod call;
mod client;
mod connect;
mod convert;
mod events;
mod link;
mod options;
#[rustfmt::skip]
pub mod proto;
mod server;
mod session;
mod target;

/// So that what tests of this crate and tests of its units share finds it under one name.
#[cfg(test)]
extern crate self as lang_grpc;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use coprocess_core::{
    CoProcessLanguage, DispatchError, DispatchFuture, Event, Hook, HookType, Host, InitContext,
    InitError, LoadError, Object, Plugin, register_language,
};
use serde_json::{Map, Value};

use crate::events::Events;
use crate::options::Options;
use crate::server::{Server, Servers};

/// What the configuration and the logs call this language.
pub(crate) const DRIVER: &str = "grpc";

/// Plugins on gRPC servers.
#[derive(Default)]
pub struct Grpc(OnceLock<Started>);

struct Started {
    options: Options,
    host: Arc<dyn Host>,
    servers: Servers,
    /// There from the first event on, until the end.
    events: Mutex<EventState>,
}

enum EventState {
    None,
    Running(Events),
    Ended,
}

/// The hooks of the APIs that use one server.
struct Remote(Arc<Server>);

impl CoProcessLanguage for Grpc {
    fn init(&self, context: InitContext) -> Result<(), InitError> {
        let options = Options::read(&context.options).map_err(|wrong| InitError::Option {
            key: wrong.key,
            reason: wrong.reason,
        })?;
        let started = Started {
            options,
            host: context.host,
            servers: Servers::default(),
            events: Mutex::new(EventState::None),
        };
        self.0
            .set(started)
            .map_err(|_| InitError::Interpreter("already started".to_owned()))
    }

    fn dispatch(&self, object: Object) -> DispatchFuture<'_> {
        match object.hook.get::<Arc<Server>>() {
            Some(server) => {
                let client = client::of_this_thread(server);
                DispatchFuture::pending(call::dispatch(client, object))
            }
            None => {
                let text = format!("hook `{}` was not loaded by it", object.hook_name);
                DispatchFuture::ready(Err(DispatchError::Unavailable(text)))
            }
        }
    }

    fn trigger_event(&self, event: Event) {
        let Some(started) = self.0.get() else { return };
        let mut state = started
            .events
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let EventState::None = *state {
            match Events::start(&started.host) {
                Ok(events) => *state = EventState::Running(events),
                Err(error) => return events::tell(&*started.host, &event, &error.to_string()),
            }
        }
        if let EventState::Running(events) = &*state {
            events.send(&*started.host, event);
        }
    }

    fn remote(&self, options: &Map<String, Value>) -> Option<Result<Arc<dyn Plugin>, LoadError>> {
        Some(self.server(options).map(|server| {
            let plugin: Arc<dyn Plugin> = Arc::new(Remote(server));
            plugin
        }))
    }

    fn shutdown(&self) {
        if let Some(started) = self.0.get() {
            let mut state = started
                .events
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            *state = EventState::Ended;
        }
    }
}

impl Grpc {
    /// The server of an API with these options of its own.
    fn server(&self, options: &Map<String, Value>) -> Result<Arc<Server>, LoadError> {
        let Some(started) = self.0.get() else {
            return Err(LoadError::Other(format!("{DRIVER} is not initialised")));
        };
        let options = started.options.with(options).map_err(|wrong| {
            let (key, reason) = (wrong.key, wrong.reason);
            LoadError::Other(format!("driver_options.{DRIVER}.{key}: {reason}"))
        })?;
        started.servers.find(options).map_err(LoadError::Other)
    }
}

// === impl Remote ===

impl Plugin for Remote {
    fn hook(&self, _name: &str, _hook_type: HookType) -> Result<Hook, LoadError> {
        Ok(Hook::new(Arc::clone(&self.0)))
    }

    fn event_handler(&self, _name: &str) -> Result<Hook, LoadError> {
        Ok(Hook::new(Arc::clone(&self.0)))
    }
}

register_language! {
    name: "grpc",
    drivers: &[DRIVER],
    options: options::KEYS,
    new: || Box::new(Grpc::default()),
}

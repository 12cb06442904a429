//! Events on their way from the gateway to a plugin.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Hook;

/// How long a handler may run where nobody says otherwise.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// An event that a plugin's handler asked for.
#[derive(Debug, Clone)]
pub struct Event {
    /// The handler function's name.
    pub handler_name: Arc<str>,
    /// The handler function, as [`Plugin::event_handler`](crate::Plugin::event_handler)
    /// found it.
    pub handler: Hook,
    /// JSON text: `{"message": …, "handler_name": …, "spec": …}`.
    pub payload: String,
    /// The API whose handler it is, for the log.
    pub api_id: Arc<str>,
    /// How long the handler may run.
    pub time_limit: Duration,
    /// To be kept until the handler has ended.
    pub ticket: Ticket,
}

impl Event {
    /// An event for a handler, without an API and with the usual time limit.
    pub fn new(handler_name: impl Into<Arc<str>>, handler: Hook, payload: String) -> Self {
        Self {
            handler_name: handler_name.into(),
            handler,
            payload,
            api_id: "".into(),
            time_limit: TIME_LIMIT,
            ticket: Ticket::default(),
        }
    }
}

/// How the gateway knows that an event is done with: its ticket is dropped. What is
/// waiting or running in a language is bounded by it.
#[derive(Clone, Default)]
pub struct Ticket(Option<Arc<dyn Any + Send + Sync>>);

impl Ticket {
    /// A ticket that ends `guard` when it is dropped.
    pub fn new<T: Any + Send + Sync>(guard: T) -> Self {
        Self(Some(Arc::new(guard)))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Ticket"
        } else {
            "Ticket(none)"
        })
    }
}

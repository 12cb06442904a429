//! System events: what plugins and the gateway announce, and who is told.
//!
//! Emitting never waits. Handlers run on the control plane, behind a bounded queue; what
//! does not fit is counted and said, not queued without end.

mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tokio::sync::mpsc;
use tracing::{debug, error, warn};

use crate::config::EventHandler;
use webhook::Webhook;

/// Most events that wait for their handlers.
const QUEUE: usize = 1024;

/// An event on its way to its handlers.
#[derive(Debug, Clone)]
pub struct SystemEvent {
    /// The event's name.
    pub name: String,
    /// `Meta.Message`.
    pub message: String,
    /// When it was emitted.
    pub time: SystemTime,
}

/// Emits events; cheap to clone.
#[derive(Clone)]
pub struct EventSender {
    queue: mpsc::Sender<SystemEvent>,
    dropped: Arc<AtomicU64>,
    /// Names that have a handler: others end here.
    known: Arc<[String]>,
}

/// Runs the handlers.
pub struct Dispatcher {
    queue: mpsc::Receiver<SystemEvent>,
    handlers: BTreeMap<String, Vec<Handler>>,
}

enum Handler {
    Log { prefix: String },
    Webhook(Arc<Webhook>),
}

/// Makes both ends from the configured handlers. A handler that cannot be made is said and
/// left out; the gateway starts without it.
pub fn channel(events: &BTreeMap<String, Vec<EventHandler>>) -> (EventSender, Dispatcher) {
    let mut handlers = BTreeMap::new();
    for (name, entries) in events {
        let made: Vec<_> = entries
            .iter()
            .filter_map(|entry| make(name, entry))
            .collect();
        if !made.is_empty() {
            handlers.insert(name.clone(), made);
        }
    }
    let (sender, receiver) = mpsc::channel(QUEUE);
    let known = handlers.keys().cloned().collect();
    let sender = EventSender {
        queue: sender,
        dropped: Arc::default(),
        known,
    };
    (
        sender,
        Dispatcher {
            queue: receiver,
            handlers,
        },
    )
}

fn make(event: &str, entry: &EventHandler) -> Option<Handler> {
    let text = |key: &str| {
        entry
            .handler_meta
            .get(key)
            .and_then(|v| v.as_str())
            .unwrap_or_default()
    };
    match entry.handler_name.as_str() {
        "eh_log_handler" => Some(Handler::Log {
            prefix: text("prefix").to_owned(),
        }),
        "eh_web_hook_handler" => match Webhook::new(&entry.handler_meta) {
            Ok(webhook) => Some(Handler::Webhook(Arc::new(webhook))),
            Err(reason) => {
                error!(event, reason, "Event handler cannot be made.");
                None
            }
        },
        name => {
            error!(
                event,
                handler = name,
                known = "eh_log_handler, eh_web_hook_handler",
                "Handler not found."
            );
            None
        }
    }
}

// === impl EventSender ===

impl EventSender {
    /// Announces an event. A name without a handler ends here, in silence.
    pub fn emit(&self, name: &str, message: &str) {
        if !self.known.iter().any(|known| known == name) {
            debug!(event = name, "Event has no handler.");
            return;
        }
        let event = SystemEvent {
            name: name.to_owned(),
            message: message.to_owned(),
            time: SystemTime::now(),
        };
        if self.queue.try_send(event).is_err() {
            let dropped = self.dropped.fetch_add(1, Ordering::Relaxed) + 1;
            // Once per power of two: a flood of events must not become a flood of lines.
            if dropped.is_power_of_two() {
                warn!(event = name, dropped, "Event queue is full, event dropped.");
            }
        }
    }
}

// === impl Dispatcher ===

impl Dispatcher {
    /// Hands events to their handlers until the last sender is gone.
    pub async fn run(mut self) {
        while let Some(event) = self.queue.recv().await {
            for handler in self.handlers.get(&event.name).into_iter().flatten() {
                match handler {
                    Handler::Log { prefix } => {
                        warn!(payload = event.message, "{prefix}:{}", event.name);
                    }
                    Handler::Webhook(webhook) => webhook.send_soon(event.clone()),
                }
            }
        }
    }
}

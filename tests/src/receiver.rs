//! A receiver of web hooks: an upstream that answers 200 and remembers.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::{Received, Upstream};

/// Listens for web hooks.
#[derive(Debug)]
pub struct Receiver(Upstream);

impl Receiver {
    /// Starts to listen.
    #[must_use]
    pub fn start() -> Self {
        Self(Upstream::replying(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ))
    }

    /// Where to send web hooks to.
    #[must_use]
    pub fn url(&self) -> String {
        self.0.url("/hook")
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// A configuration that sends the event `name` here and to the log, there after `prefix`.
    #[must_use]
    pub fn handlers(&self, name: &str, prefix: &str) -> Value {
        json!({"event_handlers": {"events": {name: [
            {"handler_name": "eh_log_handler", "handler_meta": {"prefix": prefix}},
            {"handler_name": "eh_web_hook_handler", "handler_meta": {
                "method": "POST",
                "target_path": self.url(),
                "header_map": {"X-Hook-Secret": "from-the-header-map"},
                "event_timeout": 0
            }}
        ]}}})
    }

    /// Waits for a hook whose JSON body carries `message`, and returns the hook.
    #[track_caller]
    pub fn wait_for_message(&self, message: &str) -> (Received, Value) {
        let found = self
            .0
            .wait_for(&format!("a web hook with {message:?}"), |received| {
                body(received).is_some_and(|body| body["message"] == message)
            });
        let body = body(&found).unwrap_or_default();
        (found, body)
    }

    /// Waits for a hook that fulfils `condition`, and returns it.
    #[track_caller]
    pub fn wait_for(&self, what: &str, condition: impl Fn(&Received) -> bool) -> Received {
        self.0.wait_for(what, condition)
    }

    /// Everything received so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.0.received()
    }
}

fn body(received: &Received) -> Option<Value> {
    serde_json::from_slice(&received.body).ok()
}

//! Events on their way from the gateway to a plugin.

use std::sync::Arc;

use crate::Hook;

/// An event that a plugin's handler asked for.
#[derive(Debug, Clone)]
pub struct Event {
    /// The handler function's name.
    pub handler_name: Arc<str>,
    /// The handler function, as [`Plugin::hook`](crate::Plugin::hook) found it.
    pub handler: Hook,
    /// JSON text: `{"message": …, "handler_name": …, "spec": …}`.
    pub payload: String,
}

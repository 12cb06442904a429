//! Handlers of events, as the configuration and definitions list them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `event_handlers`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventHandlers {
    /// Handlers by event name.
    pub events: BTreeMap<String, Vec<EventHandler>>,
}

/// One handler of one event.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct EventHandler {
    /// `eh_log_handler`, `eh_web_hook_handler`, or for APIs `cp_dynamic_handler`.
    pub handler_name: String,
    /// The handler's own settings.
    pub handler_meta: Map<String, Value>,
}

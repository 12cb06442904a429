//! What plugins ask of the gateway, answered.

use bytes::Bytes;
use coprocess_core::{Host, HostError, LogLevel};
use tracing::{debug, error, info, warn};

use super::data::PluginData;
use crate::events::Events;

/// The gateway behind [`Host`].
pub struct GatewayHost {
    /// What plugins store.
    pub data: PluginData,
    /// Where events go.
    pub events: Events,
}

impl Host for GatewayHost {
    fn log(&self, level: LogLevel, source: &str, message: &str) {
        // A plugin must not be able to write lines that look like the gateway's.
        let message = message.replace('\n', "\n    ");
        match level {
            LogLevel::Debug => debug!(prefix = source, "{message}"),
            LogLevel::Info => info!(prefix = source, "{message}"),
            LogLevel::Warning => warn!(prefix = source, "{message}"),
            LogLevel::Error => error!(prefix = source, "{message}"),
        }
    }

    fn emit_event(&self, name: &str, payload: &str) {
        self.events.fire_system(name, payload);
    }

    fn store_data(&self, key: &str, value: &[u8], ttl: i64) -> Result<(), HostError> {
        self.data.set(key, value, ttl)
    }

    fn get_data(&self, key: &str) -> Result<Option<Bytes>, HostError> {
        self.data.get(key)
    }
}

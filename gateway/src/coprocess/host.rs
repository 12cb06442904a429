//! What plugins ask of the gateway, answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coprocess_core::{Host, HostError, LogLevel};
use tracing::{debug, error, info, warn};

use crate::events::Events;
use crate::storage::{Store, StoreError, blocking, keys};

/// Longest wait of a plugin for the store. It may be a data-plane thread that waits.
const STORE_LIMIT: Duration = Duration::from_millis(500);

/// The gateway behind [`Host`].
pub struct GatewayHost {
    /// Where plugin data is kept.
    pub store: Arc<dyn Store>,
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
        let ttl = u64::try_from(ttl).map_err(|_| {
            HostError::Argument(format!("ttl is {ttl}; give seconds, or 0 for no end"))
        })?;
        let ttl = (ttl > 0).then(|| Duration::from_secs(ttl));
        let key = plugin_key(key);
        let call = self
            .store
            .set_soon(&key, Bytes::copy_from_slice(value), ttl);
        blocking::wait(call, STORE_LIMIT).map_err(unstored)
    }

    fn get_data(&self, key: &str) -> Result<Option<Bytes>, HostError> {
        let key = plugin_key(key);
        blocking::wait(self.store.get(&key), STORE_LIMIT).map_err(unstored)
    }
}

fn plugin_key(key: &str) -> String {
    format!("{}{key}", keys::PLUGIN_DATA)
}

fn unstored(error: StoreError) -> HostError {
    HostError::Storage(error.to_string())
}

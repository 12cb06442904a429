//! What plugin code may ask of the gateway.

use bytes::Bytes;

use crate::HostError;

/// The gateway as a plugin sees it.
///
/// All calls may come from any thread, a data-plane thread among them, so none of them may
/// wait longer than the storage time limit of the gateway.
pub trait Host: Send + Sync + 'static {
    /// Writes a log line. `source` is the language's driver name, or `api` for the C API.
    fn log(&self, level: LogLevel, source: &str, message: &str);

    /// Fires a system event (plugin → gateway): the handlers that the configuration lists
    /// for `name` receive `payload` as their message. Returns at once.
    fn emit_event(&self, name: &str, payload: &str);

    /// Keeps `value` under `key` for `ttl` seconds; 0 means without end.
    fn store_data(&self, key: &str, value: &[u8], ttl: i64) -> Result<(), HostError>;

    /// What was stored under `key`, if it is there and has not expired.
    fn get_data(&self, key: &str) -> Result<Option<Bytes>, HostError>;
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// `debug`
    Debug,
    /// `info`, and any word that is not one of the others
    Info,
    /// `warning`
    Warning,
    /// `error`
    Error,
}

impl LogLevel {
    /// The level that plugin code names. Words that are not known mean [`LogLevel::Info`].
    pub fn from_name(name: &str) -> Self {
        match name {
            "debug" => Self::Debug,
            "warning" => Self::Warning,
            "error" => Self::Error,
            _ => Self::Info,
        }
    }
}

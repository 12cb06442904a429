//! What outlives a request.

mod memory;

use bytes::Bytes;
use coprocess_core::HostError;

pub use memory::MemoryData;

/// Where plugins keep their data.
pub trait PluginData: Send + Sync + 'static {
    /// Keeps `value` under `key` for `ttl` seconds; 0 means without end.
    fn store(&self, key: &str, value: &[u8], ttl: i64) -> Result<(), HostError>;

    /// What is kept under `key` and has not expired.
    fn load(&self, key: &str) -> Result<Option<Bytes>, HostError>;
}

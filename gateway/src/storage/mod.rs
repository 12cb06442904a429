//! What outlives a request.
//!
//! Everything that the gateway keeps goes through one trait, [`Store`]: keys and sessions,
//! plugin data, what web hooks have sent. Values are bytes under a text key; each kind of
//! data has a prefix of its own ([`keys`]), the same in every backend.

pub mod blocking;
mod memory;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;

pub use memory::MemoryStore;

/// The prefixes of keys. They are the original's, so that both can share a server.
pub mod keys {
    /// What plugins store.
    pub const PLUGIN_DATA: &str = "coprocess-data:";
    /// Sessions, by key or by its hash.
    pub const SESSION: &str = "apikey-";
    /// What a web hook has sent a moment ago, by checksum.
    pub const WEBHOOK: &str = "webhook.cache.";
}

/// The outcome of a call, when it is there.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where data is kept.
///
/// Every call ends within the time limit of the store. A call whose future is dropped may
/// still take effect.
pub trait Store: Send + Sync + 'static {
    /// The value under `key`, unless there is none or it has expired.
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>>;

    /// Keeps `value` under `key`, in the place of what was there; without `ttl` until it is
    /// deleted. When it returns `Ok`, the value survives the end of the process, where the
    /// store is one that survives it at all.
    fn set<'a>(&'a self, key: &'a str, value: Bytes, ttl: Option<Duration>) -> StoreFuture<'a, ()>;

    /// Keeps `value` under `key` unless there is something already; tells whether it did.
    fn set_if_absent<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> StoreFuture<'a, bool>;

    /// Removes what is under `key`; tells whether there was something.
    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool>;

    /// All keys that begin with `prefix`, in no order.
    fn keys<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<String>>;
}

/// Why a call of the store failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached, or did not answer in time.
    #[error("storage is not available: {0}")]
    Unavailable(String),
    /// The store is there and does not take the value.
    #[error("storage refused: {0}")]
    Refused(String),
}

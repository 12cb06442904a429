//! What outlives a request.
//!
//! Everything that the gateway keeps goes through one trait, [`Store`]: keys and sessions,
//! plugin data, what web hooks have sent. Values are bytes under a text key; each kind of
//! data has a prefix of its own ([`keys`]), the same in every backend.

pub mod blocking;
mod clock;
pub mod counters;
mod embedded;
mod memory;
mod redis;
mod table;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;

use crate::config::{StorageOptions, StorageType};

pub use embedded::{EmbeddedStore, OpenError};
pub use memory::MemoryStore;
pub use redis::RedisStore;

/// The prefixes of keys. They are the original's, so that both can share a server.
pub mod keys {
    /// What plugins store.
    pub const PLUGIN_DATA: &str = "coprocess-data:";
    /// Sessions, by key or by its hash.
    pub const SESSION: &str = "apikey-";
    /// Sessions of organisations, by their id.
    pub const ORGANISATION: &str = "orgkey.";
    /// Quotas, by key or by its hash.
    pub const QUOTA: &str = "quota-";
    /// What a web hook has sent a moment ago, by checksum.
    pub const WEBHOOK: &str = "webhook.cache.";
    /// Certificates, by their id.
    pub const CERTIFICATE: &str = "cert-raw-";
    /// Which event about a certificate was fired a while ago.
    pub const CERTIFICATE_EVENT: &str = "cert-event.";
}

/// Most bytes of a key, its prefix included.
pub const MAX_KEY: usize = 4096;

/// Most bytes of a value.
pub const MAX_VALUE: usize = 16 * 1024 * 1024;

/// Beyond this many milliseconds, a thousand years, an entry has no end.
const ENDLESS: u128 = 1000 * 365 * 24 * 3600 * 1000;

/// The outcome of a call, when it is there.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where data is kept.
///
/// Every call ends within the time limit of the store, or within twice that where a large
/// value is read from a server; [`keys`](Store::keys) may take that
/// long for each thousand of them. A call whose future is dropped may still take effect.
/// Futures may be polled on any runtime, or on none.
pub trait Store: Send + Sync + 'static {
    /// What kind of store it is, as the liveness probe calls it.
    fn name(&self) -> &'static str;

    /// The value under `key`, unless there is none or it has expired.
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>>;

    /// Keeps `value` under `key`, in the place of what was there; without `ttl` until it is
    /// deleted. When it returns `Ok`, the value survives the end of the process, where the
    /// store is one that survives it at all. When it returns an error, the value may be
    /// there all the same.
    fn set<'a>(&'a self, key: &'a str, value: Bytes, ttl: Option<Duration>) -> StoreFuture<'a, ()>;

    /// The same for a caller that must not wait for a disk: everybody reads the value when
    /// this returns, and it survives the end of the process a moment later.
    fn set_soon<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> StoreFuture<'a, ()> {
        self.set(key, value, ttl)
    }

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

    /// Returns when everything that was kept before survives the end of the process.
    fn flush(&self) -> StoreFuture<'_, ()> {
        done(Ok(()))
    }

    /// Tells all gateways that share the store to reload. One that nobody else shares has
    /// nobody to tell.
    fn tell_reload(&self) -> StoreFuture<'_, ()> {
        done(Ok(()))
    }

    /// Calls `reload` whenever a gateway that shares the store tells to, and when such a
    /// call may have been missed.
    fn on_reload(&self, _reload: Box<dyn Fn() + Send + Sync>) {}

    /// Whether the store works, as far as is known without asking it.
    fn health(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Counters that all gateways share which use this store, where it has some.
    fn counters(&self) -> Option<&dyn counters::Counters> {
        None
    }
}

/// Why a call of the store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store cannot be reached, or did not answer in time.
    #[error("storage is not available: {0}")]
    Unavailable(String),
    /// The store is there and does not take the value.
    #[error("storage refused: {0}")]
    Refused(String),
}

/// Opens the store that the configuration asks for; `runtime` is where its connections live.
pub fn open(options: &StorageOptions, runtime: &Handle) -> Result<Arc<dyn Store>, OpenError> {
    Ok(match options.kind() {
        StorageType::Memory => Arc::new(MemoryStore::new(options.max_bytes)),
        StorageType::Embedded => {
            let path: &Path = &options.path;
            Arc::new(EmbeddedStore::open(path, options.max_bytes)?)
        }
        StorageType::Redis => Arc::new(RedisStore::start(options.redis(), runtime)),
    })
}

/// A call that has its outcome already.
fn done<'a, T: Send + 'a>(outcome: Result<T, StoreError>) -> StoreFuture<'a, T> {
    Box::pin(std::future::ready(outcome))
}

/// Refuses keys and values that are too long; the same in every store, so that a plugin
/// does not learn of it when its gateway moves to another one.
fn check_size(key: &str, value: &[u8]) -> Result<(), StoreError> {
    let refused = |what: &str, is: usize, most: usize| {
        Err(StoreError::Refused(format!(
            "{what} has {is} bytes; {most} are possible"
        )))
    };
    if key.len() > MAX_KEY {
        return refused("the key", key.len(), MAX_KEY);
    }
    if value.len() > MAX_VALUE {
        return refused("the value", value.len(), MAX_VALUE);
    }
    Ok(())
}

/// How many milliseconds an entry lives; none is without end.
fn lifetime(ttl: Option<Duration>) -> Option<u64> {
    let millis = ttl?.as_millis();
    // A time of less than a millisecond would mean "no end" in some stores.
    (millis <= ENDLESS).then(|| u64::try_from(millis).unwrap_or(u64::MAX).max(1))
}

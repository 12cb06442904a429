//! A store in memory: gone with the process, bounded so that nobody can fill it.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use bytes::Bytes;

use super::clock::Clock;
use super::table::Table;
use super::{Store, StoreFuture, done, lifetime};

/// Most bytes where nobody says.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// How many keys are read before others may change something.
pub(super) const SLICE: usize = 1000;

/// The data of one process.
pub struct MemoryStore {
    table: RwLock<Table>,
    clock: Clock,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(MAX_BYTES)
    }
}

impl MemoryStore {
    /// A store of at most `most` bytes.
    pub fn new(most: usize) -> Self {
        Self {
            table: RwLock::new(Table::new(most)),
            clock: Clock::showing(0),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>> {
        done(Ok(self.read().get(key, self.clock.now()).cloned()))
    }

    fn set<'a>(&'a self, key: &'a str, value: Bytes, ttl: Option<Duration>) -> StoreFuture<'a, ()> {
        let now = self.clock.now();
        done(self.write().set(key, value, lifetime(ttl), now))
    }

    fn set_if_absent<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> StoreFuture<'a, bool> {
        let now = self.clock.now();
        let mut table = self.write();
        if table.get(key, now).is_some() {
            return done(Ok(false));
        }
        done(table.set(key, value, lifetime(ttl), now).map(|()| true))
    }

    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool> {
        done(Ok(self.write().delete(key, self.clock.now())))
    }

    fn keys<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<String>> {
        done(Ok(all_keys(|last| {
            self.read()
                .keys_behind(prefix, last, SLICE, self.clock.now())
        })))
    }
}

/// Puts slices of keys together; `read` returns those behind the last one.
pub(super) fn all_keys(read: impl Fn(Option<&str>) -> Vec<String>) -> Vec<String> {
    let mut keys = read(None);
    loop {
        let more = read(keys.last().map(String::as_str));
        if more.is_empty() {
            return keys;
        }
        keys.extend(more);
    }
}

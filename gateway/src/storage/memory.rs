//! A store in memory: gone with the process, bounded so that nobody can fill it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Store, StoreError, StoreFuture};

/// Most bytes of keys and values together.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// What an entry takes besides its key and value.
const OVERHEAD: usize = 128;

fn size_of_entry(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + OVERHEAD
}

/// The data of one process.
#[derive(Default)]
pub struct MemoryStore(Mutex<Table>);

#[derive(Default)]
struct Table {
    entries: HashMap<String, Entry>,
    bytes: usize,
}

struct Entry {
    value: Bytes,
    ends: Option<Instant>,
}

impl Entry {
    fn is_over(&self, now: Instant) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

// === impl Table ===

impl Table {
    fn get(&mut self, key: &str) -> Option<Bytes> {
        let now = Instant::now();
        if self
            .entries
            .get(key)
            .is_some_and(|entry| entry.is_over(now))
        {
            self.remove(key);
        }
        self.entries.get(key).map(|entry| entry.value.clone())
    }

    fn remove(&mut self, key: &str) -> bool {
        let Some(entry) = self.entries.remove(key) else {
            return false;
        };
        self.bytes -= size_of_entry(key, &entry.value);
        true
    }

    fn remove_expired(&mut self, now: Instant) {
        self.entries.retain(|key, entry| {
            let stays = !entry.is_over(now);
            if !stays {
                self.bytes -= size_of_entry(key, &entry.value);
            }
            stays
        });
    }

    fn set(&mut self, key: &str, value: Bytes, ttl: Option<Duration>) -> Result<(), StoreError> {
        let now = Instant::now();
        let size = size_of_entry(key, &value);
        let replaced = |table: &Self| {
            let entry = table.entries.get(key);
            entry.map_or(0, |entry| size_of_entry(key, &entry.value))
        };
        if self.bytes - replaced(self) + size > MAX_BYTES {
            self.remove_expired(now);
        }
        if self.bytes - replaced(self) + size > MAX_BYTES {
            return Err(StoreError::Refused(format!(
                "it is full: {} of {MAX_BYTES} bytes are in use",
                self.bytes
            )));
        }
        // A time too far away to be written down is no end.
        let ends = ttl.and_then(|ttl| now.checked_add(ttl));
        self.remove(key);
        self.bytes += size;
        self.entries.insert(key.to_owned(), Entry { value, ends });
        Ok(())
    }
}

// === impl MemoryStore ===

impl MemoryStore {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn done<'a, T: Send + 'a>(outcome: Result<T, StoreError>) -> StoreFuture<'a, T> {
    Box::pin(std::future::ready(outcome))
}

impl Store for MemoryStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>> {
        done(Ok(self.table().get(key)))
    }

    fn set<'a>(&'a self, key: &'a str, value: Bytes, ttl: Option<Duration>) -> StoreFuture<'a, ()> {
        done(self.table().set(key, value, ttl))
    }

    fn set_if_absent<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> StoreFuture<'a, bool> {
        let mut table = self.table();
        if table.get(key).is_some() {
            return done(Ok(false));
        }
        done(table.set(key, value, ttl).map(|()| true))
    }

    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool> {
        let mut table = self.table();
        let was_there = table.get(key).is_some();
        table.remove(key);
        done(Ok(was_there))
    }

    fn keys<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<String>> {
        let mut table = self.table();
        table.remove_expired(Instant::now());
        let keys = table.entries.keys().filter(|key| key.starts_with(prefix));
        done(Ok(keys.cloned().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_replaced_and_bounded() {
        let mut table = Table::default();
        let set = |table: &mut Table, key: &str, value: Vec<u8>| table.set(key, value.into(), None);
        set(&mut table, "k", b"one".to_vec()).unwrap();
        set(&mut table, "k", b"two".to_vec()).unwrap();
        assert_eq!(table.get("k").as_deref(), Some(&b"two"[..]));
        assert_eq!(table.get("other"), None);
        assert!(set(&mut table, "big", vec![0; MAX_BYTES]).is_err());
        assert_eq!(table.bytes, size_of_entry("k", b"two"));
        assert!(set(&mut table, "k", vec![0; MAX_BYTES]).is_err());
        assert_eq!(
            table.get("k").as_deref(),
            Some(&b"two"[..]),
            "a refused value replaces nothing"
        );
    }

    #[test]
    fn expired_values_are_gone() {
        let mut table = Table::default();
        let value = Bytes::from_static(b"v");
        table.set("k", value.clone(), Some(Duration::ZERO)).unwrap();
        assert_eq!(table.get("k"), None);
        table.set("k", value, Some(Duration::ZERO)).unwrap();
        table.remove_expired(Instant::now());
        assert_eq!(table.bytes, 0);
    }
}

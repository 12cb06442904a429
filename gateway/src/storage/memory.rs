//! Plugin data in memory: gone with the process, bounded so that no plugin can fill it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coprocess_core::HostError;

use super::PluginData;

/// Most bytes of keys and values together.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// What an entry takes besides its key and value.
const OVERHEAD: usize = 128;

fn size_of_entry(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + OVERHEAD
}

/// Plugin data of one process.
#[derive(Default)]
pub struct MemoryData(Mutex<Table>);

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

impl Table {
    fn remove(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= size_of_entry(key, &entry.value);
        }
    }

    fn remove_expired(&mut self, now: Instant) {
        let over: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.is_over(now))
            .map(|(key, _)| key.clone())
            .collect();
        for key in over {
            self.remove(&key);
        }
    }
}

impl PluginData for MemoryData {
    fn store(&self, key: &str, value: &[u8], ttl: i64) -> Result<(), HostError> {
        let ttl = u64::try_from(ttl).map_err(|_| {
            HostError::Argument(format!("ttl is {ttl}; give seconds, or 0 for no end"))
        })?;
        let now = Instant::now();
        let size = size_of_entry(key, value);
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = |table: &Table| {
            table
                .entries
                .get(key)
                .map_or(0, |entry| size_of_entry(key, &entry.value))
        };
        if table.bytes - replaced(&table) + size > MAX_BYTES {
            table.remove_expired(now);
        }
        if table.bytes - replaced(&table) + size > MAX_BYTES {
            return Err(HostError::Storage(format!(
                "plugin data is full: {} of {MAX_BYTES} bytes are in use",
                table.bytes
            )));
        }
        // A time too far away to be written down is no end.
        let ends = (ttl > 0)
            .then(|| now.checked_add(Duration::from_secs(ttl)))
            .flatten();
        table.remove(key);
        table.bytes += size;
        table.entries.insert(
            key.to_owned(),
            Entry {
                value: Bytes::copy_from_slice(value),
                ends,
            },
        );
        Ok(())
    }

    fn load(&self, key: &str) -> Result<Option<Bytes>, HostError> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if table
            .entries
            .get(key)
            .is_some_and(|entry| entry.is_over(Instant::now()))
        {
            table.remove(key);
        }
        Ok(table.entries.get(key).map(|entry| entry.value.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_replaced_and_bounded() {
        let data = MemoryData::default();
        data.store("k", b"one", 0).unwrap();
        data.store("k", b"two", 300).unwrap();
        assert_eq!(data.load("k").unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(data.load("other").unwrap(), None);
        assert!(data.store("k", b"x", -1).is_err());
        assert!(data.store("big", &vec![0; MAX_BYTES], 0).is_err());
        assert_eq!(data.0.lock().unwrap().bytes, size_of_entry("k", b"two"));
        assert!(data.store("k", &vec![0; MAX_BYTES], 0).is_err());
        assert_eq!(
            data.load("k").unwrap().as_deref(),
            Some(&b"two"[..]),
            "a refused value replaces nothing"
        );
    }

    #[test]
    fn expired_values_are_gone() {
        let data = MemoryData::default();
        data.store("k", b"v", 1).unwrap();
        data.0.lock().unwrap().entries.get_mut("k").unwrap().ends = Some(Instant::now());
        assert_eq!(data.load("k").unwrap(), None);
        assert_eq!(data.0.lock().unwrap().bytes, 0);
    }
}

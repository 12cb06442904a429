//! What plugins store: text keys and bytes, the same for all APIs and languages.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use coprocess_core::HostError;

use crate::storage::blocking::Impatient;
use crate::storage::{Store, StoreError, keys};

/// Longest wait of a plugin for the store. It may be a data-plane thread that waits, and
/// less than what a hook may take of such a thread in one go.
const LIMIT: Duration = Duration::from_millis(80);

/// How long no plugin waits after several in a row have waited in vain.
const PAUSE: Duration = Duration::from_millis(250);

/// The store as plugins use it.
pub struct PluginData {
    store: Arc<dyn Store>,
    waits: Impatient,
}

impl PluginData {
    /// Data in `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            waits: Impatient::new(LIMIT, PAUSE),
        }
    }

    /// Keeps `value` for `ttl` seconds; 0 means without end.
    pub(super) fn set(&self, key: &str, value: &[u8], ttl: i64) -> Result<(), HostError> {
        let ttl = u64::try_from(ttl).map_err(|_| {
            HostError::Argument(format!("ttl is {ttl}; give seconds, or 0 for no end"))
        })?;
        let ttl = (ttl > 0).then(|| Duration::from_secs(ttl));
        let key = stored(key);
        let value = Bytes::copy_from_slice(value);
        let outcome = self.waits.wait(|| self.store.set_soon(&key, value, ttl));
        outcome.map_err(failed)
    }

    /// The value, if there is one.
    pub(super) fn get(&self, key: &str) -> Result<Option<Bytes>, HostError> {
        let key = stored(key);
        self.waits.wait(|| self.store.get(&key)).map_err(failed)
    }
}

/// The name of an entry in the store.
fn stored(key: &str) -> String {
    [keys::PLUGIN_DATA, key].concat()
}

fn failed(error: StoreError) -> HostError {
    HostError::Storage(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::storage::{EmbeddedStore, MemoryStore};

    #[test]
    fn seconds_below_nothing_are_refused_and_none_are_no_end() {
        let data = PluginData::new(Arc::new(MemoryStore::default()));
        data.set("k", b"v", 0).expect("kept");
        let error = data.set("k", b"w", -1).expect_err("negative");
        assert!(error.to_string().contains("ttl is -1"), "{error}");
        assert_eq!(data.get("k").expect("read").as_deref(), Some(&b"v"[..]));
        data.set("k", b"x", i64::MAX).expect("kept");
        assert_eq!(data.get("k").expect("read").as_deref(), Some(&b"x"[..]));
    }

    /// A hook must not wait for the disk. Prints what a call costs; the bound is only for
    /// what is far off, because test builds and test machines are slow.
    #[test]
    fn a_call_costs_microseconds() {
        const CALLS: u32 = 100_000;
        let folder = tempfile::tempdir().expect("a folder");
        let store = EmbeddedStore::open(&folder.path().join("store"), 256 * 1024 * 1024);
        let data = PluginData::new(Arc::new(store.expect("it opens")));
        let keys: Vec<_> = (0..1000).map(|number| format!("key-{number}")).collect();
        let time = |what: &str, call: &dyn Fn(&str)| {
            let began = Instant::now();
            for key in keys.iter().cycle().take(CALLS as usize) {
                call(key);
            }
            let each = began.elapsed() / CALLS;
            println!("{what}: {each:?}");
            assert!(each < Duration::from_micros(200), "{what}: {each:?}");
        };
        time("set without end", &|key| {
            data.set(key, b"value", 0).expect("kept")
        });
        time("set with an end", &|key| {
            data.set(key, b"value", 60).expect("kept")
        });
        time("get", &|key| {
            assert!(data.get(key).expect("read").is_some())
        });
    }
}

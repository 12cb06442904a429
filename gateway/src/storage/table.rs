//! Entries in memory: in the order of their keys, bounded, and gone when they have expired.
//!
//! No operation takes long, because data-plane threads wait for each other here: expired
//! entries are found by an index, and removed a few at a time.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::{StoreError, check_size};

/// What an entry takes besides its key and value, about.
const OVERHEAD: usize = 192;

/// How many expired entries are removed with each one that is added: more than one, so that
/// they cannot pile up.
const SWEPT_BY_SET: usize = 4;

/// How many expired entries one that is added may remove to have room: a large value would
/// need the room of very many small ones, while everybody else waits.
const SWEPT_FOR_ROOM: usize = 256;

/// A value and when it ends, in milliseconds of the store's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: Bytes,
    pub(super) ends: Option<u64>,
}

/// The entries.
pub(super) struct Table {
    entries: BTreeMap<Arc<str>, Entry>,
    /// When entries end, the next one first.
    ends: BTreeSet<(u64, Arc<str>)>,
    bytes: usize,
    most: usize,
    /// What a file does not have yet, where there is one.
    unwritten: Option<Unwritten>,
}

/// Keys whose entries have changed or gone.
#[derive(Default)]
pub(super) struct Unwritten {
    keys: HashSet<Arc<str>>,
    bytes: usize,
    /// Those that are being written.
    taken: Arc<HashSet<Arc<str>>>,
}

impl Entry {
    fn is_over(&self, now: u64) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }
}

fn size(key: &str, value: &[u8]) -> usize {
    key.len() + value.len() + OVERHEAD
}

// === impl Table ===

impl Table {
    /// An empty table of at most `most` bytes.
    pub(super) fn new(most: usize) -> Self {
        Self {
            entries: BTreeMap::new(),
            ends: BTreeSet::new(),
            bytes: 0,
            most,
            unwritten: None,
        }
    }

    /// A table that notes what changes, with the entries of a file. They may be more than
    /// there is room for: then nothing is added until they are fewer.
    pub(super) fn of_file(entries: Vec<(Arc<str>, Entry)>, most: usize) -> Self {
        let mut table = Self::new(most);
        for (key, entry) in entries {
            table.insert(key, entry);
        }
        table.unwritten = Some(Unwritten::default());
        table
    }

    pub(super) fn get(&self, key: &str, now: u64) -> Option<&Bytes> {
        let entry = self.entries.get(key)?;
        (!entry.is_over(now)).then_some(&entry.value)
    }

    /// The entry under `key`, expired or not.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(super) fn set(
        &mut self,
        key: &str,
        value: Bytes,
        lifetime: Option<u64>,
        now: u64,
    ) -> Result<(), StoreError> {
        check_size(key, &value)?;
        self.sweep(now, SWEPT_BY_SET);
        self.make_room(key, size(key, &value), now)?;
        let ends = lifetime.map(|lifetime| now.saturating_add(lifetime));
        self.remove(key);
        let key: Arc<str> = key.into();
        self.note(&key);
        self.insert(key, Entry { value, ends });
        Ok(())
    }

    /// Removes the entry; tells whether there was one that had not expired.
    pub(super) fn delete(&mut self, key: &str, now: u64) -> bool {
        let was_there = self.get(key, now).is_some();
        self.remove(key);
        was_there
    }

    /// Removes up to `most` expired entries and returns how many it were.
    pub(super) fn sweep(&mut self, now: u64, most: usize) -> usize {
        let mut swept = 0;
        while swept < most
            && let Some((ends, key)) = self.ends.first()
            && *ends <= now
        {
            let key = Arc::clone(key);
            self.remove(&key);
            swept += 1;
        }
        swept
    }

    /// Up to `most` keys that begin with `prefix` and come behind `last`.
    pub(super) fn keys_behind(
        &self,
        prefix: &str,
        last: Option<&str>,
        most: usize,
        now: u64,
    ) -> Vec<String> {
        let start = last.map_or(Bound::Included(prefix), Bound::Excluded);
        self.entries
            .range::<str, _>((start, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(_, entry)| !entry.is_over(now))
            .take(most)
            .map(|(key, _)| key.to_string())
            .collect()
    }

    /// Whether a file would have to be changed.
    pub(super) fn has_unwritten(&self) -> bool {
        let unwritten = self.unwritten.as_ref();
        unwritten.is_some_and(|unwritten| !unwritten.keys.is_empty())
    }

    /// Whether a file may have something else under `key`, also while it is being written.
    pub(super) fn is_unwritten(&self, key: &str) -> bool {
        let unwritten = self.unwritten.as_ref();
        unwritten
            .is_some_and(|unwritten| unwritten.keys.contains(key) || unwritten.taken.contains(key))
    }

    /// Takes the keys that a file does not have yet. They count as unwritten until
    /// [`Table::settle`] is called.
    pub(super) fn take_unwritten(&mut self) -> Arc<HashSet<Arc<str>>> {
        let Some(unwritten) = &mut self.unwritten else {
            return Arc::default();
        };
        unwritten.bytes = 0;
        unwritten.taken = Arc::new(std::mem::take(&mut unwritten.keys));
        Arc::clone(&unwritten.taken)
    }

    /// Forgets what was taken: it is written, or put back.
    pub(super) fn settle(&mut self) {
        if let Some(unwritten) = &mut self.unwritten {
            unwritten.taken = Arc::default();
        }
    }

    /// Puts back what could not be written.
    pub(super) fn put_back(&mut self, keys: impl Iterator<Item = Arc<str>>) {
        for key in keys {
            self.note(&key);
        }
    }

    /// Whether some entry has an end.
    pub(super) fn has_ends(&self) -> bool {
        !self.ends.is_empty()
    }

    fn make_room(&mut self, key: &str, size_of_new: usize, now: u64) -> Result<(), StoreError> {
        let waiting = self.unwritten.as_ref().map_or(0, |waiting| waiting.bytes);
        if waiting > self.most {
            return Err(StoreError::Refused(
                "too many changes wait to be written to the disk".into(),
            ));
        }
        let mut swept = 0;
        loop {
            let replaced = self.entries.get(key);
            let replaced = replaced.map_or(0, |entry| size(key, &entry.value));
            if self.bytes - replaced + size_of_new <= self.most {
                return Ok(());
            }
            if swept == SWEPT_FOR_ROOM {
                return Err(StoreError::Refused(
                    "it is full of entries that have expired and are being removed; try again \
                     in a moment"
                        .into(),
                ));
            }
            swept += 1;
            if self.sweep(now, 1) == 0 {
                return Err(StoreError::Refused(format!(
                    "it is full: {} of {} bytes are in use; raise storage.max_bytes, or store \
                     with a time to live",
                    self.bytes, self.most
                )));
            }
        }
    }

    fn insert(&mut self, key: Arc<str>, entry: Entry) {
        self.bytes += size(&key, &entry.value);
        if let Some(ends) = entry.ends {
            self.ends.insert((ends, Arc::clone(&key)));
        }
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: &str) {
        let Some((key, entry)) = self.entries.remove_entry(key) else {
            return;
        };
        self.bytes -= size(&key, &entry.value);
        self.note(&key);
        if let Some(ends) = entry.ends {
            self.ends.remove(&(ends, key));
        }
    }

    fn note(&mut self, key: &Arc<str>) {
        if let Some(unwritten) = &mut self.unwritten
            && unwritten.keys.insert(Arc::clone(key))
        {
            unwritten.bytes += key.len() + OVERHEAD;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 10_000;

    fn set(table: &mut Table, key: &str, length: usize, ends: Option<u64>) -> bool {
        table.set(key, vec![0; length].into(), ends, 0).is_ok()
    }

    #[test]
    fn a_refused_value_replaces_nothing() {
        let mut table = Table::new(MOST);
        assert!(set(&mut table, "k", 3, None));
        assert!(!set(&mut table, "k", MOST, None));
        assert_eq!(table.get("k", 0).map(Bytes::len), Some(3));
        assert_eq!(table.bytes, size("k", b"abc"));
    }

    #[test]
    fn expired_entries_make_room_and_leave_nothing_behind() {
        let mut table = Table::of_file(Vec::new(), MOST);
        let mut added = 0_u64;
        while set(&mut table, &format!("k{added}"), 100, Some(added + 1)) {
            added += 1;
        }
        assert!(added > 10);
        assert!(table.set("late", Bytes::new(), None, added).is_ok());
        assert_eq!(table.sweep(added, usize::MAX), added as usize - 4);
        assert_eq!((table.bytes, table.has_ends()), (size("late", b""), false));
        assert_eq!(table.take_unwritten().len(), added as usize + 1);
        assert!(!table.has_unwritten());
    }

    #[test]
    fn a_large_value_removes_many_small_ones_over_several_calls() {
        let mut table = Table::new(1_000_000);
        for count in 0..2000 {
            assert!(set(&mut table, &format!("k{count}"), 100, Some(1)));
        }
        let large = || Bytes::from(vec![0; 900_000]);
        let refused = table.set("large", large(), None, 1);
        let Err(StoreError::Refused(reason)) = refused else {
            panic!("it is stored in one call: {refused:?}");
        };
        assert!(reason.contains("try again"), "{reason}");
        assert_eq!(
            table.entries.len(),
            2000 - SWEPT_FOR_ROOM - SWEPT_BY_SET,
            "it has removed as many as it may"
        );
        let again = (0..10).any(|_| table.set("large", large(), None, 1).is_ok());
        assert!(again, "it never has room");
    }

    #[test]
    fn what_is_being_written_counts_as_unwritten_until_it_is_settled() {
        let mut table = Table::of_file(Vec::new(), MOST);
        assert!(set(&mut table, "k", 1, None));
        assert!(table.is_unwritten("k"));
        table.take_unwritten();
        assert!(table.is_unwritten("k") && !table.has_unwritten());
        table.settle();
        assert!(!table.is_unwritten("k"));
    }

    #[test]
    fn changes_that_nobody_writes_are_bounded() {
        let mut table = Table::of_file(Vec::new(), MOST);
        let refused = (0..1000).find(|count| {
            let key = format!("k{count}");
            let refused = !set(&mut table, &key, 0, None);
            table.delete(&key, 0);
            refused
        });
        assert!(refused.is_some(), "deleted keys wait without a bound");
        table.take_unwritten();
        assert!(set(&mut table, "k", 0, None));
    }

    #[test]
    fn keys_come_in_slices() {
        let mut table = Table::new(MOST);
        for key in ["a", "p1", "p2", "p3", "q"] {
            assert!(set(&mut table, key, 1, (key == "p2").then_some(5)));
        }
        assert_eq!(table.keys_behind("p", None, 2, 0), ["p1", "p2"]);
        assert_eq!(table.keys_behind("p", Some("p2"), 2, 0), ["p3"]);
        assert_eq!(table.keys_behind("p", None, 9, 5), ["p1", "p3"]);
    }
}

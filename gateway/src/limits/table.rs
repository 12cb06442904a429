//! The counters of one process: a table in parts, each behind a lock of its own.
//!
//! A request takes one lock for as long as a look-up and some additions take. Names are
//! hashed and not kept, so that a request that finds its counters allocates nothing.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use slab::Slab;

use super::quota::{Kept, Quota, QuotaLimit, QuotaState};
use super::window::{Rate, RateState, Window};

/// How many parts there are; threads rarely meet in one.
const SHARDS: usize = 64;

/// Most bytes of one part, by estimate.
const SHARD_BYTES: usize = 2 * 1024 * 1024;

/// What an entry takes beside its windows and its name, by estimate.
const ENTRY_BYTES: usize = 160;

/// What a window takes beside its notes.
const WINDOW_BYTES: usize = size_of::<(u64, Window)>();

/// Most windows of one entry. Only a key whose rate keeps changing has more.
const MOST_WINDOWS: usize = 4;

/// How many entries are looked at for one that may go, when there is no room.
const LOOKS: usize = 32;

/// What is counted, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Count<'a> {
    /// Several counters of one key are told apart by this.
    pub scope: &'a str,
    /// For whom.
    pub key: &'a str,
    /// How many requests in a stretch of time.
    pub rate: Option<Rate>,
    /// How many requests until a counter begins anew.
    pub quota: Option<QuotaLimit>,
}

/// Whether a request may pass, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was counted.
    Pass,
    /// Too many in too short a time.
    RateExceeded,
    /// All of its quota is used.
    QuotaExceeded,
}

/// A verdict and the counters behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What it is.
    pub verdict: Verdict,
    /// Where a rate was asked for.
    pub rate: Option<RateState>,
    /// Where a quota was asked for.
    pub quota: Option<QuotaState>,
}

/// What is to be written down of a quota.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unwritten {
    /// Its name in the store.
    pub name: Box<str>,
    /// How it stands.
    pub kept: Kept,
}

/// The counters.
pub struct Table {
    shards: Box<[Shard]>,
    /// Two independent hashes make one that nobody finds a second name for.
    hashers: [RandomState; 2],
    shard_bytes: usize,
}

/// On cache lines of its own, so that threads in different parts do not disturb each other.
#[repr(align(128))]
#[derive(Default)]
struct Shard(Mutex<State>);

#[derive(Default)]
struct State {
    index: HashMap<u128, usize, BuildHasherDefault<Folded>>,
    entries: Slab<Entry>,
    /// Which entries have a quota that is to be written down.
    changed: Vec<usize>,
    bytes: usize,
    /// Where the search for an entry that may go has come to.
    hand: usize,
}

struct Entry {
    id: u128,
    /// By their lengths; most entries have one. Forgetting what a short one is done with
    /// would let a long one admit too much.
    windows: Vec<(u64, Window)>,
    quota: Option<Quota>,
    /// The quota's name in the store; empty where it is not written down.
    name: Box<str>,
    is_changed: bool,
    used: u64,
    bytes: usize,
}

/// A quota as it was found when its counting began in this process.
#[derive(Debug, Default)]
pub struct Found {
    /// The name under which to write it down; empty for not at all.
    pub name: Box<str>,
    /// How it stood.
    pub kept: Option<Kept>,
}

// === impl Table ===

impl Default for Table {
    fn default() -> Self {
        Self::with_room(SHARD_BYTES)
    }
}

impl Table {
    fn with_room(shard_bytes: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            hashers: [RandomState::new(), RandomState::new()],
            shard_bytes,
        }
    }

    /// Counts a request at `now`, in microseconds of a clock that never goes back, unless a
    /// limit forbids it. `find` is asked where a quota is counted for the first time.
    pub fn count(&self, count: &Count<'_>, now: u64, find: impl FnOnce() -> Found) -> Outcome {
        let id = self.id(count);
        let mut state = self.shard(id);
        let place = state.place(id, now, self.shard_bytes);
        let entry = &mut state.entries[place];
        entry.used = now;
        if let Some(limit) = count.quota
            && entry.quota.is_none()
        {
            let found = find();
            entry.quota = Some(Quota::begin(found.kept, limit, now));
            entry.name = found.name;
        }
        let outcome = entry.count(count, now);
        let wants_writing = outcome.verdict == Verdict::Pass
            && count.quota.is_some()
            && !entry.is_changed
            && !entry.name.is_empty();
        if wants_writing {
            entry.is_changed = true;
        }
        let grown = entry.weigh();
        state.bytes = state.bytes.wrapping_add_signed(grown);
        if wants_writing {
            state.changed.push(place);
        }
        outcome
    }

    /// Takes back what was just counted, because something else refuses the request.
    pub fn take_back(&self, count: &Count<'_>) {
        let id = self.id(count);
        let mut state = self.shard(id);
        let Some(place) = state.index.get(&id).copied() else {
            return;
        };
        let entry = &mut state.entries[place];
        if let Some(rate) = count.rate {
            entry.window(rate).take_back();
        }
        if let Some(quota) = &mut entry.quota
            && count.quota.is_some()
        {
            quota.take_back();
        }
    }

    /// How a quota stands, where it is counted here.
    pub fn quota(&self, count: &Count<'_>, now: u64) -> Option<Kept> {
        let id = self.id(count);
        let state = self.shard(id);
        let quota = state.entries[*state.index.get(&id)?].quota.as_ref()?;
        (!quota.is_over(now)).then(|| quota.kept(now))
    }

    /// What is to be written down, and is taken for written from now on.
    pub fn take_unwritten(&self, now: u64) -> Vec<Unwritten> {
        let mut unwritten = Vec::new();
        for shard in &self.shards {
            let state = &mut *lock(shard);
            for place in state.changed.drain(..) {
                let entry = &mut state.entries[place];
                entry.is_changed = false;
                if let Some(quota) = &entry.quota {
                    unwritten.push(Unwritten {
                        name: entry.name.clone(),
                        kept: quota.kept(now),
                    });
                }
            }
        }
        unwritten
    }

    /// Has the quotas of these names in the store begin anew.
    pub fn forget(&self, names: &[String]) {
        for shard in &self.shards {
            for (_, entry) in &mut lock(shard).entries {
                if names.iter().any(|name| **name == *entry.name) {
                    entry.quota = None;
                }
            }
        }
    }

    fn id(&self, count: &Count<'_>) -> u128 {
        let [high, low] = [0, 1].map(|which| {
            let mut hasher = self.hashers[which].build_hasher();
            hasher.write(count.scope.as_bytes());
            // No text has this byte, so no two pairs are the same bytes.
            hasher.write_u8(0xff);
            hasher.write(count.key.as_bytes());
            hasher.finish()
        });
        u128::from(high) << 64 | u128::from(low)
    }

    fn shard(&self, id: u128) -> MutexGuard<'_, State> {
        lock(&self.shards[id as usize % SHARDS])
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| lock(shard).entries.len())
            .sum()
    }
}

fn lock(shard: &Shard) -> MutexGuard<'_, State> {
    shard.0.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl State ===

impl State {
    /// Where the entry of `id` is; a new one where there was none.
    fn place(&mut self, id: u128, now: u64, room: usize) -> usize {
        if let Some(place) = self.index.get(&id) {
            return *place;
        }
        // Some looks for each new one keep the table near what is in use.
        self.tidy(now, 3);
        if self.bytes + ENTRY_BYTES > room {
            self.make_room(now);
        }
        let place = self.entries.insert(Entry {
            id,
            windows: Vec::new(),
            quota: None,
            name: Box::default(),
            is_changed: false,
            used: now,
            bytes: ENTRY_BYTES,
        });
        self.bytes += ENTRY_BYTES;
        self.index.insert(id, place);
        place
    }

    /// Looks at the next entries and lets go of those that count nothing any more.
    fn tidy(&mut self, now: u64, looks: usize) {
        for _ in 0..looks {
            let place = self.next();
            if self
                .entries
                .get(place)
                .is_some_and(|entry| entry.is_over(now))
            {
                self.remove(place);
            }
        }
    }

    /// Lets go of entries that count nothing, or else of the one among some that was used
    /// least lately. What waits to be written down stays.
    fn make_room(&mut self, now: u64) {
        let before = self.bytes;
        self.tidy(now, LOOKS);
        if self.bytes < before {
            return;
        }
        let mut oldest: Option<(u64, usize)> = None;
        for _ in 0..LOOKS {
            let place = self.next();
            let Some(entry) = self.entries.get(place) else {
                continue;
            };
            if !entry.is_changed && oldest.is_none_or(|(used, _)| entry.used < used) {
                oldest = Some((entry.used, place));
            }
        }
        if let Some((_, place)) = oldest {
            self.remove(place);
        }
    }

    fn next(&mut self) -> usize {
        let place = self.hand;
        self.hand = if place + 1 < self.entries.capacity() {
            place + 1
        } else {
            0
        };
        place
    }

    fn remove(&mut self, place: usize) {
        let entry = self.entries.remove(place);
        self.index.remove(&entry.id);
        self.bytes -= entry.bytes;
    }
}

// === impl Entry ===

impl Entry {
    /// The window of this length.
    fn window(&mut self, rate: Rate) -> &mut Window {
        let known = self
            .windows
            .iter()
            .position(|(length, _)| *length == rate.window);
        let place = known.unwrap_or_else(|| {
            if self.windows.len() >= MOST_WINDOWS {
                self.windows.remove(0);
            }
            self.windows.push((rate.window, Window::default()));
            self.windows.len() - 1
        });
        &mut self.windows[place].1
    }

    fn count(&mut self, count: &Count<'_>, now: u64) -> Outcome {
        let in_rate = count
            .rate
            .is_none_or(|rate| self.window(rate).admits(rate, now));
        let mut verdict = if in_rate {
            Verdict::Pass
        } else {
            Verdict::RateExceeded
        };
        let mut quota_state = None;
        if let Some((limit, quota)) = count.quota.zip(self.quota.as_mut()) {
            let is_left = quota.is_left(limit, now);
            if in_rate && is_left {
                quota.spend(limit, now);
            } else if in_rate {
                verdict = Verdict::QuotaExceeded;
            }
            quota_state = Some(quota.state(limit));
        }
        let rate_state = count.rate.map(|rate| {
            let window = self.window(rate);
            if verdict == Verdict::Pass {
                window.note(rate, now);
            }
            window.state(rate, now)
        });
        Outcome {
            verdict,
            rate: rate_state,
            quota: quota_state,
        }
    }

    /// Whether nothing is lost with it: a quota that is written down is found again.
    fn is_over(&self, now: u64) -> bool {
        let is_quiet = self.windows.iter().all(|(length, window)| {
            let newest = window.newest();
            newest.is_none_or(|newest| newest.saturating_add(*length) <= now)
        });
        let is_kept = self.quota.is_none()
            || !self.name.is_empty()
            || self.quota.as_ref().is_some_and(|quota| quota.is_over(now));
        // Who came a second ago comes again.
        is_quiet && is_kept && !self.is_changed && self.used.saturating_add(1_000_000) <= now
    }

    /// By how many bytes it has grown.
    fn weigh(&mut self) -> isize {
        let windows = self
            .windows
            .iter()
            .map(|(_, window)| WINDOW_BYTES + window.bytes());
        let bytes = ENTRY_BYTES + windows.sum::<usize>() + self.name.len();
        let grown = bytes.cast_signed() - self.bytes.cast_signed();
        self.bytes = bytes;
        grown
    }
}

/// What is hashed already is not hashed again.
#[derive(Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, id: u128) {
        self.0 = (id >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests;

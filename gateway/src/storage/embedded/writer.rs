//! The thread that writes: takes what has changed, writes it in one transaction, tells who
//! waits. It also removes what has expired.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tracing::{error, info};

use super::Shared;
use crate::storage::table::Entry;
use crate::storage::{StoreError, clock};

/// How long changes are collected that nobody waits for.
const COLLECT: Duration = Duration::from_millis(100);

/// How often expired entries are looked for.
const SWEEP: Duration = Duration::from_secs(1);

/// How many entries are looked at before others may use the table.
const SLICE: usize = 256;

/// How long the disk is left alone after a failure.
const RETRY: Duration = Duration::from_secs(1);

/// By how many milliseconds the system's clock may go wrong before that is written down.
const DRIFT: u64 = 2000;

/// One change of the file: an entry, or that there is none.
pub(super) type Change = (Arc<str>, Option<Entry>);

/// What is written into.
pub(super) trait Disk: Send {
    /// Writes all changes and `times`, or nothing.
    fn write(
        &mut self,
        changes: &mut dyn Iterator<Item = Change>,
        times: Times,
    ) -> Result<(), String>;
}

/// The same moment by two clocks, in milliseconds. From a pair that was written the next
/// process knows how late it is by the store's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// The store's clock.
    pub(super) store: u64,
    /// The system's clock.
    pub(super) system: u64,
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    disk: Box<dyn Disk>,
    /// When the last transaction ended.
    written: Instant,
    /// What it said about the time.
    times: Times,
    /// When the disk failed last, while it does.
    failed: Option<Instant>,
}

// === impl Times ===

impl Times {
    /// How late it is by the store's clock, when `system` is what the system's clock shows.
    /// Time never goes back: who set the clock back must not lock anybody out.
    pub(super) fn store_now(self, system: u64) -> u64 {
        self.store
            .saturating_add(system.saturating_sub(self.system))
    }

    /// How much the two clocks have moved against each other.
    fn drift(self, other: Self) -> u64 {
        let offset = |times: Self| i128::from(times.system) - i128::from(times.store);
        u64::try_from((offset(self) - offset(other)).abs()).unwrap_or(u64::MAX)
    }
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, disk: Box<dyn Disk>) -> Self {
        let now = Instant::now();
        let times = Times {
            store: shared.clock.now(),
            system: clock::system_now(),
        };
        Self {
            shared,
            disk,
            written: now.checked_sub(COLLECT).unwrap_or(now),
            times,
            failed: None,
        }
    }

    /// Works until the store is closed and everything is written.
    pub(super) fn run(mut self) {
        let mut swept = Instant::now();
        loop {
            if swept.elapsed() >= SWEEP {
                self.sweep();
                swept = Instant::now();
            }
            let (waited_for, unwritten, closing) = {
                let state = self.shared.read();
                let waited_for = !state.waiting.is_empty();
                (waited_for, state.table.has_unwritten(), state.closing)
            };
            let due = unwritten && self.written.elapsed() >= COLLECT;
            if waited_for || closing || due || self.failed.is_some() || self.has_drifted() {
                self.write(closing);
            }
            if closing {
                return;
            }
            // Whoever changes something wakes the thread when it has nothing to write, and
            // whoever waits does it always.
            let pause = if unwritten || self.failed.is_some() {
                COLLECT
            } else {
                SWEEP
            };
            thread::park_timeout(pause);
        }
    }

    fn sweep(&self) {
        loop {
            let now = self.shared.clock.now();
            // The lock is let go after each slice.
            if self.shared.write().table.sweep(now, SLICE) < SLICE {
                return;
            }
        }
    }

    fn now(&self) -> Times {
        Times {
            store: self.shared.clock.now(),
            system: clock::system_now(),
        }
    }

    /// Whether somebody has set the system's clock, so that what the file says about the
    /// time would mislead the next process.
    fn has_drifted(&self) -> bool {
        self.times.drift(self.now()) > DRIFT && self.shared.read().table.has_ends()
    }

    fn write(&mut self, closing: bool) {
        if let Some(failed) = self.failed
            && failed.elapsed() < RETRY
            && !closing
        {
            let waiting = std::mem::take(&mut self.shared.write().waiting);
            if let Some(error) = self.shared.failure() {
                answer(waiting, &Err(error));
            }
            return;
        }
        let (keys, waiting) = {
            let mut state = self.shared.write();
            let waiting = std::mem::take(&mut state.waiting);
            (state.table.take_unwritten(), waiting)
        };
        let times = self.now();
        let outcome =
            if keys.is_empty() && self.times.drift(times) <= DRIFT && self.failed.is_none() {
                Ok(())
            } else {
                let keys: Vec<_> = keys.iter().cloned().collect();
                let shared = &self.shared;
                let mut changes = keys.chunks(SLICE).flat_map(|keys| entries(shared, keys));
                self.disk.write(&mut changes, times)
            };
        self.written = Instant::now();
        match outcome {
            Ok(()) => {
                self.shared.write().table.settle();
                self.times = times;
                self.works();
                answer(waiting, &Ok(()));
            }
            Err(reason) => {
                for keys in keys.iter().cloned().collect::<Vec<_>>().chunks(SLICE) {
                    self.shared.write().table.put_back(keys.iter().cloned());
                }
                self.shared.write().table.settle();
                self.fails(&reason);
                answer(waiting, &Err(StoreError::Unavailable(reason)));
            }
        }
    }

    fn works(&mut self) {
        if self.failed.take().is_some() {
            self.shared.set_failure(None);
            info!("Storage is written again; nothing was lost.");
        }
    }

    fn fails(&mut self, reason: &str) {
        if self.failed.is_none() {
            error!(
                reason,
                "Storage cannot be written. What is stored stays in memory until it can."
            );
        }
        self.failed = Some(Instant::now());
        self.shared.set_failure(Some(reason.to_owned()));
    }
}

/// What is in the table now under these keys.
fn entries(shared: &Shared, keys: &[Arc<str>]) -> Vec<Change> {
    let state = shared.read();
    keys.iter()
        .map(|key| (Arc::clone(key), state.table.entry(key).cloned()))
        .collect()
}

fn answer(waiting: Vec<oneshot::Sender<Result<(), StoreError>>>, outcome: &Result<(), StoreError>) {
    for sender in waiting {
        // Who has gone does not want to know.
        drop(sender.send(outcome.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_between_processes_and_never_goes_back() {
        let times = Times {
            store: 100_000,
            system: 5_000_000,
        };
        for (system, store) in [(5_000_000, 100_000), (5_000_700, 100_700), (3, 100_000)] {
            assert_eq!(times.store_now(system), store, "at {system}");
        }
    }

    #[test]
    fn only_a_clock_that_was_set_drifts() {
        let times = |store, system| Times { store, system };
        assert_eq!(times(1000, 1000).drift(times(9000, 9000)), 0);
        assert_eq!(times(1000, 1000).drift(times(9000, 19_000)), 10_000);
        assert_eq!(times(1000, 9000).drift(times(9000, 1000)), 16_000);
    }
}

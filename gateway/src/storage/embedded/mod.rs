//! A store in one file, for one gateway: reads come from memory, one thread writes.
//!
//! Memory has everything; the file follows it. A change is made in memory, noted, and
//! written by the thread, which puts all changes that wait into one transaction and then
//! tells whoever waits for the disk. A change that nobody waits for is written a moment
//! later.

mod file;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::clock::Clock;
use super::memory::{SLICE, all_keys};
use super::table::Table;
use super::{Store, StoreError, StoreFuture, done, lifetime};

pub use file::OpenError;

/// Data of one gateway that survives its process.
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    thread: Thread,
    writer: Option<JoinHandle<()>>,
}

/// What callers and the thread that writes work on.
struct Shared {
    state: RwLock<State>,
    clock: Clock,
    /// Why the file cannot be written, while that is so.
    failure: Mutex<Option<String>>,
}

struct State {
    table: Table,
    /// Who waits for the disk.
    waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
    closing: bool,
}

// === impl Shared ===

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure(&self) -> Option<StoreError> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.clone().map(StoreError::Unavailable)
    }

    fn set_failure(&self, reason: Option<String>) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

// === impl EmbeddedStore ===

impl EmbeddedStore {
    /// Opens the file, or makes it, and holds at most `most` bytes. A file is used by one
    /// process at a time.
    pub fn open(path: &Path, most: usize) -> Result<Self, OpenError> {
        let (file, contents) = file::open(path)?;
        Self::start(Box::new(file), contents, most)
    }

    fn start(
        disk: Box<dyn writer::Disk>,
        contents: file::Contents,
        most: usize,
    ) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared {
            state: RwLock::new(State {
                table: Table::of_file(contents.entries, most),
                waiting: Vec::new(),
                closing: false,
            }),
            clock: Clock::showing(contents.now),
            failure: Mutex::default(),
        });
        let writer = writer::Writer::new(Arc::clone(&shared), disk);
        let writer = thread::Builder::new()
            .name("storage".into())
            .spawn(move || writer.run())
            .map_err(OpenError::Thread)?;
        Ok(Self {
            shared,
            thread: writer.thread().clone(),
            writer: Some(writer),
        })
    }

    /// Makes a change under `key`; with the outcome `changed` there is something to write, and
    /// `wait` tells whether the caller waits for that.
    ///
    /// Any other outcome rests on what was there before. Where the file does not have that
    /// yet, who waits waits all the same: a kill would make the answer wrong.
    fn change<'a, T: Copy + PartialEq + Send + 'a>(
        &self,
        key: &str,
        changed: T,
        wait: bool,
        make: impl FnOnce(&mut Table, u64) -> Result<T, StoreError>,
    ) -> StoreFuture<'a, T> {
        let mut state = self.shared.write();
        let had_unwritten = state.table.has_unwritten();
        let outcome = match make(&mut state.table, self.shared.clock.now()) {
            Ok(outcome) if outcome == changed || wait && state.table.is_unwritten(key) => outcome,
            outcome => return done(outcome),
        };
        if !wait {
            drop(state);
            // The thread looks after what is unwritten until nothing is left.
            if !had_unwritten {
                self.thread.unpark();
            }
            return done(Ok(outcome));
        }
        let written = self.written(state);
        Box::pin(async move { written.await.map(|()| outcome) })
    }

    /// Returns when everything that has changed until now is in the file.
    fn written<'a>(&self, mut state: RwLockWriteGuard<'_, State>) -> StoreFuture<'a, ()> {
        let (sender, written) = oneshot::channel();
        state.waiting.push(sender);
        drop(state);
        self.thread.unpark();
        Box::pin(async move {
            written.await.unwrap_or_else(|_| {
                let reason = "the thread that writes has ended";
                Err(StoreError::Unavailable(reason.into()))
            })
        })
    }
}

impl Store for EmbeddedStore {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>> {
        let now = self.shared.clock.now();
        done(Ok(self.shared.read().table.get(key, now).cloned()))
    }

    fn set<'a>(&'a self, key: &'a str, value: Bytes, ttl: Option<Duration>) -> StoreFuture<'a, ()> {
        self.change(key, (), true, |table, now| {
            table.set(key, value, lifetime(ttl), now)
        })
    }

    fn set_soon<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> StoreFuture<'a, ()> {
        self.change(key, (), false, |table, now| {
            table.set(key, value, lifetime(ttl), now)
        })
    }

    fn set_if_absent<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> StoreFuture<'a, bool> {
        self.change(key, true, true, |table, now| {
            if table.get(key, now).is_some() {
                return Ok(false);
            }
            table.set(key, value, lifetime(ttl), now).map(|()| true)
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool> {
        self.change(key, true, true, |table, now| Ok(table.delete(key, now)))
    }

    fn keys<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<String>> {
        done(Ok(all_keys(|last| {
            let now = self.shared.clock.now();
            self.shared
                .read()
                .table
                .keys_behind(prefix, last, SLICE, now)
        })))
    }

    fn flush(&self) -> StoreFuture<'_, ()> {
        self.written(self.shared.write())
    }

    fn health(&self) -> Result<(), StoreError> {
        self.shared.failure().map_or(Ok(()), Err)
    }
}

impl Drop for EmbeddedStore {
    fn drop(&mut self) {
        self.shared.write().closing = true;
        self.thread.unpark();
        if let Some(writer) = self.writer.take() {
            // A panic of the thread has been told, and there is nobody to tell it to.
            drop(writer.join());
        }
    }
}

#[cfg(test)]
mod tests;

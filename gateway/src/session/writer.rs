//! Saves and deletes sessions, in the order in which they were asked for, on the control
//! plane.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::warn;

use super::Remembered;
use crate::storage::{Store, StoreError};

/// Most commands that are looked at together. Of several saves of one session among them
/// only the last is carried out.
const BATCH: usize = 256;

/// How long a request may still be on its way with a session that was deleted meanwhile.
const LONGEST_REQUEST: Duration = Duration::from_secs(600);

/// Most deletions that are remembered for such requests.
const MAX_DELETED: u64 = 100_000;

/// What the writer is asked to do.
pub(super) enum Command {
    /// Save a session that was made when `age` sessions had been deleted.
    Save { name: String, what: Save, age: u64 },
    /// Delete a session, and say whether there was one.
    Delete {
        name: String,
        reply: oneshot::Sender<Result<bool, StoreError>>,
    },
    /// Say when everything before has been carried out.
    Flush(oneshot::Sender<()>),
}

/// A document to be saved, and the room that it takes in the queue until it is.
pub(super) struct Save {
    pub json: Bytes,
    pub ttl: Option<Duration>,
    pub _room: OwnedSemaphorePermit,
}

/// The end of the queue. It ends when nobody can save sessions any more.
pub struct Writer {
    store: Arc<dyn Store>,
    queue: mpsc::Receiver<Command>,
    remembered: Remembered,
    /// When each was deleted, counted in deletions.
    deleted: Cache<String, u64>,
    overflow_told: Arc<AtomicBool>,
}

type Saves = HashMap<String, Save>;

impl Writer {
    pub(super) fn new(
        store: Arc<dyn Store>,
        queue: mpsc::Receiver<Command>,
        remembered: Remembered,
        overflow_told: Arc<AtomicBool>,
    ) -> Self {
        let deleted = Cache::builder()
            .max_capacity(MAX_DELETED)
            .time_to_live(LONGEST_REQUEST)
            .build();
        Self {
            store,
            queue,
            remembered,
            deleted,
            overflow_told,
        }
    }

    /// Works until the queue is closed.
    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.queue.recv_many(&mut batch, BATCH).await > 0 {
            self.overflow_told.store(false, Ordering::Relaxed);
            let mut saves = Saves::new();
            for command in batch.drain(..) {
                match command {
                    Command::Save { name, what, age } => {
                        self.collect(&mut saves, name, what, age);
                    }
                    Command::Delete { name, reply } => {
                        self.save(std::mem::take(&mut saves)).await;
                        // Nobody waiting any more is no reason not to delete.
                        let _ = reply.send(self.delete(name).await);
                    }
                    Command::Flush(reply) => {
                        self.save(std::mem::take(&mut saves)).await;
                        let _ = reply.send(());
                    }
                }
            }
            self.save(saves).await;
        }
    }

    /// Adds a save, unless the session was deleted after the request had begun.
    fn collect(&self, saves: &mut Saves, name: String, what: Save, age: u64) {
        if self.deleted.get(&name).is_some_and(|deleted| deleted > age) {
            self.remembered.sessions.remove(&name);
        } else {
            saves.insert(name, what);
        }
    }

    async fn save(&self, saves: Saves) {
        let mut running = JoinSet::new();
        for (name, save) in saves {
            let store = Arc::clone(&self.store);
            running.spawn(async move {
                let outcome = store.set(&name, save.json.clone(), save.ttl).await;
                outcome.map_err(|error| (name, error))
            });
        }
        let mut failed = 0;
        let mut last = None;
        while let Some(outcome) = running.join_next().await {
            if let Ok(Err((name, error))) = outcome {
                // The next request finds that it is not there, and tries again.
                self.remembered.sessions.remove(&name);
                failed += 1;
                last = Some(error);
            }
        }
        if let Some(error) = last {
            warn!(failed, %error, "Sessions are not saved; later requests try again.");
        }
    }

    async fn delete(&self, name: String) -> Result<bool, StoreError> {
        self.forget(&name);
        let outcome = self.store.delete(&name).await;
        // Requests may have found it while the store was at it.
        self.forget(&name);
        outcome
    }

    /// Forgets a session, and has saves that began before refused.
    fn forget(&self, name: &String) {
        let age = self.remembered.delete(name);
        self.deleted.insert(name.clone(), age);
    }
}

//! The sessions of keys: found, remembered for a moment, saved behind the request.
//!
//! The store has the truth. Each process remembers what it has seen for a short time, so that
//! a caller who comes often does not cost a look into the store each time. Saving never holds
//! up a request: it goes through a bounded queue to the control plane (`writer`), and only
//! where there is something to save.

pub mod key;
pub mod lifetime;
pub mod memo;
mod metadata;
pub mod owner;
pub mod record;
mod rights;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use coprocess_core::Session;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::warn;

use crate::policy;
use crate::storage::{Store, StoreError, keys};
use key::KeyNames;
use lifetime::Lifetime;
use memo::Memo;
pub(crate) use metadata::text_of;
use record::{Record, Unreadable};
pub use writer::Writer;
use writer::{Command, Save};

/// Most bytes of sessions that a process remembers.
const MAX_REMEMBERED: u64 = 64 * 1024 * 1024;

/// For how many sessions there is room from the start.
const REMEMBERED_AT_FIRST: usize = 1024;

/// How many saves may wait.
const QUEUE: usize = 8192;

/// How many bytes of them.
const QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// A session that does not change is written again after this part of its lifetime, so that
/// it ends a lifetime after its last use and not after its first.
const REFRESHES_PER_LIFETIME: u32 = 10;

/// All sessions, as one process sees them.
pub struct Sessions {
    /// How they are named.
    pub names: KeyNames,
    /// The shortest id under which a stored session is accepted.
    pub min_id_length: usize,
    store: Arc<dyn Store>,
    remembered: Remembered,
    fresh_for: Duration,
    queue: mpsc::Sender<Command>,
    queue_room: Arc<Semaphore>,
    overflow_told: Arc<AtomicBool>,
}

/// What the configuration says about sessions.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How they are named.
    pub names: KeyNames,
    /// The shortest id under which a stored session is accepted.
    pub min_id_length: usize,
    /// How long a session is used without another look into the store.
    pub fresh_for: Duration,
}

/// Sessions that this process has seen, by name, and how often one was deleted.
#[derive(Clone)]
struct Remembered {
    sessions: Arc<Cache<String, Arc<Kept>, Weight>>,
    deletions: Arc<AtomicU64>,
}

/// A session as it is in the store, or is about to be.
#[derive(Clone)]
pub struct Kept {
    /// As plugins see it.
    pub session: Arc<Session>,
    json: Bytes,
    /// Whose it is, where its name does not say so.
    fingerprint: Option<String>,
    /// It is known whose it is. It is not where something else has written it under a name
    /// that others may have too.
    pub is_owner_known: bool,
    /// When it was last known to be in the store.
    seen: Instant,
    /// When this process has last written it.
    written: Option<Instant>,
    /// When it ends in the store, where this process knows.
    ends: Option<Instant>,
    /// What its policies have made of it.
    pub(crate) applied: policy::Memory,
    /// What it was made from.
    made_from: Memo,
}

/// A session could not be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SessionError {
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// It is there, but is no session.
    #[error("{0}")]
    Unreadable(#[from] Unreadable),
}

/// Seconds since 1970.
pub fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

/// How many bytes a session takes.
#[derive(Debug, Clone, Copy)]
struct Weight;

impl Weighter<String, Arc<Kept>> for Weight {
    fn weight(&self, name: &String, kept: &Arc<Kept>) -> u64 {
        // A guess at what it takes beside its document.
        (name.len() + 3 * kept.json.len() + 1024) as u64
    }
}

// === impl Remembered ===

impl Remembered {
    fn new() -> Self {
        let sessions = Cache::with_weighter(REMEMBERED_AT_FIRST, MAX_REMEMBERED, Weight);
        Self {
            sessions: Arc::new(sessions),
            deletions: Arc::default(),
        }
    }

    fn age(&self) -> u64 {
        self.deletions.load(Ordering::Acquire)
    }

    /// Remembers what was found at `age`. A session that was deleted meanwhile is not
    /// remembered.
    fn insert(&self, name: String, kept: Arc<Kept>, age: u64) {
        self.sessions.insert(name.clone(), kept);
        if self.age() != age {
            self.sessions.remove(&name);
        }
    }

    /// Forgets a deleted session.
    fn delete(&self, name: &String) -> u64 {
        let age = self.deletions.fetch_add(1, Ordering::AcqRel) + 1;
        self.sessions.remove(name);
        age
    }
}

// === impl Sessions ===

impl Sessions {
    /// The sessions in `store`, and what has to run on the control plane to save them.
    pub fn new(settings: Settings, store: Arc<dyn Store>) -> (Arc<Self>, Writer) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let remembered = Remembered::new();
        let overflow_told = Arc::new(AtomicBool::new(false));
        let writer = Writer::new(
            Arc::clone(&store),
            receiver,
            remembered.clone(),
            Arc::clone(&overflow_told),
        );
        let sessions = Self {
            names: settings.names,
            min_id_length: settings.min_id_length,
            store,
            remembered,
            fresh_for: settings.fresh_for,
            queue: sender,
            queue_room: Arc::new(Semaphore::new(QUEUED_BYTES)),
            overflow_told,
        };
        (Arc::new(sessions), writer)
    }

    /// The session with this id, if it was seen a moment ago.
    pub fn seen(&self, id: &str) -> Option<Arc<Kept>> {
        let kept = self.seen_as(&self.names.of_id(id))?;
        self.may_be_of(id, &kept).then_some(kept)
    }

    /// Whether nothing says that a session found under the name of this id is another's.
    fn may_be_of(&self, id: &str, kept: &Kept) -> bool {
        kept.fingerprint.is_none() || kept.fingerprint == self.names.fingerprint(id)
    }

    /// How often a session was deleted. What a save begins from is looked up after this.
    pub fn age(&self) -> u64 {
        self.remembered.age()
    }

    fn seen_as(&self, name: &str) -> Option<Arc<Kept>> {
        let kept = self.remembered.sessions.get(name)?;
        let now = Instant::now();
        let fresh = now.saturating_duration_since(kept.seen) < self.fresh_for;
        (fresh && !kept.is_over(now)).then_some(kept)
    }

    /// The session with this id, from memory or from the store.
    pub async fn find(&self, id: &str) -> Result<Option<Arc<Kept>>, SessionError> {
        let name = self.names.of_id(id);
        let kept = match self.seen_as(&name) {
            Some(kept) => Some(kept),
            None => self.look_up(id, &name).await?,
        };
        Ok(kept.filter(|kept| self.may_be_of(id, kept)))
    }

    async fn look_up(&self, id: &str, name: &str) -> Result<Option<Arc<Kept>>, SessionError> {
        let age = self.remembered.age();
        let before = self.remembered.sessions.get(name);
        let Some(json) = self.store.get(name).await? else {
            return Ok(None);
        };
        let now = Instant::now();
        let kept = match before {
            // Still the same, so what is known of it holds.
            Some(before) if before.json == json => Kept {
                seen: now,
                // Somebody else has made it live longer than this process knew.
                ends: before.ends.filter(|ends| *ends > now),
                ..Kept::clone(&before)
            },
            _ => {
                let record = Record::parse(&json)?;
                let fingerprint = record.fingerprint().map(str::to_owned);
                let expected = self.names.fingerprint(id);
                if fingerprint.is_some() && fingerprint != expected {
                    return Ok(None);
                }
                let mut session = record.session()?;
                // The document does not have it: its name does.
                id.clone_into(&mut session.key_id);
                Kept {
                    session: Arc::new(session),
                    json,
                    is_owner_known: fingerprint == expected,
                    fingerprint,
                    seen: now,
                    written: None,
                    ends: None,
                    applied: policy::Memory::default(),
                    made_from: Memo::default(),
                }
            }
        };
        let kept = Arc::new(kept);
        self.remembered
            .insert(name.to_owned(), Arc::clone(&kept), age);
        Ok(Some(kept))
    }

    /// The document of this name as it is in the store, after everything that this process
    /// has still to save.
    pub async fn document(&self, name: &str) -> Result<Option<Record>, SessionError> {
        let mut record = self.stored(name).await?;
        if let Some(record) = &mut record {
            record.set_fingerprint(None);
        }
        Ok(record)
    }

    /// The same, with what it has for the gateway alone.
    pub async fn stored(&self, name: &str) -> Result<Option<Record>, SessionError> {
        self.flush().await?;
        let json = self.store.get(name).await?;
        Ok(json.map(|json| Record::parse(&json)).transpose()?)
    }

    /// What follows the common prefix in the names of all sessions that begin with `filter`,
    /// in order.
    pub async fn list(&self, filter: &str) -> Result<Vec<String>, SessionError> {
        self.flush().await?;
        let names = self.store.keys(&self.names.of_hash(filter)).await?;
        let mut ids: Vec<_> = names
            .iter()
            .filter_map(|name| name.strip_prefix(keys::SESSION).map(str::to_owned))
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// Deletes the session of this name, here and in the store; tells whether there was one.
    pub async fn delete(&self, name: String) -> Result<bool, SessionError> {
        let (reply, outcome) = oneshot::channel();
        self.command(Command::Delete { name, reply }).await?;
        Ok(outcome.await.map_err(|_| stopped())??)
    }

    /// Stores a document under this name, in the place of what is there. `id` is the id of
    /// the session, where it is known. When it returns `Ok`, the document is in the store,
    /// and what requests have still to save of its predecessor is not saved any more.
    pub async fn put(
        &self,
        name: String,
        id: Option<&str>,
        record: &Record,
        ttl: Option<Duration>,
    ) -> Result<(), SessionError> {
        let mut record = record.clone();
        if let Some(id) = id {
            record.set_fingerprint(self.names.fingerprint(id));
        }
        if self.names.hashed {
            record.forget_token();
        }
        let (reply, outcome) = oneshot::channel();
        let json = record.to_json().into();
        self.command(Command::Put {
            name,
            json,
            ttl,
            reply,
        })
        .await?;
        Ok(outcome.await.map_err(|_| stopped())??)
    }

    /// Returns once everything that was given to be saved so far has been.
    pub async fn flush(&self) -> Result<(), SessionError> {
        let (reply, outcome) = oneshot::channel();
        self.command(Command::Flush(reply)).await?;
        Ok(outcome.await.map_err(|_| stopped())?)
    }

    async fn command(&self, command: Command) -> Result<(), StoreError> {
        self.queue.send(command).await.map_err(|_| stopped())
    }

    /// What has to be saved so that the store has `session`, which a plugin has just made,
    /// in the place of `stored`, which was looked up at `age`; nothing if it is there already.
    ///
    /// What is returned is saved when it is dropped, at the end of its request.
    pub fn to_save(
        self: &Arc<Self>,
        id: &str,
        session: &Arc<Session>,
        stored: Option<&Kept>,
        lifetime: Lifetime,
        age: u64,
    ) -> Result<Option<Unsaved>, Unreadable> {
        let now = Instant::now();
        let ttl = lifetime.of(session, unix_now);
        let json = match stored {
            Some(stored) if stored.is_owner_known && Arc::ptr_eq(&stored.session, session) => {
                if !stored.wants_refresh(ttl, now) {
                    return Ok(None);
                }
                stored.json.clone()
            }
            stored => {
                let json = self.document_of(id, session, stored)?;
                let rests = |stored: &Kept| stored.json == json && !stored.wants_refresh(ttl, now);
                if stored.is_some_and(rests) {
                    return Ok(None);
                }
                json
            }
        };
        let kept = Kept {
            session: Arc::clone(session),
            json,
            fingerprint: self.names.fingerprint(id),
            is_owner_known: true,
            // Writing is no look: what others have deleted must be noticed.
            seen: stored.map_or(now, |stored| stored.seen),
            written: Some(now),
            // A time too far away to be written down is no end.
            ends: ttl.and_then(|ttl| now.checked_add(ttl)),
            applied: policy::Memory::default(),
            made_from: Memo::default(),
        };
        Ok(Some(Unsaved {
            name: self.names.of_id(id),
            kept: Arc::new(kept),
            ttl,
            age,
            sessions: Arc::clone(self),
        }))
    }

    fn document_of(
        &self,
        id: &str,
        session: &Session,
        stored: Option<&Kept>,
    ) -> Result<Bytes, Unreadable> {
        let before =
            stored.map(|stored| Record::parse(&stored.json).map(|record| (record, stored)));
        let before = before.transpose()?;
        let mut record = before
            .as_ref()
            .map(|(record, _)| record.clone())
            .unwrap_or_default();
        record.apply(session);
        if self.names.hashed {
            record.forget_token();
        }
        record.set_fingerprint(self.names.fingerprint(id));
        Ok(match before {
            // The same document in another spelling need not be written.
            Some((before, stored)) if before == record => stored.json.clone(),
            _ => record.to_json().into(),
        })
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the gateway is shutting down".into())
}

// === impl Kept ===

impl Kept {
    fn is_over(&self, now: Instant) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }

    /// Whether it has to be written again only to live on.
    fn wants_refresh(&self, ttl: Option<Duration>, now: Instant) -> bool {
        let Some(ttl) = ttl else { return false };
        self.written.is_none_or(|written| {
            now.saturating_duration_since(written) >= ttl / REFRESHES_PER_LIFETIME
        })
    }
}

/// A session that is saved when this is dropped: at the end of its request, however the
/// request ends.
pub struct Unsaved {
    name: String,
    kept: Arc<Kept>,
    ttl: Option<Duration>,
    age: u64,
    sessions: Arc<Sessions>,
}

impl Unsaved {
    fn enqueue(&self) -> Result<(), Box<dyn std::error::Error>> {
        let json = self.kept.json.clone();
        let size = u32::try_from(self.name.len() + json.len())?;
        let room = Arc::clone(&self.sessions.queue_room).try_acquire_many_owned(size)?;
        self.sessions.queue.try_send(Command::Save {
            name: self.name.clone(),
            what: Save {
                json,
                ttl: self.ttl,
                _room: room,
            },
            age: self.age,
        })?;
        Ok(())
    }
}

impl Drop for Unsaved {
    fn drop(&mut self) {
        match self.enqueue() {
            Ok(()) => {
                let (name, kept) = (std::mem::take(&mut self.name), Arc::clone(&self.kept));
                self.sessions.remembered.insert(name, kept, self.age);
            }
            Err(error) => {
                let told = self.sessions.overflow_told.swap(true, Ordering::Relaxed);
                if !told {
                    warn!(%error, "Session is not saved; the next request tries again.");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;

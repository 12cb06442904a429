//! Policies: limits and rights that many keys share.
//!
//! They are read before the APIs, and belong to the same table: a request sees the policies
//! of the moment in which it found its API. A key that names a policy is never used without
//! it.

mod apply;
mod inline;
mod load;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use coprocess_core::{AccessDefinition, Session};
use serde_json::{Map, Value};
use tracing::warn;

use crate::definition::PolicyDefinition;
use crate::session::Kept;

pub use load::{files, load, read};

/// All policies of one moment.
#[derive(Debug, Default)]
pub struct Policies {
    by_id: BTreeMap<String, Policy>,
    /// What could not be loaded, one sentence each.
    pub problems: Vec<String>,
    /// Keys that have no effect, with their files.
    pub unread: Vec<String>,
    /// Tells them from those of other moments.
    generation: u64,
}

/// One policy.
#[derive(Debug, Clone)]
pub struct Policy {
    /// What its file says.
    pub definition: PolicyDefinition,
    /// The same, as it is written.
    pub document: Map<String, Value>,
    /// Its access rights, as sessions have them.
    pub rights: BTreeMap<String, AccessDefinition>,
    /// Keys that have no effect, with its file.
    pub unread: Vec<String>,
}

/// Why policies cannot be applied to a session. The texts are the contract's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// The only one is not there.
    #[error("policy not found: {0:?}")]
    Missing(String),
    /// It belongs to another organisation.
    #[error("attempting to apply policy from different organisation to key, skipping")]
    Foreign(String),
    /// It governs parts of a key, and all of it for each API.
    #[error("cannot apply policy {0} which has per_api and any of partitions set")]
    Mixed(String),
    /// Several are of different kinds.
    #[error("cannot apply multiple policies when some have per_api set and some are partitioned")]
    MixedKinds,
    /// One that the session brings itself is none.
    #[error("policy in the session's metadata: {0}")]
    Inline(String),
    /// Of several none is left, or they leave no API.
    #[error("key has no valid policies to be applied")]
    NoneValid,
}

/// What the policies of one moment have made of a stored session.
#[derive(Debug)]
struct Applied {
    generation: u64,
    org_id: String,
    outcome: Result<Arc<Session>, PolicyError>,
}

/// Remembers it beside the session: keys come often, and policies change seldom.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<ArcSwapOption<Applied>>);

/// The policies that a session names; its list counts more than the single one.
pub fn ids(session: &Session) -> &[String] {
    if session.apply_policies.is_empty() && !session.apply_policy_id.is_empty() {
        std::slice::from_ref(&session.apply_policy_id)
    } else {
        &session.apply_policies
    }
}

/// Whether a session has policies: such that it names, or brings itself.
pub fn has_some(session: &Session) -> bool {
    !ids(session).is_empty() || inline::may_be_there(session)
}

// === impl Policies ===

impl Policies {
    fn new(by_id: BTreeMap<String, Policy>, problems: Vec<String>) -> Self {
        static GENERATIONS: AtomicU64 = AtomicU64::new(1);
        Self {
            unread: by_id.values().flat_map(Policy::unread).collect(),
            by_id,
            problems,
            generation: GENERATIONS.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// No policies, because they cannot be read.
    pub fn missing(problem: String) -> Self {
        Self::new(BTreeMap::new(), vec![problem])
    }

    /// The policy with this id.
    pub fn get(&self, id: &str) -> Option<&Policy> {
        self.by_id.get(id)
    }

    /// All of them, by id.
    pub fn all(&self) -> impl Iterator<Item = &Policy> {
        self.by_id.values()
    }

    /// A stored session as it is used on an API of this organisation: with its policies, if
    /// it names some.
    pub fn of_stored(&self, kept: &Kept, org_id: &str) -> Result<Arc<Session>, PolicyError> {
        if !has_some(&kept.session) {
            return Ok(Arc::clone(&kept.session));
        }
        let remembered = kept.applied.0.load();
        if let Some(applied) = &*remembered
            && applied.generation == self.generation
            && applied.org_id == org_id
        {
            return applied.outcome.clone();
        }
        let mut session = Session::clone(&kept.session);
        let outcome = self.apply(&mut session, Some(org_id));
        if let Err(error) = &outcome {
            warn!(%error, policies = ?ids(&session), "Key is refused: its policies cannot be applied.");
        }
        let outcome = outcome.map(|()| Arc::new(session));
        kept.applied.0.store(Some(Arc::new(Applied {
            generation: self.generation,
            org_id: org_id.to_owned(),
            outcome: outcome.clone(),
        })));
        outcome
    }
}

// === impl Policy ===

impl Policy {
    /// A policy from what its file says.
    pub fn new(definition: PolicyDefinition, document: Map<String, Value>) -> Self {
        let rights = definition.access_rights.clone().into_iter();
        Self {
            rights: rights.map(|(id, right)| (id, right.into())).collect(),
            definition,
            document,
            unread: Vec::new(),
        }
    }

    /// The same, with the keys that have no effect.
    #[must_use]
    fn with_unread(self, unread: Vec<String>) -> Self {
        Self { unread, ..self }
    }

    fn unread(&self) -> impl Iterator<Item = String> {
        self.unread.iter().cloned()
    }
}

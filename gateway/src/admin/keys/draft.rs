//! A session that was sent, on its way to be stored.

use std::path::Path;
use std::time::Duration;

use axum::http::StatusCode;
use coprocess_core::Session;
use serde_json::Value;

use super::super::answer::{Refusal, error, refuse};
use crate::api::ApiTable;
use crate::definition::SessionDefinition;
use crate::json;
use crate::policy::{self, PolicyError};
use crate::session::lifetime::Lifetime;
use crate::session::record::Record;
use crate::session::{key, unix_now};

/// The cost of a password's hash, as in the original.
const PASSWORD_COST: u32 = 10;

/// A session in the making.
pub(super) struct Draft {
    /// As it was sent.
    pub(super) sent: SessionDefinition,
    /// As it will be.
    pub(super) session: Session,
    record: Record,
}

/// Why a body is no session.
pub(super) enum Mistake {
    /// It has not the form of one.
    Malformed(String),
    /// It says what cannot be meant.
    Wrong(String),
}

// === impl Mistake ===

impl Mistake {
    /// The answer; `status` and `message` are those for a body of the wrong form.
    pub(super) fn answer(&self, status: StatusCode, message: &str) -> Refusal {
        match self {
            Self::Malformed(detail) => refuse(status, message, detail),
            Self::Wrong(mistake) => error(StatusCode::BAD_REQUEST, mistake),
        }
    }
}

// === impl Draft ===

impl Draft {
    /// Reads a body.
    pub(super) fn read(text: &str) -> Result<Self, Mistake> {
        let parsed = json::parse::<SessionDefinition>(Path::new("body"), text)
            .map_err(|mistake| Mistake::Malformed(mistake.to_string()))?;
        let sent = parsed.value;
        sent.check().map_err(Mistake::Wrong)?;
        let Value::Object(document) = parsed.raw else {
            return Err(Mistake::Malformed("body: it is not an object".into()));
        };
        let mut record = Record::from(document);
        // Whose session it is, is not for the sender to say.
        record.set_fingerprint(None);
        let session = record
            .session()
            .map_err(|mistake| Mistake::Malformed(mistake.to_string()))?;
        Ok(Self {
            sent,
            session,
            record,
        })
    }

    /// Takes a stored session to change it.
    pub(super) fn of_stored(record: Record) -> Result<Self, crate::session::record::Unreadable> {
        let session = record.session()?;
        Ok(Self {
            sent: SessionDefinition::default(),
            session,
            record,
        })
    }

    /// Applies the policies that it names. Those of another organisation than its APIs'
    /// would refuse the key later.
    pub(super) fn apply_policies(&mut self, table: &ApiTable) -> Result<(), PolicyError> {
        let policies = &table.policies;
        policies.apply(&mut self.session, None)?;
        for id in policy::ids(&self.session).to_vec() {
            let Some(policy) = policies.get(&id) else {
                continue;
            };
            let org_id = &policy.definition.org_id;
            let mut apis = self.session.access_rights.keys();
            let is_foreign = |api_id: &String| {
                let api = table.apis.get(api_id);
                api.is_some_and(|api| api.spec.org_id != *org_id)
            };
            if apis.any(is_foreign) {
                return Err(PolicyError::Foreign(id));
            }
            self.record.add_metadata(&policy.definition.meta_data);
        }
        if !policy::has_some(&self.session) {
            for (api_id, right) in self.session.access_rights.iter_mut() {
                if right.limit.is_some() && right.allowance_scope.is_empty() {
                    right.allowance_scope.clone_from(api_id);
                }
            }
        }
        Ok(())
    }

    /// Lets a new key end when its policies say so: the first of them counts.
    pub(super) fn end_by_policy(&mut self, table: &ApiTable) {
        let ids = policy::ids(&self.session).iter();
        let policies = ids.filter_map(|id| table.policies.get(id));
        let ends = policies.map(|policy| policy.definition.key_expires_in);
        if let Some(seconds) = ends.filter(|seconds| *seconds > 0).min() {
            self.session.expires = unix_now().saturating_add(seconds);
        }
    }

    /// Begins all quotas anew.
    pub(super) fn reset_quota(&mut self) {
        let session = &mut self.session;
        session.quota_renews = unix_now().saturating_add(session.quota_renewal_rate.max(0));
        session.quota_remaining = session.quota_max.max(0);
        for (_, right) in session.access_rights.iter_mut() {
            if let Some(limit) = &mut right.limit {
                limit.quota_renews = 0;
                limit.quota_remaining = limit.quota_max.max(0);
            }
        }
    }

    /// Lets all quotas go on where they are.
    pub(super) fn keep_quota(&mut self, original: &Session) {
        self.session.quota_renews = original.quota_renews;
        self.session.quota_remaining = original.quota_remaining;
        self.session.last_updated.clone_from(&original.last_updated);
        for (api_id, right) in self.session.access_rights.iter_mut() {
            let before = original.access_rights.get(api_id);
            if let Some(before) = before.and_then(|right| right.limit.as_ref())
                && let Some(limit) = &mut right.limit
            {
                limit.quota_renews = before.quota_renews;
                limit.quota_remaining = before.quota_remaining;
            }
        }
    }

    /// Whether one of its APIs wants quotas to go on when a key is made or changed.
    pub(super) fn keeps_quota(&self, table: &ApiTable) -> bool {
        let mut apis = self.session.access_rights.keys();
        apis.any(|id| table.apis.get(id).is_some_and(|api| api.keeps_quotas))
    }

    /// Sets when it was made and changed.
    pub(super) fn date(&mut self, created: Option<&Value>) {
        let now = || Value::String(jiff::Timestamp::now().to_string());
        self.session.last_updated = unix_now().to_string();
        self.record
            .set("date_created", created.cloned().unwrap_or_else(now));
    }

    /// Gives a key that signs its requests a secret.
    pub(super) fn add_hmac_secret(&mut self) {
        if self.session.hmac_enabled {
            self.session.hmac_secret = key::new_name();
        }
    }

    /// Stores a hash of the password. One that is not there, or as it is stored already,
    /// stays.
    pub(super) async fn hash_password(&mut self, original: Option<&Session>) -> Result<(), String> {
        let stored = original.and_then(|original| original.basic_auth_data.clone());
        let sent = self.session.basic_auth_data.clone().unwrap_or_default();
        if sent.password.is_empty() {
            if let Some(stored) = stored.filter(|stored| !stored.password.is_empty()) {
                self.session.basic_auth_data = Some(stored);
            }
            return Ok(());
        }
        if stored.is_some_and(|stored| stored.password == sent.password) {
            return Ok(());
        }
        // It takes long on purpose.
        let hashing =
            tokio::task::spawn_blocking(move || bcrypt::hash(sent.password, PASSWORD_COST));
        let hash = hashing.await.map_err(|error| error.to_string())?;
        self.session.basic_auth_data = Some(coprocess_core::BasicAuthData {
            password: hash.map_err(|error| error.to_string())?,
            hash: "bcrypt".into(),
        });
        Ok(())
    }

    /// How long to keep it: as long as that of its APIs that keeps sessions longest.
    pub(super) fn lifetime(&self, table: &ApiTable, forced: Option<i64>) -> Option<Duration> {
        let apis = self.session.access_rights.keys();
        let lifetimes = apis
            .filter_map(|id| table.apis.get(id))
            .map(|api| api.lifetime);
        let longest = |one: Lifetime, other: Lifetime| match (one.of_api, other.of_api) {
            (..=0, _) => one,
            (_, ..=0) => other,
            (one_lasts, other_lasts) if one_lasts >= other_lasts => one,
            _ => other,
        };
        let lifetime = lifetimes.reduce(longest).unwrap_or(Lifetime {
            forced,
            ..Lifetime::default()
        });
        lifetime.of(&self.session, unix_now)
    }

    /// The document to store.
    pub(super) fn record(mut self) -> Record {
        self.record.apply(&self.session);
        self.record
    }
}

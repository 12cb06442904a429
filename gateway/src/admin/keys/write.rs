//! Makes and changes keys.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde::Deserialize;

use super::super::answer::{self, Outcome, Refusal, SMALL, error, failed, refuse};
use super::super::extract::{Path, Query};
use super::super::{Control, order};
use super::draft::{Draft, Mistake};
use super::{Found, Which, hash_of};
use crate::api::ApiTable;
use crate::events::names;
use crate::json;
use crate::session::key;
use crate::session::record::Record;

/// The contract's text for keys that cannot be made by their name.
const INSECURE: &str = "Failed to create key, ensure security settings are correct.";

const NO_RIGHTS: &str =
    "Failed to create key, keys must have at least one Access Rights record set.";

/// `POST /tyk/keys/create`: a key that nobody can guess.
pub(super) async fn create(State(control): State<Control>, body: Body) -> Outcome {
    let text = answer::text(body, SMALL).await?;
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    let mut draft =
        Draft::read(&text).map_err(|mistake| mistake.answer(status, "Unmarshalling failed"))?;
    let cannot = |why: &str| error(status, &format!("Failed to create key - {why}"));
    let (table, keys) = (
        control.reloader.table().load_full(),
        &control.sessions.names,
    );
    let (org_id, certificate) = (draft.sent.org_id.clone(), draft.sent.certificate.clone());
    let id = if certificate.is_empty() {
        keys.generate(&org_id, &key::new_name())
    } else {
        // The certificate's id may have the organisation in it already.
        let own = certificate.strip_prefix(&*org_id).unwrap_or(&certificate);
        let id = keys.generate(&org_id, own);
        let known = control.sessions.stored(&keys.of_id(&id)).await;
        if known.map_err(|failure| failed(&failure))?.is_some() {
            return Err(cannot(&format!(
                "Key with given certificate already found:{id}"
            )));
        }
        id
    };
    draft
        .apply_policies(&table)
        .map_err(|refusal| cannot(&refusal.to_string()))?;
    if draft.session.access_rights.is_empty() && !control.config.allow_master_keys {
        return Err(error(StatusCode::BAD_REQUEST, NO_RIGHTS));
    }
    draft.end_by_policy(&table);
    let goes_on = draft.keeps_quota(&table);
    if !goes_on {
        draft.reset_quota();
    }
    draft.add_hmac_secret();
    draft.date(None);
    let hashing = draft.hash_password(None).await;
    hashing.map_err(|why| cannot(&why))?;
    let name = keys.of_id(&id);
    let stored = Stored::of(draft, &table, &control);
    stored.put_and(goes_on, &control, &name, Some(&id)).await?;
    let events = &control.events;
    events.fire_of_key(names::TOKEN_CREATED, "Key generated.", &org_id, &id);
    let hash = keys.hashed.then(|| hash_of(&name));
    Ok(answer::done_with(&id, "added", hash, Vec::new()))
}

/// `POST /tyk/keys/{name}`: a key that has the name it is given.
pub(super) async fn add(
    State(control): State<Control>,
    Path(given): Path<String>,
    Query(which): Query<Which>,
    body: Body,
) -> Outcome {
    let text = answer::text(body, SMALL).await?;
    let mut draft = read(&text)?;
    let (table, keys) = (
        control.reloader.table().load_full(),
        &control.sessions.names,
    );
    let least = control.config.min_token_length;
    if given.chars().count() < least {
        let message = format!("Key name is too short: at least {least} characters are needed");
        return Err(error(StatusCode::BAD_REQUEST, &message));
    }
    let found = if which.hashed.is_empty() {
        let id = keys.of_named_key(&draft.sent.org_id, &given);
        let name = keys.of_id(&id);
        Found { id: Some(id), name }
    } else {
        super::by_hash(keys, &given)?
    };
    prepare(&control, &mut draft, &table)?;
    let before = control.sessions.stored(&found.name).await;
    if before.map_err(|failure| failed(&failure))?.is_none() {
        draft.end_by_policy(&table);
    }
    let goes_on = draft.keeps_quota(&table);
    if !goes_on {
        draft.reset_quota();
    }
    draft.date(None);
    let hashing = draft.hash_password(None).await;
    hashing.map_err(|why| insecure(&why))?;
    let org_id = draft.sent.org_id.clone();
    let is_basic = draft.session.basic_auth_data.is_some();
    let stored = Stored::of(draft, &table, &control);
    let id = found.id.as_deref();
    stored.put_and(goes_on, &control, &found.name, id).await?;
    let shown = found.shown(&given);
    let events = &control.events;
    events.fire_of_key(names::TOKEN_CREATED, "Key modified.", &org_id, shown);
    let hash = keys.hashed.then(|| hash_of(&found.name));
    // The id of a user is not a key to anything; the hash is what it is asked for by.
    let shown = if is_basic && keys.hashed { "" } else { shown };
    Ok(answer::done_with(shown, "added", hash, Vec::new()))
}

/// `PUT /tyk/keys/{name}`: replaces a session.
pub(super) async fn update(
    State(control): State<Control>,
    Path(given): Path<String>,
    Query(which): Query<Which>,
    body: Body,
) -> Outcome {
    let text = answer::text(body, SMALL).await?;
    let mut draft = read(&text)?;
    let table = control.reloader.table().load_full();
    let candidates = super::candidates(&control, &given, &which, &draft.sent.org_id)?;
    let Some((found, original)) = stored(&control, candidates).await? else {
        return Err(error(StatusCode::NOT_FOUND, "Key is not found"));
    };
    let before = original
        .session()
        .map_err(|mistake| failed(&mistake.into()))?;
    prepare(&control, &mut draft, &table)?;
    draft.date(original.get("date_created"));
    let goes_on = which.suppress_reset == "1" || draft.keeps_quota(&table);
    if goes_on {
        draft.keep_quota(&before);
    } else {
        draft.reset_quota();
    }
    let hashing = draft.hash_password(Some(&before)).await;
    hashing.map_err(|why| insecure(&why))?;
    let org_id = draft.sent.org_id.clone();
    let mut changed = Stored::of(draft, &table, &control);
    if found.id.is_none() {
        let owner = original.fingerprint().map(str::to_owned);
        changed.record.set_fingerprint(owner);
    }
    let id = found.id.as_deref();
    changed.put_and(goes_on, &control, &found.name, id).await?;
    let shown = found.shown(&given);
    let events = &control.events;
    events.fire_of_key(names::TOKEN_UPDATED, "Key modified.", &org_id, shown);
    Ok(answer::done(shown, "modified"))
}

/// `POST /tyk/keys/preview`: what a session would be with its policies.
pub(super) async fn preview(State(control): State<Control>, body: Body) -> Outcome {
    let text = answer::text(body, SMALL).await?;
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    let mut draft =
        Draft::read(&text).map_err(|mistake| mistake.answer(status, "Unmarshalling failed"))?;
    let table = control.reloader.table().load_full();
    draft
        .apply_policies(&table)
        .map_err(|refusal| error(StatusCode::BAD_REQUEST, &refusal.to_string()))?;
    draft.date(None);
    let document = draft.record().into_value();
    Ok(axum::Json(order::session(&document)).into_response())
}

/// What `POST /tyk/keys/policy/{hash}` takes.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Policies {
    policy: String,
    apply_policies: Vec<String>,
}

/// `POST /tyk/keys/policy/{hash}`: gives a stored session other policies.
pub(super) async fn set_policies(
    State(control): State<Control>,
    Path(hash): Path<String>,
    body: Body,
) -> Outcome {
    let text = answer::text(body, SMALL).await?;
    let parsed = json::parse::<Policies>(std::path::Path::new("body"), &text);
    let mut policies = parsed
        .map_err(|mistake| {
            let message = "Couldn't decode instruction";
            refuse(StatusCode::BAD_REQUEST, message, &mistake.to_string())
        })?
        .value;
    if !policies.policy.is_empty() {
        policies.apply_policies.push(policies.policy);
    }
    let name = control.sessions.names.of_hash(&hash);
    let stored = control.sessions.stored(&name).await;
    let Some(record) = stored.map_err(|failure| failed(&failure))? else {
        return Err(error(StatusCode::NOT_FOUND, "There is no such key found"));
    };
    let owner = record.fingerprint().map(str::to_owned);
    let mut draft = Draft::of_stored(record).map_err(|mistake| failed(&mistake.into()))?;
    draft.session.apply_policy_id = String::new();
    draft.session.apply_policies = policies.apply_policies;
    let table = control.reloader.table().load_full();
    draft
        .apply_policies(&table)
        .map_err(|refusal| error(StatusCode::BAD_REQUEST, &refusal.to_string()))?;
    let mut stored = Stored::of(draft, &table, &control);
    stored.record.set_fingerprint(owner);
    stored.put(&control, &name, None).await?;
    Ok(answer::done(&hash, "updated"))
}

fn read(text: &str) -> Result<Draft, Refusal> {
    let answer = |mistake: Mistake| mistake.answer(StatusCode::BAD_REQUEST, "Request malformed");
    Draft::read(text).map_err(answer)
}

/// Applies policies, and refuses a key that would be for everything.
fn prepare(control: &Control, draft: &mut Draft, table: &ApiTable) -> Result<(), Refusal> {
    draft
        .apply_policies(table)
        .map_err(|refusal| insecure(&refusal.to_string()))?;
    if draft.session.access_rights.is_empty() && !control.config.allow_master_keys {
        return Err(insecure(
            "access_rights: there are none, and allow_master_keys is off",
        ));
    }
    Ok(())
}

fn insecure(why: &str) -> Refusal {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, INSECURE, why)
}

/// The first of the sessions that is there.
async fn stored(
    control: &Control,
    candidates: Vec<Found>,
) -> Result<Option<(Found, Record)>, Refusal> {
    for found in candidates {
        let stored = control.sessions.stored(&found.name).await;
        if let Some(record) = stored.map_err(|failure| failed(&failure))? {
            return Ok(Some((found, record)));
        }
    }
    Ok(None)
}

/// A document and how long it is kept.
struct Stored {
    record: Record,
    ttl: Option<Duration>,
}

impl Stored {
    fn of(draft: Draft, table: &ApiTable, control: &Control) -> Self {
        let ttl = draft.lifetime(table, control.config.forced_session_lifetime());
        let record = draft.record();
        Self { record, ttl }
    }

    async fn put(&self, control: &Control, name: &str, id: Option<&str>) -> Result<(), Refusal> {
        let (name, record) = (name.to_owned(), &self.record);
        let put = control.sessions.put(name, id, record, self.ttl).await;
        put.map_err(|failure| failed(&failure))
    }

    /// The same, and its quotas go on or begin anew.
    async fn put_and(
        &self,
        goes_on: bool,
        control: &Control,
        name: &str,
        id: Option<&str>,
    ) -> Result<(), Refusal> {
        self.put(control, name, id).await?;
        if goes_on {
            return Ok(());
        }
        let reset = control.limits.reset(name, Some(&self.record)).await;
        reset.map_err(|failure| failed(&failure.into()))
    }
}

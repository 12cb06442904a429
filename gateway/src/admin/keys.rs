//! `/tyk/keys`: the stored sessions of keys.

mod draft;
mod write;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse as _;
use serde::Deserialize;
use serde_json::json;

use super::answer::{self, Outcome, Refusal, error, failed};
use super::extract::{Path, Query};
use super::surface::{About, Surface};
use super::{Control, order};
use crate::events::names;
use crate::session::key::KeyNames;
use crate::storage::keys;

/// Keys are free text, so a slash belongs to them.
const ONE: &str = "/tyk/keys/{*key}";

const WHICH: &[(&str, &str)] = &[
    ("hashed", "The key is given as its hash."),
    ("username", "`true`: the key is a name in its organisation."),
    ("org_id", "The organisation."),
    ("api_id", "An API of the organisation."),
];

const CHANGED: &[(&str, &str)] = &[
    ("suppress_reset", "`1`: quotas go on where they are."),
    ("hashed", "The key is given as its hash."),
    ("username", "`true`: the key is a name in its organisation."),
    ("org_id", "The organisation, where the session has none."),
    ("api_id", "An API of the organisation."),
];

pub(super) fn routes() -> Surface {
    let about = |summary, answer| About {
        summary,
        answer,
        failures: &[(404, "There is none."), (503, "The storage is away.")],
        ..About::default()
    };
    let taking = |summary, answer, body| About {
        body: Some(body),
        failures: &[
            (400, "It is no session that can be stored."),
            (404, "There is none."),
            (413, "The body is too large."),
            (500, "It cannot be made."),
            (503, "The storage is away."),
        ],
        ..about(summary, answer)
    };
    let listing = About {
        query: &[("filter", "Only keys that begin so.")],
        ..about("Lists keys", "Keys")
    };
    let which = |about| About {
        query: WHICH,
        ..about
    };
    let changed = |about| About {
        query: CHANGED,
        ..about
    };
    let made = taking("Makes a key", "Done", "Session");
    let preview = taking("Shows a session with its policies", "Session", "Session");
    let policies = taking("Gives a stored key policies", "Done", "PolicyUpdate");
    let added = changed(taking("Makes a key of this name", "Done", "Session"));
    let replaced = changed(taking("Replaces the session of a key", "Done", "Session"));
    let shown = which(about("Shows the session of a key", "Session"));
    let removed = which(about("Deletes a key", "Done"));
    Surface::default()
        .on(Method::GET, "/tyk/keys", &listing, list)
        .hidden(Method::GET, "/tyk/keys/", list)
        .on(Method::POST, "/tyk/keys/create", &made, write::create)
        .on(Method::POST, "/tyk/keys/preview", &preview, write::preview)
        // Without these, they would be names of keys.
        .hidden(Method::POST, "/tyk/keys/create/", write::create)
        .hidden(Method::POST, "/tyk/keys/preview/", write::preview)
        .on(
            Method::POST,
            "/tyk/keys/policy/{*hash}",
            &policies,
            write::set_policies,
        )
        .on(Method::GET, ONE, &shown, show)
        .on(Method::POST, ONE, &added, write::add)
        .on(Method::PUT, ONE, &replaced, write::update)
        .on(Method::DELETE, ONE, &removed, remove)
}

/// Which session is meant, and what is to happen with it.
#[derive(Deserialize)]
struct Which {
    /// The key is given as its hash.
    #[serde(default)]
    hashed: String,
    /// The key is a name that is unique in its organisation.
    #[serde(default)]
    username: String,
    #[serde(default)]
    org_id: String,
    /// An API of the organisation.
    #[serde(default)]
    api_id: String,
    /// `1`: quotas go on.
    #[serde(default)]
    suppress_reset: String,
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    filter: String,
}

/// Where a session may be.
struct Found {
    /// Its id, unless it was asked for by its hash.
    id: Option<String>,
    /// Its name in the store.
    name: String,
}

impl Found {
    /// How it is called in answers.
    fn shown<'a>(&'a self, given: &'a str) -> &'a str {
        self.id.as_deref().unwrap_or(given)
    }
}

async fn list(State(control): State<Control>, Query(listing): Query<Listing>) -> Outcome {
    let sessions = &control.sessions;
    // A part of a key says nothing about its hash.
    let filter = match (sessions.names.hashed, listing.filter.as_str()) {
        (true, _) if !control.config.enable_hashed_keys_listing => {
            return Err(error(
                StatusCode::NOT_FOUND,
                "Hashed key listing is disabled in config (enable_hashed_keys_listing)",
            ));
        }
        (true, _) => "",
        (false, filter) => filter.strip_suffix('*').unwrap_or(filter),
    };
    let listed = sessions.list(filter).await;
    let mut keys = listed.map_err(|failure| failed(&failure))?;
    if let Some(begin) = sessions.names.begin_of_organisation(filter) {
        let listed = sessions.list(&begin).await;
        keys.extend(listed.map_err(|failure| failed(&failure))?);
    }
    Ok(axum::Json(json!({"keys": keys})).into_response())
}

async fn show(
    State(control): State<Control>,
    Path(key): Path<String>,
    Query(which): Query<Which>,
) -> Outcome {
    for found in candidates(&control, &key, &which, "")? {
        match control.sessions.document(&found.name).await {
            Ok(Some(mut record)) => {
                let shown = control.limits.show(&found.name, &mut record).await;
                shown.map_err(|failure| failed(&failure.into()))?;
                let document = record.into_value();
                return Ok(axum::Json(order::session(&document)).into_response());
            }
            Ok(None) => {}
            Err(failure) => return Err(failed(&failure)),
        }
    }
    Err(error(StatusCode::NOT_FOUND, "Key not found"))
}

async fn remove(
    State(control): State<Control>,
    Path(key): Path<String>,
    Query(which): Query<Which>,
) -> Outcome {
    for found in candidates(&control, &key, &which, "")? {
        // What it says about its quotas goes with it.
        let record = control.sessions.document(&found.name).await.ok().flatten();
        match control.sessions.delete(found.name.clone()).await {
            Ok(true) => {
                let reset = control.limits.reset(&found.name, record.as_ref()).await;
                reset.map_err(|failure| failed(&failure.into()))?;
                let shown = found.shown(&key);
                let (events, name) = (&control.events, names::TOKEN_DELETED);
                events.fire_of_key(name, "Key deleted.", &which.org_id, shown);
                return Ok(answer::done(shown, "deleted"));
            }
            Ok(false) => {}
            Err(failure) => return Err(failed(&failure)),
        }
    }
    Err(error(StatusCode::NOT_FOUND, "There is no such key found"))
}

/// The sessions that may be meant, in the order in which they count. `org_id` is the
/// organisation where the query names none.
fn candidates(
    control: &Control,
    key: &str,
    which: &Which,
    org_id: &str,
) -> Result<Vec<Found>, Refusal> {
    let keys = &control.sessions.names;
    if !which.hashed.is_empty() {
        return Ok(vec![by_hash(keys, key)?]);
    }
    let table = control.reloader.table().load();
    let of_api = table.apis.get(&which.api_id).map(|api| &*api.spec.org_id);
    let named = [of_api.unwrap_or(&which.org_id), org_id];
    let org_id = named.into_iter().find(|org| !org.is_empty()).unwrap_or("");
    let found = |id: String| {
        let name = keys.of_id(&id);
        Found { id: Some(id), name }
    };
    if which.username == "true" {
        return Ok(vec![found(keys.of_named_key(org_id, key))]);
    }
    if org_id.is_empty() {
        return Ok(vec![found(key.to_owned())]);
    }
    let ids = keys.ids_of_key(org_id, key).into_iter().flatten();
    Ok(ids.map(|id| found(id.into_owned())).collect())
}

fn by_hash(keys: &KeyNames, hash: &str) -> Result<Found, Refusal> {
    if !keys.hashed {
        return Err(error(
            StatusCode::BAD_REQUEST,
            "Key requested by hash but key hashing is not enabled",
        ));
    }
    let name = keys.of_hash(hash);
    Ok(Found { id: None, name })
}

/// The hash in a session's name.
fn hash_of(name: &str) -> String {
    let hash = name.strip_prefix(keys::SESSION);
    hash.unwrap_or(name).to_owned()
}

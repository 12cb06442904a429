//! `/tyk/keys`: the stored sessions of keys.

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::extract::{Path, Query};
use super::{Control, error};
use crate::session::{SessionError, Sessions};
use crate::storage::StoreError;

/// Keys are free text, so a slash belongs to them.
const ONE: &str = "/tyk/keys/{*key}";

pub(super) fn routes() -> Router<Control> {
    Router::new()
        .route("/tyk/keys", get(list))
        .route("/tyk/keys/", get(list))
        .route(ONE, get(show).delete(remove))
}

/// Which session is meant.
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
}

#[derive(Deserialize)]
struct Listing {
    #[serde(default)]
    filter: String,
}

/// What has been done to a key. The order is the contract's.
#[derive(Serialize)]
struct Done<'a> {
    key: &'a str,
    status: &'static str,
    action: &'static str,
}

async fn list(State(control): State<Control>, Query(listing): Query<Listing>) -> Response {
    let sessions = &control.sessions;
    // A part of a key says nothing about its hash.
    let filter = match (sessions.names.hashed, listing.filter.as_str()) {
        (true, _) if !control.config.enable_hashed_keys_listing => {
            return error(
                StatusCode::NOT_FOUND,
                "Hashed key listing is disabled in config (enable_hashed_keys_listing)",
            );
        }
        (true, _) => "",
        (false, filter) => filter.strip_suffix('*').unwrap_or(filter),
    };
    match sessions.list(filter).await {
        Ok(keys) => axum::Json(json!({"keys": keys})).into_response(),
        Err(failure) => failed(&failure),
    }
}

async fn show(
    State(control): State<Control>,
    Path(key): Path<String>,
    Query(which): Query<Which>,
) -> Response {
    let names = match names(&control, &key, &which) {
        Ok(names) => names,
        Err(response) => return *response,
    };
    for name in names {
        match control.sessions.document(&name).await {
            Ok(Some(mut record)) => {
                return match control.limits.show(&name, &mut record).await {
                    Ok(()) => axum::Json(record.into_value()).into_response(),
                    Err(failure) => failed(&failure.into()),
                };
            }
            Ok(None) => {}
            Err(failure) => return failed(&failure),
        }
    }
    error(StatusCode::NOT_FOUND, "Key not found")
}

async fn remove(
    State(control): State<Control>,
    Path(key): Path<String>,
    Query(which): Query<Which>,
) -> Response {
    let names = match names(&control, &key, &which) {
        Ok(names) => names,
        Err(response) => return *response,
    };
    for name in names {
        // What it says about its quotas goes with it.
        let record = control.sessions.document(&name).await.ok().flatten();
        match control.sessions.delete(name.clone()).await {
            Ok(true) => {
                if let Err(failure) = control.limits.reset(&name, record.as_ref()).await {
                    return failed(&failure.into());
                }
                let done = Done {
                    key: &key,
                    status: "ok",
                    action: "deleted",
                };
                return axum::Json(done).into_response();
            }
            Ok(false) => {}
            Err(failure) => return failed(&failure),
        }
    }
    error(StatusCode::NOT_FOUND, "There is no such key found")
}

/// The names that the session may have in the store, in the order in which they count.
fn names(control: &Control, key: &str, which: &Which) -> Result<Vec<String>, Box<Response>> {
    let sessions: &Sessions = &control.sessions;
    let keys = &sessions.names;
    if !which.hashed.is_empty() {
        if !keys.hashed {
            return Err(Box::new(error(
                StatusCode::BAD_REQUEST,
                "Key requested by hash but key hashing is not enabled",
            )));
        }
        return Ok(vec![keys.of_hash(key)]);
    }
    let table = control.reloader.table().load();
    let of_api = table.apis.get(&which.api_id).map(|api| &api.spec.org_id);
    let org_id = of_api.unwrap_or(&which.org_id);
    let generated = keys.of_id(&keys.generate(org_id, key));
    if which.username == "true" {
        return Ok(vec![generated]);
    }
    let plain = keys.of_id(key);
    Ok(if org_id.is_empty() || generated == plain {
        vec![plain]
    } else {
        vec![generated, plain]
    })
}

fn failed(failure: &SessionError) -> Response {
    let status = match failure {
        SessionError::Store(StoreError::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
        SessionError::Store(StoreError::Refused(_)) | SessionError::Unreadable(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    error(status, &failure.to_string())
}

//! `/tyk/org/keys`: the sessions of organisations.

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{self, Outcome, Refusal, SMALL, error, failed, refuse};
use super::extract::{Path, Query};
use super::surface::{About, Surface};
use super::{Control, order};
use crate::definition::SessionDefinition;
use crate::session::record::Record;
use crate::session::unix_now;
use crate::storage::{StoreError, keys};

const ONE: &str = "/tyk/org/keys/{org}";

pub(super) fn routes() -> Surface {
    let about = |summary, answer| About {
        summary,
        answer,
        failures: &[(404, "There is none."), (503, "The storage is away.")],
        ..About::default()
    };
    let taking = |summary| About {
        body: Some("Session"),
        query: &[("reset_quota", "`1`: the quota begins anew.")],
        failures: &[
            (400, "It is no session that can be stored."),
            (404, "No API is the organisation's."),
            (413, "The body is too large."),
            (503, "The storage is away."),
        ],
        ..about(summary, "Done")
    };
    let listing = about("Lists organisations that have sessions", "Keys");
    let shown = about("Shows the session of an organisation", "Session");
    let removed = about("Deletes the session of an organisation", "Done");
    let added = taking("Makes the session of an organisation");
    let replaced = taking("Replaces the session of an organisation");
    Surface::default()
        .on(Method::GET, "/tyk/org/keys", &listing, list)
        .hidden(Method::GET, "/tyk/org/keys/", list)
        .on(Method::GET, ONE, &shown, show)
        .on(Method::POST, ONE, &added, add)
        .on(Method::PUT, ONE, &replaced, replace)
        .on(Method::DELETE, ONE, &removed, remove)
}

async fn list(State(control): State<Control>) -> Outcome {
    let names = control.store.keys(keys::ORGANISATION).await.map_err(away)?;
    let names = names.iter();
    let mut keys: Vec<_> = names
        .filter_map(|name| name.strip_prefix(keys::ORGANISATION))
        .collect();
    keys.sort_unstable();
    Ok(axum::Json(json!({"keys": keys})).into_response())
}

async fn show(State(control): State<Control>, Path(org): Path<String>) -> Outcome {
    let stored = control.store.get(&name(&org)).await.map_err(away)?;
    let Some(stored) = stored else {
        return Err(error(StatusCode::NOT_FOUND, "Org not found"));
    };
    let mut record = Record::parse(&stored).map_err(|mistake| failed(&mistake.into()))?;
    let shown = control.limits.show(&name(&org), &mut record).await;
    shown.map_err(away)?;
    let document = record.into_value();
    Ok(axum::Json(order::session(&document)).into_response())
}

/// What else is to be done.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    /// `1`: the quota begins anew.
    reset_quota: String,
}

async fn add(
    state: State<Control>,
    path: Path<String>,
    asked: Query<Asked>,
    body: Body,
) -> Outcome {
    write(state, path, asked, body, "added").await
}

async fn replace(
    state: State<Control>,
    path: Path<String>,
    asked: Query<Asked>,
    body: Body,
) -> Outcome {
    write(state, path, asked, body, "modified").await
}

async fn write(
    State(control): State<Control>,
    Path(org): Path<String>,
    Query(asked): Query<Asked>,
    body: Body,
    action: &'static str,
) -> Outcome {
    let text = answer::text(body, SMALL).await?;
    let parsed = crate::json::parse::<SessionDefinition>(std::path::Path::new("body"), &text);
    let malformed = |detail: &str| refuse(StatusCode::BAD_REQUEST, "Request malformed", detail);
    let parsed = parsed.map_err(|mistake| malformed(&mistake.to_string()))?;
    parsed
        .value
        .check()
        .map_err(|mistake| error(StatusCode::BAD_REQUEST, &mistake))?;
    let table = control.reloader.table().load_full();
    if !table.apis.values().any(|api| api.spec.org_id == org) {
        let message = "No such organisation found in Active API list";
        return Err(error(StatusCode::NOT_FOUND, message));
    }
    let Value::Object(document) = parsed.raw else {
        return Err(malformed("body: it is not an object"));
    };
    let mut record = Record::from(document);
    let begins_anew = asked.reset_quota == "1";
    if begins_anew {
        let lasts = parsed.value.quota_renewal_rate.max(0);
        record.set("quota_renews", unix_now().saturating_add(lasts));
    }
    let json = record.to_json();
    let stored = control.store.set(&name(&org), json.into(), None).await;
    stored.map_err(away)?;
    if begins_anew {
        let reset = control.limits.reset(&name(&org), Some(&record)).await;
        reset.map_err(away)?;
    }
    Ok(answer::done(&org, action))
}

async fn remove(State(control): State<Control>, Path(org): Path<String>) -> Outcome {
    if !control.store.delete(&name(&org)).await.map_err(away)? {
        return Err(error(StatusCode::NOT_FOUND, "Org not found"));
    }
    let reset = control.limits.reset(&name(&org), None).await;
    reset.map_err(away)?;
    Ok(answer::done(&org, "deleted"))
}

fn name(org: &str) -> String {
    format!("{}{org}", keys::ORGANISATION)
}

fn away(failure: StoreError) -> Refusal {
    failed(&failure.into())
}

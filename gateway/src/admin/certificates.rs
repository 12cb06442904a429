//! `/tyk/certs`: the certificate store. Private keys go in and never come out.
//!
//! What is added or deleted counts at once: it makes this gateway, and those that share its
//! storage, reload.

mod shown;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::{info, warn};

use super::Control;
use super::answer::{self, Message, Outcome, Refusal, SMALL, error, failed};
use super::extract::{Path, Query};
use super::surface::{About, Surface};
use crate::certificates::{AddError, EntryError};
use crate::storage::StoreError;

const ONE: &str = "/tyk/certs/{id}";

const NOT_FOUND: &str = "Certificate with given SHA256 fingerprint not found";

pub(super) fn routes() -> Surface {
    const ORG: (&str, &str) = ("org_id", "The organisation.");
    let about = |summary| About {
        summary,
        answer: "Object",
        ..About::default()
    };
    let listing = About {
        query: &[
            ORG,
            ("mode", "`detailed`: not the ids alone, but what they are."),
        ],
        ..about("Lists the ids of stored certificates")
    };
    let adding = About {
        query: &[ORG],
        body: Some("Pem"),
        failures: &[
            (403, "It is no certificate that can be stored, or is known."),
            (413, "The body is too large."),
        ],
        ..about("Stores a certificate with or without its key, or a public key")
    };
    let showing = About {
        failures: &[(404, "There is none.")],
        ..about("Shows a certificate; several where ids are separated by commas")
    };
    let deleting = About {
        answer: "Message",
        ..about("Deletes a certificate")
    };
    Surface::default()
        .on(Method::GET, "/tyk/certs", &listing, list)
        .hidden(Method::GET, "/tyk/certs/", list)
        .on(Method::POST, "/tyk/certs", &adding, add)
        .hidden(Method::POST, "/tyk/certs/", add)
        .on(Method::GET, ONE, &showing, show)
        .on(Method::DELETE, ONE, &deleting, delete)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Options {
    org_id: String,
    mode: String,
}

#[derive(Serialize)]
struct Added {
    id: String,
    status: &'static str,
    message: &'static str,
}

async fn list(State(control): State<Control>, Query(options): Query<Options>) -> Outcome {
    let ids = control.certificates.list(&options.org_id).await;
    let ids = ids.map_err(|failure| away(&failure))?;
    if options.mode != "detailed" {
        // No list at all where it is empty, as in the original.
        let ids = (!ids.is_empty()).then_some(ids);
        return Ok(axum::Json(json!({"certs": ids})).into_response());
    }
    let mut found = Vec::new();
    for id in ids {
        // One that was deleted a moment ago, or that nobody can read, is left out.
        if let Some(basics) = read(&control, &id)
            .await?
            .and_then(|read| shown::basics(&read))
        {
            found.push(basics);
        }
    }
    Ok(axum::Json(json!({"certs": found})).into_response())
}

async fn add(
    State(control): State<Control>,
    Query(options): Query<Options>,
    body: Body,
) -> Outcome {
    let text = answer::text(body, SMALL).await?;
    let added = control.certificates.add(&text, &options.org_id).await;
    let id = added.map_err(|failure| match failure {
        AddError::Store(failure) => away(&failure),
        refused => error(StatusCode::FORBIDDEN, &refused.to_string()),
    })?;
    info!(id, "Certificate is stored.");
    changed(&control).await;
    Ok(axum::Json(Added {
        id,
        status: "ok",
        message: "Certificate added",
    })
    .into_response())
}

async fn show(State(control): State<Control>, Path(ids): Path<String>) -> Outcome {
    let ids: Vec<&str> = ids.split(',').collect();
    let mut found = Vec::new();
    for id in &ids {
        found.push(
            read(&control, id)
                .await?
                .and_then(|read| shown::meta(&read)),
        );
    }
    match (ids.len(), found.pop()) {
        (1, Some(Some(meta))) => Ok(axum::Json(meta).into_response()),
        (1, _) => Err(error(StatusCode::NOT_FOUND, NOT_FOUND)),
        (_, last) => {
            found.extend(last);
            Ok(axum::Json(found).into_response())
        }
    }
}

async fn delete(State(control): State<Control>, Path(id): Path<String>) -> Outcome {
    let deleted = control.certificates.delete(&id).await;
    if deleted.map_err(|failure| away(&failure))? {
        info!(id, "Certificate is deleted.");
        changed(&control).await;
    }
    let said = Message {
        status: "ok",
        message: "removed",
        detail: "",
    };
    Ok(axum::Json(said).into_response())
}

/// Makes what has changed count, here and elsewhere. Nobody waits for it.
async fn changed(control: &Control) {
    if let Err(error) = control.store.tell_reload().await {
        warn!(%error, "Other gateways are not told of a changed certificate.");
    }
    // A failure is in the log.
    tokio::spawn(Arc::clone(&control.reloader).reload());
}

/// An entry; nothing where there is none that can be read.
async fn read(
    control: &Control,
    id: &str,
) -> Result<Option<Arc<crate::certificates::Material>>, Refusal> {
    match control.certificates.get(id).await {
        Ok(found) => Ok(found),
        Err(EntryError::Store(failure)) => Err(away(&failure)),
        Err(EntryError::Unusable(error)) => {
            warn!(%error, "Certificate is not shown.");
            Ok(None)
        }
    }
}

fn away(failure: &StoreError) -> Refusal {
    failed(&failure.clone().into())
}

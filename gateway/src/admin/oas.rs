//! `/tyk/apis/oas`: the definitions that are OpenAPI documents, and their files.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::Value;

use super::Control;
use super::answer::{self, LARGE, Outcome, Refusal, error, refuse};
use super::apis::{self, Form};
use super::extract::{Path, Query};
use super::surface::{About, Surface};
use crate::api::Api;
use crate::definition::oas;

const ONE: &str = "/tyk/apis/oas/{id}";

/// What is asked of a document that is shown.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Shown {
    mode: String,
}

pub(super) fn routes() -> Surface {
    let about = |summary, answer| About {
        summary,
        answer,
        query: &[("mode", "`public` leaves the gateway's extension out.")],
        failures: &[
            (400, "The API is of the classic form."),
            (404, "There is none."),
        ],
        ..About::default()
    };
    let taking = |summary| About {
        query: &[],
        body: Some("OasApi"),
        failures: apis::NOT_TAKEN,
        ..about(summary, "Done")
    };
    let listing = about(
        "Lists the loaded APIs that are OpenAPI documents",
        "OasApis",
    );
    let shown = about("Shows the OpenAPI document of a loaded API", "OasApi");
    let exported = about("The OpenAPI document of a loaded API as a file", "OasApi");
    let removed = About {
        query: &[],
        ..about("Deletes the file of an OpenAPI document", "Done")
    };
    let patched = taking("Replaces an OpenAPI document; without an extension it keeps the old one");
    let added = taking("Writes the file of an OpenAPI document");
    let replaced = taking("Replaces the file of an OpenAPI document");
    Surface::default()
        .on(Method::GET, "/tyk/apis/oas", &listing, list)
        .hidden(Method::GET, "/tyk/apis/oas/", list)
        .on(Method::POST, "/tyk/apis/oas", &added, add)
        .hidden(Method::POST, "/tyk/apis/oas/", add)
        .on(Method::GET, ONE, &shown, show)
        .on(Method::PUT, ONE, &replaced, replace)
        .on(Method::PATCH, ONE, &patched, patch)
        .on(Method::DELETE, ONE, &removed, remove)
        .on(Method::GET, "/tyk/apis/oas/{id}/export", &exported, export)
}

async fn list(State(control): State<Control>, Query(shown): Query<Shown>) -> Response {
    let table = control.reloader.table().load_full();
    let documents = table.apis.values().filter_map(|api| api.oas.as_deref());
    let texts: Vec<_> = documents.map(|text| shown.text(text)).collect();
    apis::as_json(format!("[{}]", texts.join(",")))
}

async fn show(
    State(control): State<Control>,
    Path(id): Path<String>,
    Query(shown): Query<Shown>,
) -> Outcome {
    let document = document(&find(&control, &id)?)?;
    Ok(apis::as_json(shown.text(&document)))
}

async fn export(
    State(control): State<Control>,
    Path(id): Path<String>,
    Query(shown): Query<Shown>,
) -> Outcome {
    let document = document(&find(&control, &id)?)?;
    // The id of a loaded API may have any letters; those of a name are few.
    let name: String = id.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}.json\""),
        ),
    ];
    Ok((headers, shown.text(&document)).into_response())
}

async fn add(State(control): State<Control>, body: Body) -> Outcome {
    let text = answer::text(body, LARGE).await?;
    apis::add_as(&control, Form::Oas, text).await
}

async fn replace(State(control): State<Control>, Path(id): Path<String>, body: Body) -> Outcome {
    let text = answer::text(body, LARGE).await?;
    apis::replace_as(&control, Form::Oas, id, text).await
}

async fn patch(State(control): State<Control>, Path(id): Path<String>, body: Body) -> Outcome {
    let text = answer::text(body, LARGE).await?;
    let old = document(&find(&control, &id)?)?;
    let text = with_extension(text, &old);
    apis::replace_as(&control, Form::Oas, id, text).await
}

async fn remove(State(control): State<Control>, Path(id): Path<String>) -> Outcome {
    apis::remove_as(&control, Form::Oas, id).await
}

fn find(control: &Control, id: &str) -> Result<Arc<Api>, Refusal> {
    let table = control.reloader.table().load();
    let api = table.apis.get(id).cloned();
    api.ok_or_else(|| error(StatusCode::NOT_FOUND, apis::NOT_FOUND))
}

/// The document of an API that has one.
fn document(api: &Arc<Api>) -> Result<Arc<str>, Refusal> {
    api.oas.clone().ok_or_else(|| {
        let message = "the requested API definition is in Tyk classic format, please use old api \
                       endpoint";
        refuse(StatusCode::BAD_REQUEST, message, "")
    })
}

/// A document that brings no extension keeps that of the old one.
fn with_extension(text: String, old: &str) -> String {
    let (Ok(Value::Object(mut new)), Ok(Value::Object(mut old))) =
        (serde_json::from_str(&text), serde_json::from_str(old))
    else {
        // What is wrong is said where it is read.
        return text;
    };
    if new.contains_key(oas::EXTENSION) {
        return text;
    }
    new.extend(old.remove_entry(oas::EXTENSION));
    format!("{:#}", Value::Object(new))
}

impl Shown {
    fn text(&self, document: &str) -> String {
        if self.mode == "public"
            && let Ok(Value::Object(mut document)) = serde_json::from_str(document)
        {
            document.remove(oas::EXTENSION);
            return Value::Object(document).to_string();
        }
        document.to_owned()
    }
}

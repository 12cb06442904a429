//! `/tyk/apis`: the definitions, and their files.
//!
//! What is written here counts from the next reload on.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tracing::info;

use super::Control;
use super::answer::{self, LARGE, Outcome, Refusal, error, refuse};
use super::extract::Path;
use super::surface::{About, Surface};
use crate::api;
use crate::files;
use crate::session::key;

const ONE: &str = "/tyk/apis/{id}";

const NOT_FOUND: &str = "API not found";

pub(super) fn routes() -> Surface {
    let about = |summary, answer| About {
        summary,
        answer,
        failures: &[(404, "There is none.")],
        ..About::default()
    };
    let taking = |summary| About {
        body: Some("Api"),
        failures: &[
            (
                400,
                "It is no definition that can be loaded, or has another id.",
            ),
            (404, "There is none."),
            (413, "The body is too large."),
            (500, "It cannot be written."),
        ],
        ..about(summary, "Done")
    };
    let listing = about("Lists the definitions of loaded APIs", "Apis");
    let shown = about("Shows the definition of a loaded API", "Api");
    let removed = about("Deletes the file of a definition", "Done");
    let added = taking("Writes the file of a definition");
    let replaced = taking("Replaces the file of a definition");
    Surface::default()
        .on(Method::GET, "/tyk/apis", &listing, list)
        .hidden(Method::GET, "/tyk/apis/", list)
        .on(Method::POST, "/tyk/apis", &added, add)
        .hidden(Method::POST, "/tyk/apis/", add)
        .on(Method::GET, ONE, &shown, show)
        .on(Method::PUT, ONE, &replaced, replace)
        .on(Method::DELETE, ONE, &removed, remove)
}

async fn list(State(control): State<Control>) -> Response {
    let table = control.reloader.table().load_full();
    let texts: Vec<_> = table.apis.values().map(|api| &*api.text).collect();
    as_json(format!("[{}]", texts.join(",")))
}

async fn show(State(control): State<Control>, Path(id): Path<String>) -> Outcome {
    let table = control.reloader.table().load_full();
    match table.apis.get(&id) {
        Some(api) => Ok(as_json(api.text.to_string())),
        None => Err(error(StatusCode::NOT_FOUND, NOT_FOUND)),
    }
}

/// Definitions are shown as they were written.
fn as_json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn add(State(control): State<Control>, body: Body) -> Outcome {
    let text = answer::text(body, LARGE).await?;
    let text = with_id(text);
    let (id, warnings) = check(&control, &text).await?;
    let folder = control.config.app_path.clone();
    let written = id.clone();
    let work = move || {
        let file = file_of(&folder, &id)?.unwrap_or_else(|| folder.join(format!("{id}.json")));
        put(&file, &id, &text).map(Some)
    };
    write(&control, work).await?;
    Ok(answer::done_with(&written, "added", None, warnings))
}

async fn replace(State(control): State<Control>, Path(id): Path<String>, body: Body) -> Outcome {
    let text = answer::text(body, LARGE).await?;
    let is_loaded = control.reloader.table().load().apis.contains_key(&id);
    let folder = control.config.app_path.clone();
    let (of, within) = (id.clone(), folder.clone());
    let found = control.with_files(move || file_of(&within, &of)).await;
    let found = found.map_err(|failure| cannot_write(&failure))?;
    if !is_loaded && found.is_none() {
        return Err(error(StatusCode::NOT_FOUND, NOT_FOUND));
    }
    let (named, warnings) = check(&control, &text).await?;
    if named != id {
        let message = "Request APIID does not match that in Definition! For Update operations \
                       these must match.";
        return Err(error(StatusCode::BAD_REQUEST, message));
    }
    let work = move || {
        let file =
            file_of(&folder, &named)?.unwrap_or_else(|| folder.join(format!("{named}.json")));
        put(&file, &named, &text).map(Some)
    };
    write(&control, work).await?;
    Ok(answer::done_with(&id, "modified", None, warnings))
}

async fn remove(State(control): State<Control>, Path(id): Path<String>) -> Outcome {
    let folder = control.config.app_path.clone();
    let of = id.clone();
    let work = move || match file_of(&folder, &of)? {
        Some(file) => files::remove(&file).map(Some),
        None => Ok(None),
    };
    match write(&control, work).await? {
        Some(()) => Ok(answer::done(&id, "deleted")),
        None => Err(error(StatusCode::NOT_FOUND, NOT_FOUND)),
    }
}

/// A definition without an id gets one.
fn with_id(text: String) -> String {
    let Ok(Value::Object(mut document)) = serde_json::from_str(&text) else {
        // What is wrong is said where it is read.
        return text;
    };
    let id = document.get("api_id").and_then(Value::as_str);
    if id.is_some_and(|id| !id.is_empty()) {
        return text;
    }
    document.insert("api_id".into(), key::new_name().into());
    format!("{:#}", Value::Object(document))
}

/// Whether a definition can be loaded; its id, and what will not be as it asks for.
async fn check(control: &Control, text: &str) -> Result<(String, Vec<String>), Refusal> {
    let malformed = |detail: &str| refuse(StatusCode::BAD_REQUEST, "Request malformed", detail);
    let (loader, text) = (Arc::clone(control.reloader.loader()), text.to_owned());
    let checking = tokio::task::spawn_blocking(move || loader.check(FilePath::new("body"), &text));
    let checked = checking
        .await
        .map_err(|failure| error(StatusCode::INTERNAL_SERVER_ERROR, &failure.to_string()))?;
    let (id, warnings) = checked.map_err(|mistake| malformed(&mistake))?;
    if !files::is_safe_name(&id) || id.ends_with("-oas") {
        return Err(malformed(
            "api_id: it names the file, so only letters, digits, `-`, `_` and `.` are possible, \
             and not `-oas` at its end",
        ));
    }
    Ok((id, warnings))
}

async fn write<T: Send + 'static>(
    control: &Control,
    work: impl FnOnce() -> std::io::Result<Option<T>> + Send + 'static,
) -> Result<Option<T>, Refusal> {
    let outcome = control.with_files(work).await;
    outcome.map_err(|failure| cannot_write(&failure))
}

fn cannot_write(failure: &std::io::Error) -> Refusal {
    let message = "file object creation failed, write error";
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    refuse(status, message, &failure.to_string())
}

fn put(file: &FilePath, id: &str, text: &str) -> std::io::Result<()> {
    files::replace(file, text.as_bytes())?;
    info!(api = id, file = %file.display(), "Definition is written.");
    Ok(())
}

/// The file that has a definition, whatever it is called.
fn file_of(folder: &FilePath, id: &str) -> std::io::Result<Option<PathBuf>> {
    let files = api::definition_files(folder)?;
    Ok(super::holder_of(files, "api_id", id))
}

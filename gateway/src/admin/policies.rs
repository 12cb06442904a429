//! `/tyk/policies`: the policies, and their files.
//!
//! What is written here counts from the next reload on, as with the files of APIs.

use std::path::{Path as FilePath, PathBuf};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use tracing::info;

use super::answer::{self, Outcome, Refusal, SMALL, error, refuse};
use super::extract::Path;
use super::surface::{About, Surface};
use super::{Control, order};
use crate::files;
use crate::policy::{self, Policy};

const ONE: &str = "/tyk/policies/{id}";

const NOT_FOUND: &str = "Policy not found";

pub(super) fn routes() -> Surface {
    let about = |summary, answer| About {
        summary,
        answer,
        failures: &[(404, "There is none.")],
        ..About::default()
    };
    let taking = |summary| About {
        body: Some("Policy"),
        failures: &[
            (400, "It is no policy, or has another id."),
            (404, "There is none."),
            (413, "The body is too large."),
            (500, "It cannot be written."),
        ],
        ..about(summary, "Done")
    };
    let listing = about("Lists the loaded policies", "Policies");
    let shown = about("Shows a loaded policy", "Policy");
    let removed = about("Deletes the file of a policy", "Done");
    let added = taking("Writes the file of a policy");
    let replaced = taking("Replaces the file of a policy");
    Surface::default()
        .on(Method::GET, "/tyk/policies", &listing, list)
        .hidden(Method::GET, "/tyk/policies/", list)
        .on(Method::POST, "/tyk/policies", &added, add)
        .hidden(Method::POST, "/tyk/policies/", add)
        .on(Method::GET, ONE, &shown, show)
        .on(Method::PUT, ONE, &replaced, replace)
        .on(Method::DELETE, ONE, &removed, remove)
}

async fn list(State(control): State<Control>) -> Response {
    let table = control.reloader.table().load_full();
    let documents = table.policies.all();
    let documents: Vec<_> = documents
        .map(|policy| Value::Object(policy.document.clone()))
        .collect();
    let ordered: Vec<_> = documents.iter().map(order::policy).collect();
    axum::Json(ordered).into_response()
}

async fn show(State(control): State<Control>, Path(id): Path<String>) -> Outcome {
    let table = control.reloader.table().load_full();
    let Some(policy) = table.policies.get(&id) else {
        return Err(error(StatusCode::NOT_FOUND, NOT_FOUND));
    };
    let document = Value::Object(policy.document.clone());
    Ok(axum::Json(order::policy(&document)).into_response())
}

async fn add(State(control): State<Control>, body: Body) -> Outcome {
    let text = answer::text(body, SMALL).await?;
    let policy = read(&text)?;
    let id = policy.definition.id.clone();
    let folder = folder(&control)?;
    write(&control, move || {
        let file = file_of(&folder, &id)?.unwrap_or_else(|| folder.join(format!("{id}.json")));
        put(&file, &policy)
    })
    .await?
    .map(|id| answer::done(&id, "added"))
    .ok_or_else(|| error(StatusCode::NOT_FOUND, NOT_FOUND))
}

async fn replace(State(control): State<Control>, Path(id): Path<String>, body: Body) -> Outcome {
    let text = answer::text(body, SMALL).await?;
    let policy = read(&text)?;
    if policy.definition.id != id {
        let message =
            "Request ID does not match that in policy! For Update operations these must match.";
        return Err(error(StatusCode::BAD_REQUEST, message));
    }
    let folder = folder(&control)?;
    let outcome = write(&control, move || match file_of(&folder, &id)? {
        Some(file) => put(&file, &policy),
        None => Ok(None),
    });
    let outcome = outcome.await?;
    outcome
        .map(|id| answer::done(&id, "modified"))
        .ok_or_else(|| error(StatusCode::NOT_FOUND, NOT_FOUND))
}

async fn remove(State(control): State<Control>, Path(id): Path<String>) -> Outcome {
    let folder = folder(&control)?;
    let outcome = write(&control, move || match file_of(&folder, &id)? {
        Some(file) => files::remove(&file).map(|()| Some(id)),
        None => Ok(None),
    });
    let outcome = outcome.await?;
    outcome
        .map(|id| answer::done(&id, "deleted"))
        .ok_or_else(|| error(StatusCode::NOT_FOUND, NOT_FOUND))
}

fn read(text: &str) -> Result<Policy, Refusal> {
    let policy = policy::read(FilePath::new("body"), text)
        .map_err(|mistake| refuse(StatusCode::BAD_REQUEST, "Request malformed", &mistake))?;
    if !files::is_safe_name(&policy.definition.id) {
        let detail =
            "id: it names the file, so only letters, digits, `-`, `_` and `.` are possible";
        return Err(refuse(StatusCode::BAD_REQUEST, "Request malformed", detail));
    }
    Ok(policy)
}

fn folder(control: &Control) -> Result<PathBuf, Refusal> {
    let folder = &control.config.policies.policy_path;
    if folder.as_os_str().is_empty() {
        let message = "Policies can be changed in their file only: policies.policy_path is not set";
        return Err(error(StatusCode::INTERNAL_SERVER_ERROR, message));
    }
    Ok(folder.clone())
}

/// Does one thing with the files at a time.
async fn write(
    control: &Control,
    work: impl FnOnce() -> std::io::Result<Option<String>> + Send + 'static,
) -> Result<Option<String>, Refusal> {
    let outcome = control.with_files(work).await;
    outcome.map_err(|failure| {
        refuse(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Failed to create file!",
            &failure.to_string(),
        )
    })
}

fn put(file: &FilePath, policy: &Policy) -> std::io::Result<Option<String>> {
    let document = Value::Object(policy.document.clone());
    let text = serde_json::to_vec_pretty(&order::policy(&document))?;
    files::replace(file, &text)?;
    info!(policy = policy.definition.id, file = %file.display(), "Policy is written.");
    Ok(Some(policy.definition.id.clone()))
}

/// The file that has a policy, whatever it is called.
fn file_of(folder: &FilePath, id: &str) -> std::io::Result<Option<PathBuf>> {
    let files = match policy::files(folder) {
        Ok(files) => files,
        Err(failure) if failure.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(failure) => return Err(failure),
    };
    Ok(super::holder_of(files, id, |document| {
        document.get("id").and_then(Value::as_str)
    }))
}

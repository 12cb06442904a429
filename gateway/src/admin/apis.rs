//! `/tyk/apis`: the definitions, and their files.
//!
//! What is written here counts from the next reload on.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};
use tracing::info;

use super::Control;
use super::answer::{self, LARGE, Outcome, Refusal, error, refuse};
use super::extract::Path;
use super::surface::{About, Surface};
use crate::api::{self, Api};
use crate::definition::oas;
use crate::files;
use crate::session::key;

const ONE: &str = "/tyk/apis/{id}";

pub(super) const NOT_FOUND: &str = "API not found";

/// Why a definition is not taken, of either form.
pub(super) const NOT_TAKEN: &[(u16, &str)] = &[
    (
        400,
        "It is no definition that can be loaded, or has another id.",
    ),
    (404, "There is none."),
    (413, "The body is too large."),
    (500, "It cannot be written."),
];

pub(super) fn routes() -> Surface {
    let about = |summary, answer| About {
        summary,
        answer,
        failures: &[(404, "There is none.")],
        ..About::default()
    };
    let taking = |summary| About {
        body: Some("Api"),
        failures: NOT_TAKEN,
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
pub(super) fn as_json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn add(State(control): State<Control>, body: Body) -> Outcome {
    let text = answer::text(body, LARGE).await?;
    add_as(&control, Form::Classic, text).await
}

async fn replace(State(control): State<Control>, Path(id): Path<String>, body: Body) -> Outcome {
    let text = answer::text(body, LARGE).await?;
    replace_as(&control, Form::Classic, id, text).await
}

async fn remove(State(control): State<Control>, Path(id): Path<String>) -> Outcome {
    remove_as(&control, Form::Classic, id).await
}

/// Writes the file of a definition.
pub(super) async fn add_as(control: &Control, form: Form, text: String) -> Outcome {
    form.expect(&text)?;
    let text = form.with_id(text);
    let (id, warnings) = check(control, &text).await?;
    let folder = control.config.app_path.clone();
    let written = id.clone();
    let work = move || {
        let file = file_of(&folder, &id)?.unwrap_or_else(|| folder.join(format!("{id}.json")));
        put(&file, &id, &text).map(Some)
    };
    write(control, work).await?;
    Ok(answer::done_with(&written, "added", None, warnings))
}

/// Writes the file of a definition that is there.
pub(super) async fn replace_as(control: &Control, form: Form, id: String, text: String) -> Outcome {
    let loaded = control.reloader.table().load().apis.get(&id).cloned();
    let folder = control.config.app_path.clone();
    let (of, within) = (id.clone(), folder.clone());
    let found = control.with_files(move || file_of(&within, &of)).await;
    let found = found.map_err(|failure| cannot_write(&failure))?;
    if loaded.is_none() && found.is_none() {
        return Err(error(StatusCode::NOT_FOUND, NOT_FOUND));
    }
    if let Some(api) = loaded {
        form.expect_of(&api)?;
    }
    form.expect(&text)?;
    let (named, warnings) = check(control, &text).await?;
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
    write(control, work).await?;
    Ok(answer::done_with(&id, "modified", None, warnings))
}

/// Deletes the file of a definition.
pub(super) async fn remove_as(control: &Control, form: Form, id: String) -> Outcome {
    if let (Form::Oas, Some(api)) = (form, control.reloader.table().load().apis.get(&id)) {
        form.expect_of(api)?;
    }
    let folder = control.config.app_path.clone();
    let of = id.clone();
    let work = move || match file_of(&folder, &of)? {
        Some(file) => files::remove(&file).map(Some),
        None => Ok(None),
    };
    match write(control, work).await? {
        Some(()) => Ok(answer::done(&id, "deleted")),
        None => Err(error(StatusCode::NOT_FOUND, NOT_FOUND)),
    }
}

/// In which form a route takes definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Classic,
    Oas,
}

impl Form {
    /// A text of the other form is refused.
    fn expect(self, text: &str) -> Result<(), Refusal> {
        let message = match (self, oas::is_oas(text)) {
            (Self::Classic, true) => {
                "the supplied API definition is in OAS format, please use the Tyk classic format \
                 for this API"
            }
            (Self::Oas, false) if serde_json::from_str::<Map<String, Value>>(text).is_ok() => {
                "the supplied API definition is in Tyk classic format, please use OAS format for \
                 this API"
            }
            // What is wrong is said where it is read.
            _ => return Ok(()),
        };
        Err(error(StatusCode::BAD_REQUEST, message))
    }

    /// So is an API of the other form.
    fn expect_of(self, api: &Api) -> Result<(), Refusal> {
        let message = match (self, api.oas.is_some()) {
            (Self::Classic, true) => {
                "this API endpoint only supports Tyk Classic APIs; please use the appropriate Tyk \
                 OAS API endpoint"
            }
            (Self::Oas, false) => {
                "the requested API definition is in Tyk classic format, please use old api \
                 endpoint"
            }
            _ => return Ok(()),
        };
        Err(error(StatusCode::BAD_REQUEST, message))
    }

    /// A definition without an id gets one.
    fn with_id(self, text: String) -> String {
        let Ok(Value::Object(mut document)) = serde_json::from_str(&text) else {
            // What is wrong is said where it is read.
            return text;
        };
        let known = match self {
            Self::Classic => document.get("api_id").and_then(Value::as_str),
            Self::Oas => oas::id_of(&document),
        };
        if known.is_some_and(|id| !id.is_empty()) {
            return text;
        }
        let id = Value::from(key::new_name());
        match self {
            Self::Classic => drop(document.insert("api_id".into(), id)),
            Self::Oas => {
                let extension = document.get_mut(oas::EXTENSION);
                let info = extension.and_then(|extension| extension.get_mut("info"));
                if let Some(Value::Object(info)) = info {
                    info.insert("id".into(), id);
                }
            }
        }
        format!("{:#}", Value::Object(document))
    }
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
    Ok(super::holder_of(files, id, |document| {
        let classic = document.get("api_id").and_then(Value::as_str);
        classic.or_else(|| oas::id_of(document))
    }))
}

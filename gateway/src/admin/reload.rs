//! `/tyk/reload`: of this gateway, or of all that share its storage.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::Control;
use super::answer::{Message, Outcome, error, failed};
use super::extract::Query;
use super::surface::{About, Surface};

const BLOCK: &[(&str, &str)] = &[("block", "`true`: answer when it is done.")];

pub(super) fn routes() -> Surface {
    let own = About {
        summary: "Reads definitions, policies and plugins again",
        answer: "Message",
        query: BLOCK,
        failures: &[(500, "They cannot be read; what was loaded goes on serving.")],
        ..About::default()
    };
    let group = About {
        summary: "The same for all gateways that share the storage",
        failures: &[
            (500, "They cannot be read."),
            (503, "The storage is away, so the others are not told."),
        ],
        ..own
    };
    Surface::default()
        .on(Method::GET, "/tyk/reload", &own, reload)
        .hidden(Method::GET, "/tyk/reload/", reload)
        .on(Method::GET, "/tyk/reload/group", &group, reload_group)
        .hidden(Method::GET, "/tyk/reload/group/", reload_group)
}

#[derive(Deserialize)]
struct Options {
    block: Option<String>,
}

async fn reload(State(control): State<Control>, Query(options): Query<Options>) -> Outcome {
    here(&control, &options).await
}

/// Everybody hears of it, this gateway too; two reloads that wait are one.
async fn reload_group(State(control): State<Control>, Query(options): Query<Options>) -> Outcome {
    let told = control.store.tell_reload().await;
    told.map_err(|failure| failed(&failure.into()))?;
    here(&control, &options).await
}

async fn here(control: &Control, options: &Options) -> Outcome {
    let reloading = tokio::spawn(Arc::clone(&control.reloader).reload());
    if options.block.as_deref() == Some("true") && !matches!(reloading.await, Ok(Ok(()))) {
        return Err(error(StatusCode::INTERNAL_SERVER_ERROR, "Reload failed"));
    }
    Ok(ok())
}

fn ok() -> Response {
    axum::Json(Message {
        status: "ok",
        message: "",
        detail: "",
    })
    .into_response()
}

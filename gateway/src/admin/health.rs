//! Probes: is the process alive, and does it serve what it was asked to.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Control;

/// `GET /hello`: always 200 while the process lives.
pub(super) async fn hello(State(control): State<Control>) -> Response {
    let healthy = control.reloader.table().load().is_healthy();
    let status = if healthy { "pass" } else { "warn" };
    axum::Json(json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Coprocess Gateway",
        "details": {},
    }))
    .into_response()
}

/// `GET /ready`: 503 with the reasons while an API is missing or refuses its requests.
pub(super) async fn ready(State(control): State<Control>) -> Response {
    let table = control.reloader.table().load();
    if table.is_healthy() {
        return axum::Json(json!({"status": "pass"})).into_response();
    }
    let mut reasons = table.problems.clone();
    for api in table.apis.values() {
        reasons.extend(
            api.refused
                .iter()
                .map(|reason| format!("API `{}`: {reason}", api.id)),
        );
        for hook in &api.hooks {
            if let Some(problem) = &hook.problem {
                reasons.push(format!(
                    "API `{}`: {} `{}`: {problem}",
                    api.id, hook.hook, hook.name
                ));
            }
        }
    }
    let body = axum::Json(json!({"status": "fail", "reasons": reasons}));
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

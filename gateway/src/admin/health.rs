//! Probes: is the process alive, and does it serve what it was asked to.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Control;
use crate::telemetry;

/// `GET /hello`: always 200 while the process lives.
pub(super) async fn hello(State(control): State<Control>) -> Response {
    let table = control.reloader.table().load();
    let all_well = table.is_healthy() && table.warnings().is_empty();
    let stored = control.store.health();
    let status = match (&stored, all_well) {
        (Err(_), _) => "fail",
        (Ok(()), false) => "warn",
        (Ok(()), true) => "pass",
    };
    axum::Json(json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "description": "Coprocess Gateway",
        "details": {control.store.name(): {
            "status": if stored.is_ok() { "pass" } else { "fail" },
            "componentType": "datastore",
            "time": telemetry::log::timestamp(),
        }},
    }))
    .into_response()
}

/// `GET /ready`: 503 with the reasons while the store is away, or an API is missing or
/// refuses its requests. What serves, but not as it should, is a warning: it must not take
/// the gateway out of rotation.
pub(super) async fn ready(State(control): State<Control>) -> Response {
    let table = control.reloader.table().load();
    let stored = control.store.health();
    let warnings = table.warnings();
    if table.is_healthy() && stored.is_ok() {
        let body = match warnings.as_slice() {
            [] => json!({"status": "pass"}),
            warnings => json!({"status": "warn", "warnings": warnings}),
        };
        return axum::Json(body).into_response();
    }
    let mut reasons = table.problems.clone();
    reasons.extend(table.policies.problems.iter().cloned());
    reasons.extend(stored.err().map(|error| error.to_string()));
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
    let body = axum::Json(json!({"status": "fail", "reasons": reasons, "warnings": warnings}));
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

//! The control plane: probes for everybody, the admin API for who has the secret.
//!
//! It runs on its own runtime. A request for it that comes in on the data plane is handed
//! over, so that neither waits for the other.

mod extract;
mod health;
mod keys;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use serde::{Deserialize, Serialize};
use serde_json::json;
use subtle::ConstantTimeEq;

use self::extract::{Path, Query};
use crate::api::reload::Reloader;
use crate::cache::Responses;
use crate::config::Config;
use crate::session::Sessions;
use crate::storage::Store;

/// What the handlers work on.
#[derive(Clone)]
pub struct Control {
    /// The process configuration.
    pub config: Arc<Config>,
    /// The APIs.
    pub reloader: Arc<Reloader>,
    /// The sessions of keys.
    pub sessions: Arc<Sessions>,
    /// What is kept.
    pub store: Arc<dyn Store>,
    /// The responses that are kept.
    pub responses: Responses,
}

/// All routes of the control plane.
pub fn router(control: Control) -> Router {
    let hello = format!("/{}", control.config.health_check_endpoint_name);
    let ready = format!("/{}", control.config.readiness_check_endpoint_name);
    Router::new()
        .route("/tyk/reload", get(reload))
        .route("/tyk/reload/", get(reload))
        .route("/tyk/apis/{id}/plugins", get(plugins))
        .route("/tyk/cache/{id}", delete(forget_responses))
        .route("/tyk/cache/{id}/", delete(forget_responses))
        .merge(keys::routes())
        .fallback(async || error(StatusCode::NOT_FOUND, "Not found"))
        .method_not_allowed_fallback(async || {
            error(StatusCode::METHOD_NOT_ALLOWED, "Method not supported")
        })
        .layer(from_fn_with_state(control.clone(), authorize))
        // Routes behind the layer need no secret.
        .route(&hello, get(health::hello))
        .route(&ready, get(health::ready))
        .with_state(control)
}

/// Whether a path belongs to the control plane.
pub fn owns_path(config: &Config, path: &str) -> bool {
    let probe = |name: &str| path.strip_prefix('/') == Some(name);
    let admin_here = config.control_api_port == 0;
    (admin_here
        && path
            .strip_prefix("/tyk")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        || probe(&config.health_check_endpoint_name)
        || probe(&config.readiness_check_endpoint_name)
}

/// Forgets the responses that this process keeps of an API.
async fn forget_responses(State(control): State<Control>, Path(id): Path<String>) -> Response {
    control.responses.forget(&id);
    axum::Json(json!({"status": "ok", "message": "cache invalidated"})).into_response()
}

async fn authorize(State(control): State<Control>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get("x-tyk-authorization")
        .map_or(&b""[..], |v| v.as_bytes());
    let secret = control.config.secret.as_bytes();
    // Without a secret the admin API is off; an empty header must not open it.
    if secret.is_empty() || !bool::from(given.ct_eq(secret)) {
        return error(
            StatusCode::FORBIDDEN,
            "Attempted administrative access with invalid or missing key!",
        );
    }
    next.run(request).await
}

#[derive(Deserialize)]
struct ReloadOptions {
    block: Option<String>,
}

async fn reload(State(control): State<Control>, Query(options): Query<ReloadOptions>) -> Response {
    let reloader = Arc::clone(&control.reloader);
    let reloading = tokio::spawn(reloader.reload());
    if options.block.as_deref() == Some("true") && !matches!(reloading.await, Ok(Ok(()))) {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "Reload failed");
    }
    axum::Json(Message {
        status: "ok",
        message: "",
    })
    .into_response()
}

async fn plugins(State(control): State<Control>, Path(id): Path<String>) -> Response {
    let table = control.reloader.table().load();
    match table.apis.get(&id) {
        Some(api) => {
            let bundle = api.bundle.as_ref().map(|used| used.report());
            axum::Json(json!({
                "api_id": api.id,
                "refused": api.refused,
                "bundle": bundle,
                "hooks": api.hooks,
                "event_handlers": api.event_handlers,
            }))
            .into_response()
        }
        None => error(StatusCode::NOT_FOUND, "API not found"),
    }
}

/// What every call says that has nothing else to say. The order of keys is the contract's.
#[derive(Serialize)]
struct Message<'a> {
    status: &'static str,
    message: &'a str,
}

fn error(status: StatusCode, message: &str) -> Response {
    let said = Message {
        status: "error",
        message,
    };
    (status, axum::Json(said)).into_response()
}

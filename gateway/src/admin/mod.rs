//! The control plane: probes for everybody, the admin API for who has the secret.
//!
//! It runs on its own runtime. A request for it that comes in on the data plane is handed
//! over, so that neither waits for the other.

mod answer;
mod apis;
mod cache;
mod certificates;
mod counters;
mod extract;
mod health;
mod keys;
mod oas;
mod order;
mod orgs;
mod policies;
mod reload;
mod schemas;
mod surface;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;

use self::answer::error;
use self::extract::Path;
use self::surface::{About, Surface};
use crate::api::reload::Reloader;
use crate::cache::Responses;
use crate::certificates::Certificates;
use crate::config::Config;
use crate::events::Events;
use crate::limits::Limits;
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
    /// The counters of rates and quotas.
    pub limits: Arc<Limits>,
    /// What is kept.
    pub store: Arc<dyn Store>,
    /// The certificate store.
    pub certificates: Arc<Certificates>,
    /// Where events go.
    pub events: Events,
    /// Held by who changes files of definitions and policies.
    pub files: Arc<Mutex<()>>,
    /// The responses that are kept.
    pub responses: Responses,
}

impl Control {
    /// Works with the files of definitions and policies, one call at a time. The work goes
    /// on, and keeps others waiting, when whoever asked for it has gone.
    async fn with_files<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let held = Arc::clone(&self.files).lock_owned().await;
        let working = tokio::task::spawn_blocking(move || {
            let _held = held;
            work()
        });
        working
            .await
            .unwrap_or_else(|failure| Err(io::Error::other(failure)))
    }
}

/// All routes of the control plane.
pub fn router(control: Control) -> Router {
    let (open, described) = probes(&control.config).into_open_router();
    Surface::default()
        .merge(reload::routes())
        .merge(cache::routes())
        .merge(certificates::routes())
        .merge(counters::routes())
        .merge(apis::routes())
        .merge(oas::routes())
        .merge(inspection())
        .merge(keys::routes())
        .merge(orgs::routes())
        .merge(policies::routes())
        .describing(described)
        .into_router(&schemas::all())
        .layer(from_fn_with_state(control.clone(), authorize))
        // Routes behind the layer need no secret.
        .merge(open)
        .with_state(control)
}

fn probes(config: &Config) -> Surface {
    let hello = format!("/{}", config.health_check_endpoint_name);
    let ready = format!("/{}", config.readiness_check_endpoint_name);
    let about = |summary| About {
        summary,
        answer: "Object",
        is_open: true,
        ..About::default()
    };
    let readiness = About {
        failures: &[(503, "Something is missing; the reasons are listed.")],
        ..about("Whether the gateway serves what it was asked to")
    };
    Surface::default()
        .on(
            Method::GET,
            &hello,
            &about("Whether the process lives"),
            health::hello,
        )
        .on(Method::GET, &ready, &readiness, health::ready)
}

fn inspection() -> Surface {
    let hooks = About {
        summary: "Hooks, event handlers and bundle of an API, and what is wrong with them",
        answer: "Object",
        failures: &[(404, "There is no such API.")],
        ..About::default()
    };
    Surface::default().on(Method::GET, "/tyk/apis/{id}/plugins", &hooks, plugins)
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
        )
        .into_response();
    }
    next.run(request).await
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
        None => error(StatusCode::NOT_FOUND, "API not found").into_response(),
    }
}

/// The file of several whose JSON has this id, which is found by a function. Files that cannot be read
/// are passed over: they have nothing.
fn holder_of(
    files: Vec<PathBuf>,
    id: &str,
    id_of: impl Fn(&Map<String, Value>) -> Option<&str>,
) -> Option<PathBuf> {
    let has_it = |file: &PathBuf| {
        let text = std::fs::read(file).unwrap_or_default();
        let document = serde_json::from_slice::<Map<String, Value>>(&text);
        document.is_ok_and(|document| id_of(&document) == Some(id))
    };
    files.into_iter().find(has_it)
}

#[cfg(test)]
mod tests {
    /// A route that the document does not have can only be made in `surface`.
    #[test]
    fn all_routes_are_made_where_they_are_described() {
        for (file, text) in [
            ("apis", include_str!("apis.rs")),
            ("certificates", include_str!("certificates.rs")),
            ("keys", include_str!("keys.rs")),
            ("oas", include_str!("oas.rs")),
            ("orgs", include_str!("orgs.rs")),
            ("policies", include_str!("policies.rs")),
            ("reload", include_str!("reload.rs")),
        ] {
            assert!(!text.contains(".route("), "{file}");
        }
        let own = include_str!("mod.rs");
        assert_eq!(own.matches(".route(").count(), 2, "only this test says it");
    }
}

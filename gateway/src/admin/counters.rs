//! `/tyk/health`: what became of an API's requests lately.

use axum::extract::{Query, State};
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Control;
use super::answer::{Outcome, error};
use super::surface::{About, Surface};
use crate::json::number;

/// Which API is asked about.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Which {
    api_id: String,
}

/// The answer, in the original's order.
#[derive(Serialize)]
struct Document {
    /// The original's spelling.
    #[serde(rename = "throttle_reqests_per_second")]
    throttled: Value,
    #[serde(rename = "quota_violations_per_second")]
    over_quota: Value,
    #[serde(rename = "key_failures_per_second")]
    key_failures: Value,
    #[serde(rename = "average_upstream_latency")]
    latency: Value,
    #[serde(rename = "average_requests_per_second")]
    answered: Value,
}

pub(super) fn routes() -> Surface {
    let about = About {
        summary: "What became of an API's requests lately",
        query: &[("api_id", "The API.")],
        answer: "Object",
        failures: &[
            (400, "Nothing is counted, or no API is named."),
            (404, "There is no such API."),
        ],
        ..About::default()
    };
    Surface::default()
        .on(Method::GET, "/tyk/health", &about, show)
        .hidden(Method::GET, "/tyk/health/", show)
}

async fn show(State(control): State<Control>, Query(which): Query<Which>) -> Outcome {
    let (bad, missing) = (StatusCode::BAD_REQUEST, StatusCode::NOT_FOUND);
    if !control.reloader.loader().tallies.is_on() {
        return Err(error(bad, "Health checks are not enabled for this node"));
    }
    if which.api_id.is_empty() {
        return Err(error(bad, "missing api_id parameter"));
    }
    let table = control.reloader.table().load();
    let api = table.apis.get(&which.api_id);
    let tally = api.and_then(|api| api.tally.as_ref());
    let Some(tally) = tally else {
        return Err(error(missing, "API ID not found"));
    };
    let summary = tally.summary();
    let document = Document {
        throttled: number(summary.throttled),
        over_quota: number(summary.over_quota),
        key_failures: number(summary.key_failures),
        latency: number(summary.latency),
        answered: number(summary.answered),
    };
    Ok(axum::Json(document).into_response())
}

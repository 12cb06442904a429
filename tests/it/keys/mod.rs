//! Keys, policies and the admin API that makes them.

mod apis;
mod document;
mod group;
mod making;
mod policies;
mod rates;
mod standing;
mod tokens;

use serde_json::Value;
use test_harness::gateway::SECRET;
use test_harness::{Definition, Gateway, Request, Response, Upstream};

/// Sends a request to the admin API.
#[track_caller]
fn admin(gateway: &Gateway, method: &str, path: &str, body: &str) -> Response {
    let request = Request::new(method, path).header("X-Tyk-Authorization", SECRET);
    gateway.send(&request.body(body))
}

/// Makes a key and returns it.
#[track_caller]
fn create(gateway: &Gateway, session: &Value) -> String {
    let response = admin(gateway, "POST", "/tyk/keys/create", &session.to_string());
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["key"].as_str().unwrap().to_owned()
}

/// The stored session of a key.
#[track_caller]
fn stored(gateway: &Gateway, key: &str) -> Value {
    let response = gateway.admin(&format!("/tyk/keys/{key}"));
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

/// Checks status and message of an error of the admin API, to the byte; and that the detail
/// has this part, or that there is none.
#[track_caller]
fn refused(response: &Response, status: u16, message: &str, detail: &str) {
    assert_eq!(response.status, status, "{response:?}");
    let quoted = serde_json::to_string(message).unwrap();
    let begins = format!(r#"{{"status":"error","message":{quoted}"#);
    let text = response.text();
    assert!(text.starts_with(&begins), "{text}");
    if detail.is_empty() {
        assert_eq!(text.len(), begins.len() + 1, "{text}");
    } else {
        let told = response.json()["detail"].as_str().unwrap().to_owned();
        assert!(told.contains(detail), "{told}");
    }
}

/// An API that asks for keys.
fn keyed(id: &str, upstream: &Upstream) -> Definition {
    Definition::new(id)
        .upstream(upstream)
        .set("/use_keyless", false)
}

/// A request with a key.
fn with_key(path: &str, key: &str) -> Request {
    Request::get(path).header("Authorization", key)
}

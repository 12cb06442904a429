//! Events that need no plugin: who is told of what, by which handler, with which words.

mod delivery;
mod settings;
mod templates;
mod tls;

use serde_json::{Value, json};
use test_harness::{Definition, Gateway, GatewayBuilder, Receiver, Request};

use crate::gateway;

/// An API that lets nobody in, so that each request with a key is an `AuthFailure`.
fn guarded(id: &str, handlers: &Value) -> Definition {
    Definition::new(id)
        .set("/use_keyless", false)
        .set("/event_handlers/events/AuthFailure", handlers.clone())
}

/// The entry of a web hook with these settings over the usual ones.
fn web_hook(url: &str, more: Value) -> Value {
    let mut meta = json!({"method": "POST", "target_path": url, "event_timeout": 0});
    if let (Value::Object(meta), Value::Object(more)) = (&mut meta, more) {
        meta.extend(more);
    }
    json!({"handler_name": "eh_web_hook_handler", "handler_meta": meta})
}

fn with_api(handlers: Value) -> GatewayBuilder {
    gateway().api(guarded("api", &Value::Array(vec![handlers])))
}

/// Knocks at the API's door with a key that nobody knows.
#[track_caller]
fn knock(gateway: &Gateway, path: &str) {
    let request = Request::get(path).header("Authorization", "Bearer no-such-key");
    assert_eq!(gateway.send(&request).status, 403);
}

#[test]
fn an_event_of_an_api_reaches_its_own_handlers_only() {
    let (own, system, other) = (Receiver::start(), Receiver::start(), Receiver::start());
    let hook = |receiver: &Receiver| web_hook(&receiver.url(), json!({}));
    let gateway = gateway()
        .conf(json!({"event_handlers": {"events": {"AuthFailure": [hook(&system)]}}}))
        .api(guarded("api", &json!([hook(&own)])))
        .api(guarded("other", &json!([hook(&other)])))
        .start();
    knock(&gateway, "/api/some/path?q=1");
    let (received, body) = own.wait_for_message("Auth Failure");
    assert_eq!(received.method, "POST");
    assert_eq!(received.header("User-Agent"), Some("Tyk-Hookshot"));
    assert_eq!(received.header("Content-Type"), Some("application/json"));
    assert_eq!(body["event"], "AuthFailure");
    assert_eq!(body["path"], "/api/some/path");
    assert_eq!(body["origin"], "127.0.0.1");
    assert_eq!(body["key"], "no-such-key", "{body}");
    let order: Vec<_> = [
        "\"event\"",
        "\"message\"",
        "\"path\"",
        "\"origin\"",
        "\"key\"",
    ]
    .map(|key| find(&received.body, key))
    .into();
    assert!(order.is_sorted(), "{received:?}");
    // Whatever else was sent has arrived by then.
    knock(&gateway, "/other/");
    other.wait_for_message("Auth Failure");
    assert_eq!(system.received().len(), 0, "{:?}", system.received());
    assert_eq!(own.received().len(), 1, "{:?}", own.received());
}

fn find(body: &[u8], part: &str) -> usize {
    let found = body.windows(part.len()).position(|w| w == part.as_bytes());
    found.unwrap_or_else(|| panic!("{part} is missing in {}", body.escape_ascii()))
}

#[test]
fn a_log_handler_writes_one_line_with_key_origin_and_path() {
    let log = json!({"handler_name": "eh_log_handler", "handler_meta": {"prefix": "the-prefix"}});
    let gateway = with_api(log).start();
    knock(&gateway, "/api/pa%20th");
    let line = gateway.wait_for_log("the-prefix:AuthFailure");
    assert!(line.contains("WARN"), "{line}");
    assert!(
        line.contains(":no-such-key:127.0.0.1:/api/pa%20th"),
        "{line}"
    );
    assert!(line.contains("api=\"api\""), "{line}");
}

#[test]
fn a_request_without_a_key_is_no_event() {
    let receiver = Receiver::start();
    let gateway = with_api(web_hook(&receiver.url(), json!({}))).start();
    assert_eq!(gateway.get("/api/").status, 401);
    knock(&gateway, "/api/with-a-key");
    receiver.wait_for_message("Auth Failure");
    assert_eq!(receiver.received().len(), 1);
}

#[test]
fn handlers_of_a_reloaded_definition_take_over() {
    let (old, new) = (Receiver::start(), Receiver::start());
    let gateway = with_api(web_hook(&old.url(), json!({}))).start();
    knock(&gateway, "/api/old");
    old.wait_for_message("Auth Failure");
    gateway.write_api(&guarded("api", &json!([web_hook(&new.url(), json!({}))])));
    gateway.reload();
    knock(&gateway, "/api/new");
    new.wait_for_message("Auth Failure");
    assert_eq!(old.received().len(), 1);
    gateway.write_api(&guarded("api", &json!([])));
    gateway.reload();
    knock(&gateway, "/api/none");
    assert_eq!(new.received().len(), 1);
}

#[test]
fn several_handlers_of_one_event_are_all_told() {
    let receivers = [Receiver::start(), Receiver::start()];
    let hooks: Vec<_> = receivers
        .iter()
        .map(|receiver| web_hook(&receiver.url(), json!({})))
        .collect();
    let gateway = gateway().api(guarded("api", &Value::from(hooks))).start();
    knock(&gateway, "/api/");
    for receiver in &receivers {
        receiver.wait_for_message("Auth Failure");
    }
}

//! Handlers that cannot be made: each says why, and nothing else suffers.

use serde_json::{Value, json};
use test_harness::Definition;

use super::{guarded, knock, with_api};
use crate::gateway;

/// Handler names and settings, and what is said about them.
fn bad_handlers() -> Vec<(Value, &'static str)> {
    vec![
        (
            json!({"handler_name": "nobody"}),
            "Handler not found: `nobody`",
        ),
        (json!({}), "Handler not found: ``"),
        (
            json!({"handler_name": "eh_dynamic_handler", "handler_meta": {"name": "x", "path": "y.js"}}),
            "JavaScript, which is not supported",
        ),
        (
            json!({"handler_name": "eh_log_handler", "handler_meta": {"prefix": 3}}),
            "handler_meta.prefix: invalid type: integer `3`, expected a string",
        ),
        (
            json!({"handler_name": "cp_dynamic_handler", "handler_meta": {}}),
            "handler_meta.name: names no function",
        ),
        (
            json!({"handler_name": "cp_dynamic_handler", "handler_meta": {"name": "f"}}),
            "no plugin driver is available",
        ),
    ]
}

/// The same for web hooks.
fn bad_web_hooks() -> Vec<(Value, &'static str)> {
    let hook = |meta| json!({"handler_name": "eh_web_hook_handler", "handler_meta": meta});
    let url = "http://127.0.0.1:1/";
    vec![
        (hook(json!({})), "handler_meta.target_path: `` is empty"),
        (
            hook(json!({"target_path": "not a url"})),
            "`not a url` is not a URL",
        ),
        (
            hook(json!({"target_path": "ftp://host/"})),
            "`ftp://host/` is not an http or https URL",
        ),
        (
            hook(json!({"target_path": "/relative"})),
            "is not an http or https URL",
        ),
        (
            hook(json!({"target_path": "http://user:word@host/"})),
            "credentials; put them into header_map",
        ),
        (
            hook(json!({"target_path": url, "method": "FETCH"})),
            "handler_meta.method: `FETCH` is not one of GET, POST, PUT, PATCH, DELETE",
        ),
        (
            hook(json!({"target_path": url, "event_timeout": -1})),
            "handler_meta.event_timeout: invalid value: integer `-1`",
        ),
        (
            hook(json!({"target_path": url, "event_timeout": "60"})),
            "handler_meta.event_timeout: invalid type: string \"60\"",
        ),
        (
            hook(json!({"target_path": url, "header_map": {"a b": "c"}})),
            "handler_meta.header_map: `a b` is not a header name",
        ),
        (
            hook(json!({"target_path": url, "header_map": {"X-A": "a\nb"}})),
            "`X-A` has a value with a control character",
        ),
        (
            hook(json!({"target_path": url, "header_map": {"X-A": 1}})),
            "handler_meta.header_map.X-A: invalid type: integer `1`",
        ),
        (
            hook(json!({"target_path": url, "header_map": {"Content-Length": "1"}})),
            "`Content-Length` is the gateway's own to set",
        ),
        (
            hook(json!({"target_path": url, "template_path": "templates/missing.json"})),
            "handler_meta.template_path: `templates/missing.json` No such file or directory",
        ),
    ]
}

#[test]
fn a_handler_that_cannot_be_made_says_why_and_its_api_serves() {
    let cases = [bad_handlers(), bad_web_hooks()].concat();
    let entries: Vec<_> = cases.iter().map(|(entry, _)| entry.clone()).collect();
    let gateway = gateway().api(guarded("api", &Value::from(entries))).start();
    let listed = gateway.admin("/tyk/apis/api/plugins").json();
    for (place, (entry, said)) in cases.iter().enumerate() {
        let report = &listed["event_handlers"][place];
        let problem = report["problem"].as_str().unwrap_or_default();
        assert!(problem.contains(said), "{entry}: {report}");
        assert_eq!(report["event"], "AuthFailure");
        let in_log = format!("reason={problem:?}");
        gateway.wait_for_log_with(&["ERROR", "Event handler is not made", "api=\"api\"", &in_log]);
    }
    assert_eq!(gateway.get("/ready").status, 200, "the API serves");
    knock(&gateway, "/api/");
}

#[test]
fn system_events_have_no_plugins() {
    let entry = json!({"handler_name": "cp_dynamic_handler", "handler_meta": {"name": "f"}});
    let gateway = gateway()
        .conf(json!({"event_handlers": {"events": {"x": [entry]}}}))
        .start();
    gateway.wait_for_log_with(&[
        "ERROR",
        "Handler not found",
        "cp_dynamic_handler needs an API",
    ]);
}

#[test]
fn keys_that_nothing_reads_are_named_and_disabled_handlers_are_left_out() {
    let entry =
        json!({"handler_name": "eh_log_handler", "handler_meta": {"prefix": "loud", "prefx": 1}});
    let quiet = json!({"handler_name": "eh_log_handler", "handler_meta": {"prefix": "quiet", "disabled": true}});
    let gateway = gateway()
        .api(guarded("api", &json!([entry, quiet])))
        .start();
    gateway.wait_for_log_with(&["WARN", "handler_meta.prefx", "no effect"]);
    knock(&gateway, "/api/");
    gateway.wait_for_log("loud:AuthFailure");
    assert!(!gateway.log().text().contains("quiet:AuthFailure"));
}

#[test]
fn a_check_fails_when_a_handler_cannot_be_made() {
    let nobody = json!({"handler_name": "nobody", "handler_meta": {}});
    let fine = json!({"handler_name": "eh_log_handler", "handler_meta": {}});
    let check = |handlers: Value, system: Value| {
        gateway()
            .conf(json!({"event_handlers": {"events": {"x": [system]}}}))
            .api(guarded("api", &json!([handlers])))
            .run(&["check", "--conf", "tyk.conf"])
            .status
            .success()
    };
    assert!(check(fine.clone(), fine.clone()));
    assert!(!check(nobody.clone(), fine.clone()));
    assert!(!check(fine, nobody));
}

#[test]
fn a_handler_for_what_no_api_fires_is_told() {
    let log = json!([{"handler_name": "eh_log_handler", "handler_meta": {}}]);
    let builder = |event: &str| {
        gateway()
            .conf(json!({"event_handlers": {"events": {"any_name": log}}}))
            .api(guarded("api", &log).set(&format!("/event_handlers/events/{event}"), log.clone()))
    };
    let check = |event: &str, more: &[&str]| {
        let arguments = [&["check", "--conf", "tyk.conf"], more].concat();
        builder(event).run(&arguments).status.success()
    };
    assert!(check("UpstreamOAuthError", &[]));
    assert!(!check("UpstreamOAuthError", &["--strict"]));
    assert!(check("KeyExpired", &["--strict"]));
    let gateway = builder("UpstreamOAuthError").start();
    let said = "Event handler is never called";
    gateway.wait_for_log_with(&["WARN", said, "api=\"api\"", "event=\"UpstreamOAuthError\""]);
    assert!(!gateway.log().text().contains("event=\"any_name\""));
    let listed = gateway.admin("/tyk/apis/api/plugins").json();
    let notes: Vec<_> = listed["event_handlers"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|report| report["note"].as_str())
        .collect();
    assert_eq!(notes.len(), 1, "{listed}");
    assert!(
        notes[0].contains("never fire `UpstreamOAuthError`"),
        "{listed}"
    );
}

#[test]
fn a_definition_with_handlers_of_the_wrong_shape_is_not_loaded() {
    let gateway = gateway()
        .api(Definition::new("wrong").set("/event_handlers/events/AuthFailure", "eh_log_handler"))
        .start();
    gateway.wait_for_log_with(&[
        "not loaded",
        "event_handlers.events.AuthFailure",
        "expected a sequence",
    ]);
    let fine = with_api(json!({"handler_name": "eh_log_handler"})).start();
    knock(&fine, "/api/");
    fine.wait_for_log(":AuthFailure:");
}

//! Which outcomes of hooks are events, and whose.

use serde_json::{Value, json};
use test_harness::{Definition, Gateway, Request, Upstream};

use super::Driver;
use crate::gateway;

/// Fires an event that everybody can tell from others.
const SENTINEL: &str = "system:HookFailure::127.0.0.1:/sentinel/";

/// Log handlers for the gateway's own events.
fn log_handlers(prefix: &str) -> Value {
    let handler = json!({"handler_name": "eh_log_handler", "handler_meta": {"prefix": prefix}});
    json!({"AuthFailure": [handler], "KeyExpired": [handler], "HookFailure": [handler]})
}

/// An API whose events, and the system's, are in the log.
fn start(driver: Driver, change: impl Fn(Definition) -> Definition) -> (Gateway, Upstream) {
    let upstream = Upstream::echo();
    let api = Definition::new("api")
        .driver(driver)
        .upstream(&upstream)
        .set("/event_handlers/events", log_handlers("own"));
    let gateway = gateway()
        .fixture("handlers", driver)
        .conf(json!({"event_handlers": {"events": log_handlers("system")}}))
        .conf(json!({"coprocess_options": {"hook_timeout_ms": 500, "lua_burst_ms": 500}}))
        .api(change(api))
        .api(Definition::new("sentinel").driver(driver).pre("NoSuchHook"))
        .start();
    (gateway, upstream)
}

/// Sends a request and compares all the events that it fires with what is expected.
#[track_caller]
fn check(gateway: &Gateway, request: &Request, expected: &[&str]) {
    let mark = gateway.log().mark();
    gateway.send(request);
    assert_eq!(gateway.get("/sentinel/").status, 500);
    // Events are told in their order.
    let last = gateway.log().find_after(mark, &[SENTINEL]);
    assert!(last.is_some(), "no sentinel");
    let log = gateway.log().text();
    let told: Vec<_> = log.lines().skip(mark).filter_map(told).collect();
    let told: Vec<_> = told
        .iter()
        .filter(|line| !line.starts_with(SENTINEL))
        .collect();
    assert_eq!(told, expected, "{request:?}");
}

/// What a log handler wrote: the line and the message.
fn told(line: &str) -> Option<String> {
    let start = line.find("own:").or_else(|| line.find("system:"))?;
    let (text, fields) = line[start..].split_once(' ')?;
    let message = fields.split_once("payload=\"")?.1.strip_suffix('"')?;
    Some(format!("{text} {message}"))
}

fn get() -> Request {
    Request::get("/api/p")
}

type Change = fn(Definition) -> Definition;

pub(crate) fn answers_from_400_are_auth_failures_whichever_hook_gives_them(driver: Driver) {
    let accepted = || get().header("X-Token", "tok");
    let hooks: [(Change, &str); 4] = [
        (|api| api.pre("Refuse"), ""),
        (|api| api.post("Refuse"), ""),
        (|api| api.auth_check("Check"), "tok"),
        (|api| api.auth_check("Check").post_key_auth("Refuse"), "tok"),
    ];
    for (hook, key) in hooks {
        let (gateway, _upstream) = start(driver, hook);
        let failure = format!("own:AuthFailure:{key}:127.0.0.1:/api/p Auth Failure");
        for (code, own, expected) in [
            ("400", "false", &[&*failure][..]),
            ("403", "false", &[&failure]),
            ("503", "false", &[&failure]),
            ("403", "true", &[]),
            ("399", "false", &[]),
            ("200", "false", &[]),
            ("-1", "false", &[]),
        ] {
            let request = accepted().header("X-Code", code).header("X-Own", own);
            check(&gateway, &request, expected);
        }
    }
}

pub(crate) fn a_response_hooks_override_is_no_event(driver: Driver) {
    let (gateway, _upstream) = start(driver, |api| api.response("RefuseResponse"));
    check(&gateway, &get().header("X-Code", "403"), &[]);
}

pub(crate) fn refused_callers_and_keys_are_events(driver: Driver) {
    let (gateway, _upstream) = start(driver, |api| api.auth_check("Check"));
    let with_key = || get().header("X-Token", "k-1");
    check(&gateway, &with_key(), &[]);
    check(
        &gateway,
        &get(),
        &["own:AuthFailure::127.0.0.1:/api/p Auth Failure"],
    );
    check(
        &gateway,
        &with_key().header("X-Expires", "1000"),
        &["own:KeyExpired:k-1:127.0.0.1:/api/p Attempted access from expired key."],
    );
    check(
        &gateway,
        &with_key().header("X-Inactive", "true"),
        &["own:KeyExpired:k-1:127.0.0.1:/api/p Attempted access from inactive key."],
    );
}

pub(crate) fn hooks_that_fail_are_events_of_both_levels(driver: Driver) {
    let failed = [
        "own:HookFailure::127.0.0.1:/api/p Hook failed.",
        "system:HookFailure::127.0.0.1:/api/p Hook failed.",
    ];
    let cannot_run = [
        "own:HookFailure::127.0.0.1:/api/p Hook cannot run.",
        "system:HookFailure::127.0.0.1:/api/p Hook cannot run.",
    ];
    let cases: [(Change, _); 6] = [
        (|api| api.pre("Fail"), failed),
        (|api| api.response("Fail"), failed),
        (|api| api.auth_check("Fail"), failed),
        (|api| api.pre("Spin"), failed),
        (|api| api.pre("Missing"), cannot_run),
        (|api| api.auth_check("Missing"), cannot_run),
    ];
    for (hook, expected) in cases {
        let (gateway, _upstream) = start(driver, hook);
        check(&gateway, &get(), &expected);
    }
}

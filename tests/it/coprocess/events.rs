//! What a plugin asks of the gateway: events, data, log lines.

use serde_json::json;
use test_harness::{Definition, Gateway, Receiver, Request, Upstream, wait};

use super::{Driver, start};
use crate::gateway;

/// A gateway whose API runs `function`, with both handlers for the event `noticed`.
fn start_with_handlers(driver: Driver, function: &str, receiver: &Receiver) -> (Gateway, Upstream) {
    let upstream = Upstream::echo();
    let api = Definition::new("api")
        .driver(driver)
        .upstream(&upstream)
        .pre(function);
    let gateway = gateway()
        .fixture("events", driver)
        .conf(receiver.handlers("noticed", "the-prefix"))
        .api(api)
        .start();
    (gateway, upstream)
}

fn trigger(event: &str, payload: &str) -> Request {
    Request::get("/api/")
        .header("X-Event", event)
        .header("X-Payload", payload)
}

pub(crate) fn an_event_reaches_the_log_and_a_web_hook(driver: Driver) {
    let receiver = Receiver::start();
    let (gateway, _upstream) = start_with_handlers(driver, "Trigger", &receiver);
    assert_eq!(gateway.send(&trigger("noticed", "it happened")).status, 200);
    let (hook, body) = receiver.wait_for_message("it happened");
    assert_eq!(
        (hook.method.as_str(), hook.target.as_str()),
        ("POST", "/hook")
    );
    assert_eq!(hook.header("User-Agent"), Some("Tyk-Hookshot"));
    assert_eq!(hook.header("X-Hook-Secret"), Some("from-the-header-map"));
    assert_eq!(body["event"], "noticed", "{body}");
    gateway.wait_for_log_with(&["WARN", "the-prefix:noticed", "it happened"]);
}

pub(crate) fn an_event_without_a_handler_is_no_error(driver: Driver) {
    let receiver = Receiver::start();
    let (gateway, _upstream) = start_with_handlers(driver, "Trigger", &receiver);
    assert_eq!(
        gateway.send(&trigger("unheard", "nobody listens")).status,
        200
    );
    assert_eq!(
        gateway.send(&trigger("noticed", "somebody listens")).status,
        200
    );
    receiver.wait_for_message("somebody listens");
    assert_eq!(receiver.received().len(), 1);
}

pub(crate) fn payloads_arrive_as_they_are(driver: Driver) {
    let receiver = Receiver::start();
    let (gateway, _upstream) = start_with_handlers(driver, "Trigger", &receiver);
    for payload in [
        "",
        "plain",
        "{\"json\": [1, \"two\"]}",
        "grüße 🌍",
        "a\\b\"c'd",
        "{{.Type}} %s",
    ] {
        assert_eq!(gateway.send(&trigger("noticed", payload)).status, 200);
        receiver.wait_for_message(payload);
    }
}

pub(crate) fn the_same_web_hook_is_sent_once_in_its_window(driver: Driver) {
    let receiver = Receiver::start();
    let upstream = Upstream::echo();
    let handler = json!({"handler_name": "eh_web_hook_handler", "handler_meta": {
        "method": "PUT", "target_path": receiver.url(), "event_timeout": 600
    }});
    let gateway = gateway()
        .fixture("events", driver)
        .conf(json!({"event_handlers": {"events": {"noticed": [handler]}}}))
        .api(
            Definition::new("api")
                .driver(driver)
                .upstream(&upstream)
                .pre("Trigger"),
        )
        .start();
    for payload in ["same", "same", "same", "different"] {
        assert_eq!(gateway.send(&trigger("noticed", payload)).status, 200);
    }
    receiver.wait_for_message("different");
    receiver.wait_for_message("same");
    gateway.wait_for_log("suppressed");
    let hooks = receiver.received();
    assert_eq!(hooks.len(), 2, "{hooks:#?}");
    assert!(hooks.iter().all(|hook| hook.method == "PUT"), "{hooks:#?}");
}

pub(crate) fn a_web_hook_that_nobody_takes_slows_nobody_down(driver: Driver) {
    let silent = Upstream::serving(|connection| while connection.next_request().is_some() {});
    let upstream = Upstream::echo();
    let handler = |url: String| {
        json!({"handler_name": "eh_web_hook_handler", "handler_meta": {
            "method": "POST", "target_path": url, "event_timeout": 0
        }})
    };
    let handlers = [handler(silent.url("/")), handler(Upstream::nobody())];
    let gateway = gateway()
        .fixture("events", driver)
        .conf(json!({"event_handlers": {"events": {"noticed": handlers}}}))
        .api(
            Definition::new("api")
                .driver(driver)
                .upstream(&upstream)
                .pre("Trigger"),
        )
        .start();
    let begun = std::time::Instant::now();
    for number in 0..200 {
        assert_eq!(
            gateway
                .send(&trigger("noticed", &number.to_string()))
                .status,
            200
        );
    }
    assert!(
        begun.elapsed() < wait::DEADLINE / 2,
        "{:?}",
        begun.elapsed()
    );
    gateway.wait_for_log_with(&["WARN", "noticed", "Web hook failed"]);
}

fn data(key: &str, value: &str, ttl: &str) -> Request {
    Request::get("/store/")
        .header("X-Key", key)
        .header("X-Value", value)
        .header("X-Ttl", ttl)
}

fn start_with_store(driver: Driver) -> (Gateway, Upstream) {
    let upstream = Upstream::echo();
    let api = |id: &str, function: &str| {
        Definition::new(id)
            .driver(driver)
            .upstream(&upstream)
            .pre(function)
    };
    let gateway = gateway()
        .fixture("events", driver)
        .api(api("store", "Store"))
        .api(api("fetch", "Fetch"))
        .start();
    (gateway, upstream)
}

fn fetch(gateway: &Gateway, upstream: &Upstream, key: &str) -> String {
    let _before = upstream.take();
    assert_eq!(
        gateway
            .send(&Request::get("/fetch/").header("X-Key", key))
            .status,
        200
    );
    upstream
        .take_one()
        .header("X-Found")
        .unwrap_or_default()
        .to_owned()
}

pub(crate) fn stored_data_is_there_for_later_requests(driver: Driver) {
    let (gateway, upstream) = start_with_store(driver);
    for (key, value) in [
        ("plain", "value"),
        ("empty ttl", "grüße"),
        ("plain", "replaced"),
    ] {
        assert_eq!(gateway.send(&data(key, value, "0")).status, 200);
        // Another connection may be served by another thread: data is the gateway's, not a
        // thread's.
        for _ in 0..4 {
            assert_eq!(fetch(&gateway, &upstream, key), value);
        }
    }
}

pub(crate) fn stored_data_expires(driver: Driver) {
    let (gateway, upstream) = start_with_store(driver);
    assert_eq!(gateway.send(&data("short", "value", "1")).status, 200);
    assert_eq!(gateway.send(&data("long", "value", "600")).status, 200);
    wait::until("the value expires", || {
        fetch(&gateway, &upstream, "short") == "nothing"
    });
    assert_eq!(fetch(&gateway, &upstream, "long"), "value");
}

pub(crate) fn what_was_never_stored_reads_as_nothing(driver: Driver) {
    let (gateway, upstream) = start_with_store(driver);
    assert_eq!(fetch(&gateway, &upstream, "never"), "nothing");
}

pub(crate) fn log_lines_have_the_level_that_was_asked_for(driver: Driver) {
    let setup = start(driver, "events", |api| api.pre("Log"));
    for (asked, shown) in [
        ("debug", "DEBUG"),
        ("info", "INFO"),
        ("warning", "WARN"),
        ("error", "ERROR"),
        ("shout", "INFO"),
    ] {
        assert_eq!(
            setup
                .gateway
                .send(&Request::get("/api/").header("X-Level", asked))
                .status,
            200
        );
        setup
            .gateway
            .wait_for_log_with(&[shown, &format!("said at {asked}"), driver]);
    }
}

//! Web hooks on their way: headers, suppression, receivers that are slow or gone.

use std::time::{Duration, Instant};

use serde_json::json;
use test_harness::{Receiver, Upstream, ports, wait};

use super::{knock, web_hook, with_api};

#[test]
fn the_header_map_and_the_method_are_the_operators() {
    for method in ["GET", "post", "PUT", "PATCH", "DELETE"] {
        let receiver = Receiver::start();
        let headers = json!({"X-One": "1", "content-type": "text/x-own", "User-Agent": "own"});
        let more = json!({"method": method, "header_map": headers});
        let gateway = with_api(web_hook(&receiver.url(), more)).start();
        knock(&gateway, "/api/");
        let received = receiver.wait_for("the web hook", |_| true);
        assert_eq!(received.method, method.to_uppercase());
        assert_eq!(received.header("X-One"), Some("1"));
        assert_eq!(received.header("Content-Type"), Some("text/x-own"));
        assert_eq!(received.header("User-Agent"), Some("own"));
    }
}

#[test]
fn a_target_keeps_its_path_and_query() {
    let receiver = Receiver::start();
    let url = format!("{}?token=a%20b", receiver.url());
    let gateway = with_api(web_hook(&url, json!({}))).start();
    knock(&gateway, "/api/");
    let received = receiver.wait_for("the web hook", |_| true);
    assert_eq!(received.target, "/hook?token=a%20b");
    let log = gateway.log().text();
    assert!(!log.contains("a%20b"), "targets hold secrets: {log}");
}

#[test]
fn the_same_body_is_sent_again_after_its_window() {
    let receiver = Receiver::start();
    let hook = web_hook(&receiver.url(), json!({"event_timeout": 2}));
    let gateway = with_api(hook).start();
    let began = Instant::now();
    wait::until("the same body is sent a second time", || {
        knock(&gateway, "/api/");
        receiver.received().len() > 1
    });
    assert!(
        began.elapsed() >= Duration::from_millis(1500),
        "{:?}",
        began.elapsed()
    );
    gateway.wait_for_log("suppressed");
}

#[test]
fn what_did_not_arrive_is_not_taken_for_sent() {
    let address = ports::refusing();
    let hook = web_hook(&format!("http://{address}/"), json!({"event_timeout": 600}));
    let gateway = with_api(hook).start();
    knock(&gateway, "/api/");
    let line = gateway.wait_for_log_with(&["WARN", "Web hook failed", "refused"]);
    assert!(line.contains(&address.to_string()), "{line}");
    let mark = gateway.log().mark();
    knock(&gateway, "/api/");
    assert!(
        gateway
            .log()
            .find_after(mark, &["Web hook failed"])
            .is_some()
    );
}

#[test]
fn a_receiver_that_refuses_is_told() {
    let receiver = Upstream::replying("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    let gateway = with_api(web_hook(&receiver.url("/"), json!({}))).start();
    knock(&gateway, "/api/");
    gateway.wait_for_log_with(&["WARN", "Web hook was refused", "status=503"]);
}

#[test]
fn what_was_refused_for_the_moment_is_sent_again_at_once() {
    for (status, tells_again) in [(503, true), (429, true), (408, true), (404, false)] {
        let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n");
        let receiver = Upstream::replying(&answer);
        let hook = web_hook(&receiver.url("/"), json!({"event_timeout": 600}));
        let gateway = with_api(hook).start();
        wait::until("the same is sent or suppressed", || {
            knock(&gateway, "/api/");
            let log = gateway.log().text();
            let refused = log.matches("Web hook was refused").count();
            match tells_again {
                true => refused > 1,
                false => refused > 0 && log.contains("Web hook suppressed"),
            }
        });
        assert_eq!(receiver.received().len() > 1, tells_again, "{status}");
    }
}

#[test]
fn a_receiver_that_never_answers_loses_events_and_holds_up_nobody() {
    let silent = Upstream::serving(|connection| while connection.next_request().is_some() {});
    let receiver = Receiver::start();
    let gateway = crate::gateway()
        .api(super::guarded(
            "api",
            &json!([
                web_hook(&silent.url("/"), json!({})),
                web_hook(&receiver.url(), json!({})),
            ]),
        ))
        .start();
    let mut connection = gateway.connect();
    let request = test_harness::Request::get("/api/").header("Authorization", "no-such-key");
    let dropped = || gateway.log().text().contains("Web hook is too slow");
    wait::until("events are dropped", || {
        assert_eq!(connection.request(&request).status, 403);
        dropped()
    });
    wait::until("the other one is told", || receiver.received().len() > 1000);
    let line = gateway.wait_for_log("Web hook is too slow");
    assert!(
        line.contains("dropped=1 ") || line.ends_with("dropped=1"),
        "{line}"
    );
}

#[test]
fn the_last_events_are_told_before_the_process_ends() {
    let receiver = Receiver::start();
    let gateway = with_api(web_hook(&receiver.url(), json!({}))).start();
    for _ in 0..100 {
        knock(&gateway, "/api/");
    }
    assert!(gateway.stop().success());
    assert_eq!(receiver.received().len(), 100);
}

#[test]
fn a_receiver_that_never_answers_does_not_keep_the_process() {
    let silent = Upstream::serving(|connection| while connection.next_request().is_some() {});
    let gateway = with_api(web_hook(&silent.url("/"), json!({}))).start();
    knock(&gateway, "/api/");
    silent.wait_for("the web hook", |_| true);
    let log = gateway.log().clone();
    assert!(gateway.stop().success());
    assert!(
        log.find_after(0, &["WARN", "Events are lost", "lost=1"])
            .is_some()
    );
}

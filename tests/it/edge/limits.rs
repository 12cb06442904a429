//! How much a head may be, and how long it may take. Bodies have no limit of their own.

use std::time::{Duration, Instant};

use serde_json::json;
use test_harness::message::error_body;
use test_harness::probe::Probe;
use test_harness::{Definition, Failure, Response, Upstream};

use super::{Edge, PROMPT, with_lines};
use crate::gateway;

/// Sends bytes that must be refused; the connection has to end too.
fn refusal(edge: &Edge, bytes: &[u8]) -> Response {
    let mut client = edge.gateway.connect();
    client.read_limit(PROMPT);
    client.send(bytes);
    let response = client.read_final("GET").unwrap();
    assert!(client.ends(), "the connection goes on");
    assert!(edge.settle().is_empty(), "the upstream has seen it");
    response
}

fn assert_has_our_error_body(response: &Response) {
    let message = response.json()["error"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert_eq!(response.text(), error_body(&message), "{response:?}");
    assert_eq!(
        response.header("Content-Type"),
        Some("application/json"),
        "{response:?}"
    );
}

#[test]
fn a_head_over_the_limit_is_431() {
    let edge = Edge::start();
    for (name, lines) in [
        (
            "one large field",
            format!("X-A: {}\r\n", "b".repeat(80_000)),
        ),
        (
            "one huge field",
            format!("X-A: {}\r\n", "b".repeat(2_000_000)),
        ),
        (
            "many fields",
            (0..800)
                .map(|n| format!("X-{n}: {}\r\n", "b".repeat(100)))
                .collect(),
        ),
        (
            "very many fields",
            (0..2_000).map(|n| format!("X-{n}: b\r\n")).collect(),
        ),
        ("a large name", format!("X-{}: a\r\n", "b".repeat(80_000))),
    ] {
        let response = refusal(&edge, &with_lines(&lines));
        assert_eq!(response.status, 431, "{name}: {response:?}");
        assert_has_our_error_body(&response);
    }
}

#[test]
fn a_head_that_never_ends_is_cut() {
    let edge = Edge::start();
    let mut bytes = b"GET / HTTP/1.1\r\nHost: a.example\r\nX-A: ".to_vec();
    bytes.resize(200_000, b'b');
    assert_eq!(refusal(&edge, &bytes).status, 431);
}

#[test]
fn a_target_over_the_limit_is_414() {
    let edge = Edge::start();
    for length in [66_000, 100_000] {
        let target = format!("/{}", "a".repeat(length));
        let response = refusal(&edge, &super::get(target.as_bytes()));
        assert_eq!(response.status, 414, "{length}: {response:?}");
        assert_has_our_error_body(&response);
    }
    // Beyond twice the limit of a head its first line is not read to the end, so that it is
    // not known which part of it is too long.
    let endless = format!("/{}", "a".repeat(2_000_000));
    let response = refusal(&edge, &super::get(endless.as_bytes()));
    assert!(matches!(response.status, 414 | 431), "{response:?}");
    assert_has_our_error_body(&response);
}

#[test]
fn heads_below_the_limits_pass() {
    let edge = Edge::start();
    for lines in [
        format!("X-A: {}\r\n", "b".repeat(30_000)),
        (0..80)
            .map(|n| format!("X-{n}: {}\r\n", "b".repeat(100)))
            .collect(),
    ] {
        let mut client = edge.gateway.connect();
        client.send(with_lines(&lines));
        assert_eq!(client.read_final("GET").unwrap().status, 200);
        assert!(edge.upstream.take_one().raw_head.len() > lines.len());
    }
    let mut client = edge.gateway.connect();
    client.send(super::get(format!("/{}", "a".repeat(8_000)).as_bytes()));
    assert_eq!(client.read_final("GET").unwrap().status, 200);
}

#[test]
fn malformed_requests_get_the_documented_error_body() {
    let edge = Edge::start();
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n".as_slice(),
        b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n",
        b"GET /a/../b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"nonsense\r\n\r\n",
    ] {
        let response = refusal(&edge, bytes);
        assert_eq!(response.status, 400);
        assert_has_our_error_body(&response);
    }
}

#[test]
fn a_head_that_takes_too_long_is_408() {
    let gateway = gateway()
        .conf(json!({"http_server_options": {"read_timeout": 1}}))
        .start();
    for started in [
        "GET",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nX-A: b",
    ] {
        let mut client = gateway.connect();
        let begun = Instant::now();
        client.send(started);
        let response = client.read_response("GET").unwrap();
        assert_eq!(response.status, 408, "{started:?}: {response:?}");
        assert_has_our_error_body(&response);
        assert!(client.ends(), "{started:?}");
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "{:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn dripping_a_head_does_not_stretch_its_time() {
    let gateway = gateway()
        .conf(json!({"http_server_options": {"read_timeout": 1}}))
        .start();
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\nX-A: ");
    client.read_limit(Duration::from_millis(100));
    let begun = Instant::now();
    let response = loop {
        match client.read_response("GET") {
            // Nothing yet: one more byte, and look again.
            Err(Failure::TimedOut(_)) => client.send("b"),
            other => break other,
        };
        assert!(
            begun.elapsed() < Duration::from_secs(8),
            "the head may drip for ever"
        );
    };
    assert_eq!(response.unwrap().status, 408);
}

#[test]
fn an_idle_kept_connection_is_closed_without_a_word() {
    let gateway = gateway()
        .conf(json!({"http_server_options": {"read_timeout": 1}}))
        .start();
    let mut client = gateway.connect();
    assert_eq!(
        client.request(&test_harness::Request::get("/hello")).status,
        200
    );
    let end = client.read_response("GET");
    assert!(
        matches!(end, Err(Failure::Closed | Failure::Reset)),
        "{end:?}"
    );
}

#[test]
fn many_slow_heads_are_all_ended_and_nobody_else_waits() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .conf(json!({"http_server_options": {"read_timeout": 1}}))
        .start();
    let probe = Probe::start(gateway.address(), "/a/");
    let mut slow: Vec<_> = (0..300).map(|_| gateway.connect()).collect();
    for client in &mut slow {
        client.send("GET /a/ HTTP/1.1\r\nHost: a.example\r\nX-A: ");
    }
    for client in &mut slow {
        assert_eq!(client.read_response("GET").unwrap().status, 408);
        assert!(client.ends());
    }
    probe.finish().assert_undisturbed(Duration::from_secs(1));
}

//! RFC 9110, section 7.6.1: fields that are for one hop only, in both directions.

use test_harness::{Definition, Request, Response, Upstream};

use super::{Case, Edge, check, passes, with_lines};
use crate::gateway;

#[test]
fn fields_for_one_hop_do_not_reach_the_upstream() {
    let mut cases = Vec::new();
    for (lines, lacks) in [
        ("Connection: X-Secret\r\nX-Secret: 1\r\n", "x-secret"),
        ("Connection: close, x-secret\r\nX-Secret: 1\r\n", "x-secret"),
        (
            "X-Secret: 1\r\nConnection: keep-alive\r\nConnection: X-SECRET\r\n",
            "x-secret",
        ),
        ("Connection: ,, x-secret ,\r\nX-Secret: 1\r\n", "x-secret"),
        (
            "Connection: X-Secret\r\nX-Secret: 1\r\nX-Secret: 2\r\n",
            "x-secret",
        ),
        ("Keep-Alive: timeout=5\r\n", "keep-alive"),
        (
            "Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n",
            "keep-alive",
        ),
        ("Proxy-Connection: keep-alive\r\n", "proxy-connection"),
        ("TE: gzip\r\n", "te: gzip"),
        ("Connection: TE\r\nTE: trailers, gzip\r\n", "gzip"),
        ("Upgrade: h2c\r\n", "upgrade"),
        ("Connection: Upgrade\r\nUpgrade: h2c\r\n", "upgrade"),
        (
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            "http2-settings",
        ),
        ("HTTP2-Settings: AAMAAABk\r\n", "http2-settings"),
        ("Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n", "upgrade"),
    ] {
        cases.extend([Case::new(lines, with_lines(lines), passes(&[], &[lacks]))]);
    }
    check(&cases);
}

#[test]
fn connection_cannot_take_away_what_carries_the_message() {
    let cases = [
        (
            "Connection: content-length\r\nContent-Length: 5\r\n",
            "hello",
            "content-length: 5\r\n",
        ),
        (
            "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
            "transfer-encoding: chunked\r\n",
        ),
        ("Connection: host\r\n", "", "host: a.example\r\n"),
    ]
    .map(|(lines, body, has)| {
        let lacks = ["\r\nconnection: content", "\r\nconnection: host"];
        Case::new(lines, super::post(lines, body), passes(&[has], &lacks))
    });
    check(&cases);
    let edge = Edge::start();
    let request = Request::post("/", "hello").header("Connection", "content-length");
    assert_eq!(edge.gateway.send(&request).status, 200);
    assert_eq!(edge.upstream.take_one().body, b"hello");
}

#[test]
fn connection_cannot_take_away_what_the_gateway_adds() {
    let lines = "Connection: x-forwarded-for, user-agent\r\nX-Forwarded-For: 6.6.6.6\r\n";
    check(&[Case::new(
        lines,
        with_lines(lines),
        passes(&["x-forwarded-for: ", "127.0.0.1\r\n"], &["6.6.6.6"]),
    )]);
}

fn answered(lines: &str) -> Response {
    let upstream = Upstream::replying(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{lines}\r\nok"
    ));
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    let response = gateway.get("/a/");
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "ok"),
        "{lines}"
    );
    response
}

#[test]
fn fields_for_one_hop_do_not_reach_the_client() {
    let lines = "Connection: X-Secret, x-other, keep-alive\r\nX-Secret: 1\r\nX-Other: 2\r\n\
                 Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nUpgrade: h2c\r\nX-Kept: 3\r\n\
                 TE: trailers\r\n";
    let response = answered(lines);
    for name in [
        "X-Secret",
        "X-Other",
        "Keep-Alive",
        "Proxy-Connection",
        "Upgrade",
        "TE",
    ] {
        assert_eq!(response.header(name), None, "{name}: {response:?}");
    }
    assert_eq!(response.header("X-Kept"), Some("3"));
    assert_ne!(
        response.header("Connection"),
        Some("X-Secret, x-other, keep-alive")
    );
}

#[test]
fn a_response_cannot_take_away_its_own_framing() {
    let response = answered("Connection: content-length\r\n");
    assert_eq!(response.header("Content-Length"), Some("2"));
}

#[test]
fn an_upstream_that_closes_does_not_close_the_client() {
    let upstream = Upstream::replying_once(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
    );
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    let mut client = gateway.connect();
    for _ in 0..3 {
        let response = client.request(&Request::get("/a/"));
        assert_eq!(
            (response.status, response.header("Connection")),
            (200, None)
        );
    }
}

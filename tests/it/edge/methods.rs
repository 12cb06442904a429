//! RFC 9110, section 9: methods that a gateway must not treat like the others.

use test_harness::Request;

use super::{Case, Edge, check, passes, refused};

fn line(line: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a.example\r\n\r\n").into_bytes()
}

#[test]
fn tunnels_and_traces_are_refused() {
    check(&[
        Case::new(
            "CONNECT host:port",
            line("CONNECT a.example:443 HTTP/1.1"),
            refused(&[405]),
        ),
        Case::new(
            "CONNECT path",
            line("CONNECT /path HTTP/1.1"),
            refused(&[400, 405]),
        ),
        Case::new(
            "CONNECT URL",
            line("CONNECT http://a.example/ HTTP/1.1"),
            refused(&[400, 405]),
        ),
        Case::new(
            "CONNECT *",
            line("CONNECT * HTTP/1.1"),
            refused(&[400, 405]),
        ),
        Case::new(
            "CONNECT without port",
            line("CONNECT a.example HTTP/1.1"),
            refused(&[400, 405]),
        ),
        Case::new("TRACE", line("TRACE / HTTP/1.1"), refused(&[405])),
        Case::new(
            "TRACE with no hops left",
            b"TRACE / HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 0\r\n\r\n",
            refused(&[405]),
        ),
    ]);
}

#[test]
fn a_405_says_what_is_allowed() {
    let edge = Edge::start();
    let response = edge.gateway.send(&Request::new("TRACE", "/"));
    assert_eq!(response.status, 405);
    assert!(response.header("Allow").is_some(), "{response:?}");
}

#[test]
fn a_method_longer_than_any_known_is_refused() {
    let mut cases = Vec::new();
    for length in [100, 5_000, 100_000] {
        let bytes = line(&format!("{} / HTTP/1.1", "M".repeat(length)));
        cases.extend([Case::new(
            &length.to_string(),
            bytes,
            refused(&[400, 405, 414, 431, 501]),
        )]);
    }
    check(&cases);
}

#[test]
fn a_method_that_nobody_knows_passes() {
    check(&[
        Case::new(
            "BREW",
            line("BREW / HTTP/1.1"),
            passes(&["BREW / HTTP/1.1\r\n"], &[]),
        ),
        Case::new(
            "get",
            line("get / HTTP/1.1"),
            passes(&["get / HTTP/1.1\r\n"], &[]),
        ),
        Case::new(
            "X!#$",
            line("X!#$%&'*+-.^_`|~ / HTTP/1.1"),
            passes(&["X!#$%&'*+-.^_`|~ /"], &[]),
        ),
    ]);
}

#[test]
fn max_forwards_counts_the_hops_of_options() {
    let options = |hops: &str| {
        format!("OPTIONS /x HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: {hops}\r\n\r\n")
    };
    check(&[
        Case::new(
            "5",
            options("5"),
            passes(&["max-forwards: 4\r\n"], &["max-forwards: 5"]),
        ),
        Case::new("1", options("1"), passes(&["max-forwards: 0\r\n"], &[])),
        Case::new("junk", options("-1"), refused(&[400])),
    ]);
}

#[test]
fn options_without_hops_left_are_answered_here() {
    let edge = Edge::start();
    for (target, hops) in [("/x", "0"), ("*", "0"), ("*", "3")] {
        let request = Request::new("OPTIONS", target).header("Max-Forwards", hops);
        let response = edge.gateway.send(&request);
        assert!(
            matches!(response.status, 200 | 204),
            "{target} {hops}: {response:?}"
        );
        let seen = edge.settle();
        assert!(seen.is_empty(), "{target} {hops}: {seen:?}");
    }
}

#[test]
fn max_forwards_of_other_methods_passes() {
    let get = b"GET / HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 0\r\n\r\n";
    check(&[Case::new("GET", get, passes(&["max-forwards: 0\r\n"], &[]))]);
}

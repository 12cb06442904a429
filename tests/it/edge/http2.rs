//! HTTP/2 towards the client (RFC 9113), HTTP/1 towards the upstream: nothing may be smuggled in
//! the translation.

use test_harness::http2::{END_HEADERS, Http2, Outcome, block};
use test_harness::{Received, Request, wait};

use super::Edge;

const PROTOCOL_ERROR: u32 = 1;

fn fields<'a>(path: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let pseudo = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a.example"),
        (":path", path),
    ];
    [&pseudo, more].concat()
}

fn send(edge: &Edge, fields: &[(&str, &str)]) -> (Outcome, Vec<Received>) {
    let mut client = Http2::connect(edge.gateway.address());
    client.headers(1, fields, true);
    (client.outcome(1), edge.settle())
}

fn passed(edge: &Edge, fields: &[(&str, &str)]) -> Received {
    let (outcome, mut seen) = send(edge, fields);
    assert_eq!(outcome, Outcome::Status(200), "{fields:?}");
    assert_eq!(seen.len(), 1, "{fields:?}: {seen:?}");
    let seen = seen.remove(0);
    assert!(seen.complete && seen.problems.is_empty(), "{seen:?}");
    seen
}

#[test]
fn a_request_becomes_http_1_1() {
    let edge = Edge::start();
    let seen = passed(&edge, &fields("/x?y=z", &[("x-a", "b")]));
    assert!(
        seen.raw_head.starts_with(b"GET /x?y=z HTTP/1.1\r\n"),
        "{seen:?}"
    );
    assert_eq!(seen.header("Host"), Some("a.example"));
    assert_eq!(seen.header("X-A"), Some("b"));
    assert_eq!(seen.header("Transfer-Encoding"), None);
    assert!(
        !seen.headers.iter().any(|(name, _)| name.starts_with(':')),
        "{seen:?}"
    );
}

#[test]
fn cookie_crumbs_are_joined() {
    let edge = Edge::start();
    let crumbs = [
        ("cookie", "a=1"),
        ("x-between", "x"),
        ("cookie", "b=2"),
        ("cookie", "c=3"),
    ];
    let seen = passed(&edge, &fields("/", &crumbs));
    assert_eq!(seen.header("Cookie"), Some("a=1; b=2; c=3"));
}

#[test]
fn the_authority_wins_over_a_host_field_or_they_must_agree() {
    let edge = Edge::start();
    let (outcome, seen) = send(&edge, &fields("/", &[("host", "b.example")]));
    match outcome {
        Outcome::Status(200) => assert_eq!(seen[0].header("Host"), Some("a.example")),
        refusal => {
            assert!(is_refusal(&refusal), "{refusal:?}");
            assert!(seen.is_empty(), "{seen:?}");
        }
    }
    let same = passed(&edge, &fields("/", &[("host", "a.example")]));
    assert_eq!(same.header("Host"), Some("a.example"));
}

#[test]
fn bodies_are_framed_once() {
    let edge = Edge::start();
    for length in [Some("10"), None] {
        let mut client = Http2::connect(edge.gateway.address());
        let mut head = fields("/", &[]);
        head[0].1 = "POST";
        head.extend(length.map(|length| ("content-length", length)));
        client.headers(1, &head, false);
        client.data(1, b"hello", false);
        client.data(1, b"world", true);
        assert_eq!(client.outcome(1), Outcome::Status(200), "{length:?}");
        let seen = edge.settle().remove(0);
        assert_eq!(seen.body, b"helloworld");
        assert!(seen.complete && seen.problems.is_empty(), "{seen:?}");
    }
}

#[test]
fn a_body_that_belies_its_length_never_completes() {
    let edge = Edge::start();
    for length in ["3", "20"] {
        let mut client = Http2::connect(edge.gateway.address());
        let mut head = fields("/", &[("content-length", length)]);
        head[0].1 = "POST";
        client.headers(1, &head, false);
        client.data(1, b"helloworld", true);
        let outcome = client.outcome(1);
        assert!(is_refusal(&outcome), "{length}: {outcome:?}");
        let seen = edge.settle();
        assert!(
            !seen.iter().any(|received| received.complete),
            "{length}: {seen:?}"
        );
    }
}

#[test]
fn trailers_pass_without_pseudo_fields() {
    let edge = Edge::start();
    for (trailer, good) in [
        (("x-sum", "42"), true),
        ((":path", "/evil"), false),
        ((":status", "200"), false),
    ] {
        let mut client = Http2::connect(edge.gateway.address());
        let mut head = fields("/", &[]);
        head[0].1 = "POST";
        client.headers(1, &head, false);
        client.data(1, b"hello", false);
        client.headers(1, &[trailer], true);
        let outcome = client.outcome(1);
        let seen = edge.settle();
        if good {
            assert_eq!(outcome, Outcome::Status(200));
            assert!(seen[0].complete && seen[0].problems.is_empty(), "{seen:?}");
        } else {
            // A refusal is the letter of RFC 9113, 8.1; to leave the field behind is as safe.
            assert!(
                is_refusal(&outcome) || outcome == Outcome::Status(200),
                "{trailer:?}: {outcome:?}"
            );
            let clean = seen
                .iter()
                .all(|received| received.trailers.is_empty() && received.problems.is_empty());
            assert!(clean, "{seen:?}");
        }
    }
}

fn is_refusal(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Status(400) | Outcome::Reset(PROTOCOL_ERROR) | Outcome::GoAway(_)
    )
}

/// Every one of `cases` must be refused without a trace at the upstream.
#[track_caller]
fn assert_refused(cases: &[Vec<(&str, &str)>]) {
    let edge = Edge::start();
    let mut failures = Vec::new();
    for case in cases {
        let (outcome, seen) = send(&edge, case);
        if !is_refusal(&outcome) || !seen.is_empty() {
            failures.push(format!("{case:?}: {outcome:?}, upstream {seen:?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn malformed_pseudo_fields_never_reach_the_upstream() {
    let without = |name: &str| {
        let mut all = fields("/", &[]);
        all.retain(|(key, _)| *key != name);
        all
    };
    assert_refused(&[
        without(":method"),
        without(":path"),
        fields("/", &[(":path", "/two")]),
        fields("/", &[(":method", "POST")]),
        fields("/", &[("x-a", "b"), (":authority", "late.example")]),
        fields("/", &[(":status", "200")]),
        fields("/", &[(":unknown", "x")]),
    ]);
}

#[test]
fn malformed_paths_never_reach_the_upstream() {
    let paths = [
        "",
        "x",
        "/a b",
        "/a\r\nX: y",
        "/\0",
        "/../x",
        "/%2e%2e/x",
        "/a%2fb",
        "/ö",
    ];
    assert_refused(&paths.map(|path| fields(path, &[])));
}

#[test]
fn malformed_fields_never_reach_the_upstream() {
    let malformed = [
        ("connection", "close"),
        ("connection", "x-a"),
        ("transfer-encoding", "chunked"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("X-Upper", "b"),
        ("x a", "b"),
        ("x-a:", "b"),
        ("x-a\r\nx-b", "c"),
        ("", "b"),
        ("x-a", "b\r\nx-smuggled: c"),
        ("x-a", "b\nc"),
        ("x-a", "b\0c"),
        ("content-length", "+5"),
        ("content-length", "x"),
    ];
    assert_refused(&malformed.map(|field| fields("/", &[field])));
}

#[test]
fn an_authority_that_is_no_host_is_refused() {
    let edge = Edge::start();
    for authority in ["", "a b", "user@a.example", "a/b", "a:bad", "a,b", "a#b"] {
        let mut head = fields("/", &[]);
        head[2].1 = authority;
        let (outcome, seen) = send(&edge, &head);
        assert!(
            is_refusal(&outcome) && seen.is_empty(),
            "{authority:?}: {outcome:?}, {seen:?}"
        );
    }
}

#[test]
fn errors_of_the_gateway_reach_an_http_2_client() {
    let gateway = crate::gateway().start();
    let mut client = Http2::connect(gateway.address());
    client.headers(1, &fields("/nothing", &[]), true);
    assert_eq!(client.outcome(1), Outcome::Status(404));
}

#[test]
fn streams_are_served_side_by_side() {
    let edge = Edge::start();
    let mut client = Http2::connect(edge.gateway.address());
    for stream in [1, 3, 5, 7] {
        client.headers(stream, &fields("/", &[]), true);
    }
    assert_eq!(client.outcome(7), Outcome::Status(200));
    assert_eq!(edge.settle().len(), 4);
}

/// Floods end their connection at most; the gateway goes on.
fn assert_survives(flood: impl FnOnce(&mut Http2)) -> Outcome {
    let edge = Edge::start();
    let mut client = Http2::connect(edge.gateway.address());
    flood(&mut client);
    assert_eq!(edge.gateway.send(&Request::get("/sentinel")).status, 200);
    client.headers(1_000_001, &fields("/", &[]), true);
    client.outcome(1_000_001)
}

#[test]
fn a_flood_of_resets_ends_the_connection() {
    let outcome = assert_survives(|client| {
        for number in 0..20_000 {
            client.headers(number * 2 + 1, &fields("/sentinel", &[]), true);
            client.reset(number * 2 + 1);
        }
    });
    assert!(
        matches!(outcome, Outcome::GoAway(_) | Outcome::Closed),
        "{outcome:?}"
    );
}

#[test]
fn an_endless_header_block_ends_the_connection() {
    let outcome = assert_survives(|client| {
        client.frame(1, 0, 1, &block(&fields("/", &[])));
        let more = block(&[("x-a", &"b".repeat(1_000))]);
        for _ in 0..5_000 {
            client.frame(9, 0, 1, &more);
        }
        client.frame(9, END_HEADERS, 1, &more);
    });
    assert!(
        matches!(outcome, Outcome::GoAway(_) | Outcome::Closed),
        "{outcome:?}"
    );
}

#[test]
fn floods_of_settings_and_pings_hurt_nobody_else() {
    for (kind, payload) in [(4, &[][..]), (6, &[0; 8][..])] {
        let begun = std::time::Instant::now();
        let _outcome = assert_survives(|client| {
            for _ in 0..20_000 {
                client.frame(kind, 0, 0, payload);
            }
        });
        assert!(begun.elapsed() < wait::DEADLINE, "{:?}", begun.elapsed());
    }
}

//! RFC 9112, section 7: chunked bodies of requests.

use std::sync::atomic::{AtomicUsize, Ordering};

use test_harness::{Failure, Received};

use super::{Edge, PROMPT, shown};

/// Tells the requests of one test apart: a body that streams may reach the upstream late.
static NUMBER: AtomicUsize = AtomicUsize::new(0);

/// Sends a chunked body; returns the status (`None` when there was no answer) and what the
/// upstream saw of this request.
fn send(edge: &Edge, body: &[u8]) -> (Option<u16>, Vec<Received>) {
    let target = format!("/{}", NUMBER.fetch_add(1, Ordering::SeqCst));
    let head =
        format!("POST {target} HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut client = edge.gateway.connect();
    client.read_limit(PROMPT);
    client.send([head.as_bytes(), body].concat());
    let status = match client.read_final("POST") {
        Ok(response) => Some(response.status),
        Err(Failure::TimedOut(_)) => panic!("hangs on {}", shown(body)),
        Err(_) => None,
    };
    if status.is_some_and(|status| status >= 400) {
        assert!(
            client.ends(),
            "the connection goes on after {}",
            shown(body)
        );
    }
    let mut seen = edge.settle();
    seen.retain(|received| received.target == target);
    (status, seen)
}

#[test]
fn malformed_chunks_are_refused_and_never_complete_upstream() {
    let bodies: &[&[u8]] = &[
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"5 5\r\nhello\r\n0\r\n\r\n",
        b"5,\r\nhello\r\n0\r\n\r\n",
        b"\r\nhello\r\n0\r\n\r\n",
        b";x\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"5\rhello\r\n0\r\n\r\n",
        b"5\r\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhelloXX0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0\r\n\r\n",
        b"4\r\nhello\r\n0\r\n\r\n",
        b"5\x00\r\nhello\r\n0\r\n\r\n",
        b"5;a\nb\r\nhello\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
        b"10000000000000005\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n-0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX : y\r\n\r\n",
        b"5\r\nhello\r\n0\r\nno colon\r\n\r\n",
        b"5\r\nhello\r\n0\r\nX: a\x00b\r\n\r\n",
    ];
    let edge = Edge::start();
    let mut failures = Vec::new();
    for body in bodies {
        let (status, seen) = send(&edge, body);
        let completed = seen.iter().any(|received| received.complete);
        if status.is_some_and(|status| status != 400) || completed || seen.len() > 1 {
            failures.push(format!("{}: {status:?}, upstream {seen:?}", shown(body)));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_malformed_chunk_is_told_to_the_client() {
    let edge = Edge::start();
    for body in ["zz\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\nzz\r\n"] {
        let (status, _) = send(&edge, body.as_bytes());
        assert_eq!(status, Some(400), "{body:?}");
    }
}

#[test]
fn what_is_odd_in_an_extension_is_refused_or_left_behind() {
    let edge = Edge::start();
    for body in [
        "5;a\0b\r\nhello\r\n0\r\n\r\n",
        "5;\x7f\r\nhello\r\n0\r\n\r\n",
    ] {
        let (status, seen) = send(&edge, body.as_bytes());
        assert!(
            matches!(status, None | Some(200 | 400)),
            "{body:?}: {status:?}"
        );
        let clean = seen.iter().all(|received| received.problems.is_empty());
        assert!(clean, "{body:?}: {seen:?}");
    }
}

#[test]
fn legal_chunks_of_every_form_pass() {
    let edge = Edge::start();
    for body in [
        "5\r\nhello\r\n0\r\n\r\n",
        "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        "005\r\nhello\r\n000\r\n\r\n",
        "5;a\r\nhello\r\n0\r\n\r\n",
        "5;a=b;c=\"d e\"\r\nhello\r\n0;x=y\r\n\r\n",
        "5\r\nhello\r\n0\r\nX-T: v\r\n\r\n",
    ] {
        let (status, seen) = send(&edge, body.as_bytes());
        assert_eq!(status, Some(200), "{body:?}");
        let [received] = seen.as_slice() else {
            panic!("{body:?}: {seen:?}")
        };
        assert_eq!(received.body, b"hello", "{body:?}");
        assert!(
            received.complete && received.problems.is_empty(),
            "{received:?}"
        );
    }
    let (status, seen) = send(
        &edge,
        b"1a\r\nabcdefghijklmnopqrstuvwxyz\r\nA\r\n0123456789\r\n0\r\n\r\n",
    );
    assert_eq!((status, seen[0].body.len()), (Some(200), 36));
}

#[test]
fn trailers_never_become_what_only_a_head_can_say() {
    let edge = Edge::start();
    for field in [
        "Content-Length: 99",
        "Transfer-Encoding: chunked",
        "Host: evil.example",
        "Authorization: Bearer stolen",
        "Connection: close",
        "Trailer: x",
    ] {
        let body = format!("5\r\nhello\r\n0\r\n{field}\r\n\r\n");
        let (status, seen) = send(&edge, body.as_bytes());
        assert!(matches!(status, Some(200 | 400)), "{field}: {status:?}");
        let name = field.split(':').next().unwrap_or_default();
        for received in &seen {
            let leaked = received
                .trailers
                .iter()
                .any(|(key, _)| key.eq_ignore_ascii_case(name));
            assert!(!leaked, "{field} reached the upstream: {received:?}");
            assert!(
                !received.header_values("Host").contains(&"evil.example"),
                "{received:?}"
            );
            assert!(received.header("Authorization").is_none(), "{received:?}");
        }
    }
}

#[test]
fn endless_trailers_and_extensions_are_cut() {
    let edge = Edge::start();
    let extension = [
        b"5;".as_slice(),
        &vec![b'a'; 1 << 20],
        b"\r\nhello\r\n0\r\n\r\n",
    ]
    .concat();
    let trailer = [
        b"5\r\nhello\r\n0\r\nX: ".as_slice(),
        &vec![b'a'; 1 << 20],
        b"\r\n\r\n",
    ]
    .concat();
    let trailers = [
        b"5\r\nhello\r\n0\r\n".as_slice(),
        &b"X: y\r\n".repeat(100_000),
        b"\r\n",
    ]
    .concat();
    for (name, body) in [
        ("extension", extension),
        ("trailer", trailer),
        ("trailers", trailers),
    ] {
        let (status, seen) = send(&edge, &body);
        assert!(
            matches!(status, None | Some(400 | 413 | 431)),
            "{name}: {status:?}"
        );
        assert!(!seen.iter().any(|received| received.complete), "{name}");
    }
}

//! Bodies that pass through piece by piece: nothing waits for the end of a message.

use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use test_harness::{Definition, Failure, Request, Upstream, wait};

use crate::gateway;

#[test]
fn the_first_bytes_of_a_request_arrive_before_the_last_are_sent() {
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let (seen, first_bytes) = mpsc::channel();
        let seen = Mutex::new(seen);
        let upstream = Upstream::serving(move |connection| {
            connection.next_head();
            let mut so_far = Vec::new();
            while let Some(bytes) = connection.read_some() {
                so_far.extend(bytes);
                let _ = seen.lock().unwrap().send(so_far.clone());
                if so_far.ends_with(b"world") || so_far.ends_with(b"0\r\n\r\n") {
                    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                }
            }
        });
        let gateway = gateway()
            .api(Definition::new("a").upstream(&upstream))
            .start();
        let chunked = framing.ends_with("chunked");
        let piece = |text: &str| match chunked {
            true => format!("5\r\n{text}\r\n"),
            false => text.to_owned(),
        };
        let mut client = gateway.connect();
        client.send(format!(
            "POST /a/ HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n{}",
            piece("hello")
        ));
        let first = first_bytes
            .recv_timeout(wait::DEADLINE)
            .expect("nothing arrives");
        assert!(
            String::from_utf8_lossy(&first).contains("hello"),
            "{framing}"
        );
        client.send(piece("world"));
        if chunked {
            client.send("0\r\n\r\n");
        }
        assert_eq!(client.read_final("POST").unwrap().status, 200, "{framing}");
    }
}

#[test]
fn the_first_bytes_of_a_response_arrive_before_the_last_are_sent() {
    for framing in [
        "Content-Length: 10\r\n",
        "Transfer-Encoding: chunked\r\n",
        "",
    ] {
        let (go_on, told) = mpsc::channel::<()>();
        let told = Mutex::new(told);
        let chunked = framing.contains("chunked");
        let upstream = Upstream::serving(move |connection| {
            connection.next_request();
            let (first, last) = match chunked {
                true => ("5\r\nhello\r\n", "5\r\nworld\r\n0\r\n\r\n"),
                false => ("hello", "world"),
            };
            connection.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n{first}"));
            let _ = told.lock().unwrap().recv_timeout(wait::DEADLINE);
            connection.send(last);
        });
        let gateway = gateway()
            .api(Definition::new("a").upstream(&upstream))
            .start();
        let mut client = gateway.connect();
        client.send(Request::get("/a/").bytes());
        let head = client.read_head().unwrap();
        let first = client.read_until(b"hello");
        assert!(first.is_ok(), "{framing}: {first:?}");
        go_on.send(()).unwrap();
        assert!(client.read_until(b"world").is_ok(), "{framing}: {head:?}");
    }
}

#[test]
fn a_large_body_streams_without_being_held() {
    const PIECES: usize = 2_000;
    let upstream = Upstream::serving(|connection| {
        connection.next_request();
        connection.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            PIECES * 65_536
        ));
        let piece = [b'x'; 65_536];
        for _ in 0..PIECES {
            if connection.try_send(piece).is_err() {
                return;
            }
        }
    });
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    let before = resident_kib(gateway.id());
    let mut client = gateway.connect();
    client.send(Request::get("/a/").bytes());
    let _head = client.read_head().unwrap();
    let mut peak = 0;
    for _ in 0..PIECES {
        client.read_exactly(65_536).unwrap();
        peak = peak.max(resident_kib(gateway.id()));
    }
    assert!(
        peak < before + 32 * 1024,
        "grew from {before} to {peak} KiB for 125 MiB passed on"
    );
}

fn resident_kib(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_client_that_does_not_read_holds_the_upstream_back() {
    let sent = Arc::new(Mutex::new((0_usize, false)));
    let progress = Arc::clone(&sent);
    let upstream = Upstream::serving(move |connection| {
        connection.next_request();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n");
        let piece = [b'x'; 65_536];
        while connection.try_send(piece).is_ok() {
            progress.lock().unwrap().0 += piece.len();
        }
        progress.lock().unwrap().1 = true;
    });
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    let mut client = gateway.connect();
    client.send(Request::get("/a/").bytes());
    client.read_head().unwrap();
    let mut last = (usize::MAX, std::time::Instant::now());
    wait::until("the upstream is held back", || {
        let now = sent.lock().unwrap().0;
        if now != last.0 {
            last = (now, std::time::Instant::now());
        }
        now > 0 && last.1.elapsed() > Duration::from_millis(500)
    });
    assert!(
        last.0 < 64 * 1024 * 1024,
        "{} bytes were taken for a client that reads none",
        last.0
    );
    // And when the client goes, the upstream is let go.
    client.reset();
    wait::until("the upstream's connection ends", || sent.lock().unwrap().1);
}

#[test]
fn trailers_pass_both_ways() {
    let upstream = Upstream::replying(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         2\r\nok\r\n0\r\nX-Sum: 42\r\n\r\n",
    );
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    let mut client = gateway.connect();
    client.send(
        "POST /a/ HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nConnection: TE\r\nTrailer: X-Check\r\n\
         Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Check: 7\r\n\r\n",
    );
    let response = client.read_final("POST").unwrap();
    assert_eq!(response.text(), "ok");
    assert_eq!(response.trailers, [("x-sum".to_owned(), "42".to_owned())]);
    let seen = upstream.take_one();
    assert!(
        seen.trailers
            .iter()
            .any(|(name, value)| { name.eq_ignore_ascii_case("x-check") && value == "7" }),
        "{seen:?}"
    );
}

#[test]
fn an_early_answer_reaches_a_client_that_still_sends() {
    let upstream = Upstream::serving(|connection| {
        if connection.next_head().is_some() {
            connection.send(
                "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig",
            );
            // Keeps the connection until the gateway has gone, as a careful server does.
            while connection.read_some().is_some() {}
        }
    });
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    let mut client = gateway.connect();
    client.send("POST /a/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nsome");
    let response = client.read_final("POST").unwrap();
    assert_eq!((response.status, response.text().as_str()), (413, "big"));
}

#[test]
fn a_client_gone_in_the_middle_of_its_body_never_looks_complete_upstream() {
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let ended = Arc::new(Mutex::new(None));
        let end = Arc::clone(&ended);
        let upstream = Upstream::serving(move |connection| {
            if let Some(received) = connection.next_request() {
                *end.lock().unwrap() = Some(received.complete);
            }
        });
        let gateway = gateway()
            .api(Definition::new("a").upstream(&upstream))
            .start();
        let mut client = gateway.connect();
        client.send(format!(
            "POST /a/ HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n5\r\nhe"
        ));
        let _begun = upstream.wait_for("the request's head", |_| true);
        drop(client);
        wait::until("the upstream sees the end", || {
            ended.lock().unwrap().is_some()
        });
        assert_eq!(*ended.lock().unwrap(), Some(false), "{framing}");
    }
}

#[test]
fn a_response_that_breaks_off_never_looks_complete() {
    for (kind, answer) in [
        (
            "length",
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        ),
        (
            "chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
        ),
        (
            "last chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ),
        (
            "bad chunk",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
        ),
    ] {
        let upstream = Upstream::replying_once(answer);
        let gateway = gateway()
            .api(Definition::new("a").upstream(&upstream))
            .start();
        for version in ["1.1", "1.0"] {
            let mut client = gateway.connect();
            client.send(format!("GET /a/ HTTP/{version}\r\nHost: x\r\n\r\n"));
            match client.read_final("GET") {
                Ok(response) if response.status < 500 => {
                    panic!("{kind}, HTTP/{version}: looks complete: {response:?}")
                }
                Ok(_) | Err(Failure::Truncated(_) | Failure::Reset | Failure::Malformed(_)) => {}
                Err(other) => panic!("{kind}, HTTP/{version}: {other:?}"),
            }
        }
    }
}

//! What a gateway adds, and that pieces of a message may come in any cut.

use std::sync::{Mutex, mpsc};

use serde_json::json;
use test_harness::{Definition, Request, Upstream, wait};

use super::{Edge, Outcome, check};
use crate::gateway;

fn via(sent: &str, seen: &str) -> super::Case {
    let outcome: Outcome = super::passes(&[seen], &[]);
    super::Case::new(sent, super::with_lines(sent), outcome)
}

#[test]
fn via_is_added_behind_those_who_came_before() {
    check(&[
        via("", "via: 1.1 "),
        via("Via: 1.0 fred\r\n", "1.0 fred"),
        via("Via: 1.0 fred\r\nVia: 1.1 p.example\r\n", "1.1 p.example"),
    ]);
    let edge = Edge::start();
    let request = Request::get("/").header("Via", "1.0 fred, 1.1 p.example");
    assert_eq!(edge.gateway.send(&request).status, 200);
    let seen = edge.upstream.take_one();
    let hops = seen.header_values("Via").join(", ");
    assert!(hops.starts_with("1.0 fred, 1.1 p.example, 1.1 "), "{hops}");
}

#[test]
fn a_response_gets_a_date_only_where_it_has_none() {
    let dated =
        "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1998 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n";
    let undated = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for (answer, kept) in [(dated, true), (undated, false)] {
        let upstream = Upstream::replying(answer);
        let gateway = gateway()
            .api(Definition::new("a").upstream(&upstream))
            .start();
        let response = gateway.get("/a/");
        let date = response.header("Date").expect("RFC 9110, 6.6.1");
        assert_eq!(date == "Thu, 01 Jan 1998 00:00:00 GMT", kept, "{date}");
    }
}

#[test]
fn requests_may_arrive_byte_by_byte() {
    let edge = Edge::start();
    let chunked = "POST /2 HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n\
                   5;x=\"y\"\r\nhello\r\n6\r\n world\r\n0\r\nX-T: v\r\n\r\n";
    let sized = "POST /1 HTTP/1.1\r\nHost: a.example\r\nContent-Length: 11\r\n\r\nhello world";
    let mut client = edge.gateway.connect();
    for bytes in [sized, chunked] {
        for byte in bytes.as_bytes() {
            client.send([*byte]);
        }
        assert_eq!(
            client.read_final("POST").unwrap().json()["body"],
            "hello world"
        );
    }
    for seen in edge.settle() {
        assert!(seen.complete && seen.problems.is_empty(), "{seen:?}");
        assert_eq!(seen.body, b"hello world");
    }
}

#[test]
fn responses_may_arrive_byte_by_byte() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
        "HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
         5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nX-T: v\r\n\r\n",
    ] {
        let upstream = Upstream::serving(move |connection| {
            while connection.next_request().is_some() {
                for byte in answer.as_bytes() {
                    connection.send([*byte]);
                }
            }
        });
        let gateway = gateway()
            .api(Definition::new("a").upstream(&upstream))
            .start();
        let mut client = gateway.connect();
        for _ in 0..2 {
            assert_eq!(client.request(&Request::get("/a/")).text(), "hello world");
        }
    }
}

/// The upstream answers and keeps the connection although the request's body has not ended. What
/// is left of that body must never be read as another request.
#[test]
fn an_early_answer_does_not_poison_the_upstream_connection() {
    let upstream = Upstream::serving(|connection| {
        while let Some(received) = connection.next_head() {
            let body = received.target.clone();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            connection.send(answer);
        }
    });
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .conf(json!({"workers": 1}))
        .start();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for _ in 0..5 {
        let mut client = gateway.connect();
        let length = smuggled.len() + 10;
        client.send(format!(
            "POST /a/early HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
        ));
        assert_eq!(client.read_final("POST").unwrap().text(), "/early");
        client.send(smuggled);
        drop(client);
        assert_eq!(gateway.get("/a/next").text(), "/next");
    }
    let seen = upstream.take();
    assert_eq!(
        seen.iter()
            .filter(|received| received.target == "/early")
            .count(),
        5
    );
    for (place, early) in seen
        .iter()
        .enumerate()
        .filter(|(_, one)| one.target == "/early")
    {
        let later = seen[place..]
            .iter()
            .filter(|one| one.connection == early.connection);
        let reused = later.into_iter().any(|one| one.target == "/next");
        assert!(
            !reused,
            "a body was left unfinished on its connection: {seen:#?}"
        );
    }
}

#[test]
fn many_interim_answers_are_not_held_for_ever() {
    let upstream = Upstream::serving(|connection| {
        if connection.next_request().is_some() {
            let field = "b".repeat(1_000);
            let interim = format!("HTTP/1.1 103 Early Hints\r\nX-A: {field}\r\n\r\n");
            for _ in 0..1_000 {
                connection.send(&interim);
            }
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    let response = gateway.get("/a/");
    assert!(matches!(response.status, 200 | 502), "{response:?}");
}

#[test]
fn a_response_may_be_as_large_in_its_head_as_a_request() {
    let cookies: String = (0..60)
        .map(|n| format!("Set-Cookie: c{n}={}\r\n", "v".repeat(400)))
        .collect();
    let upstream = Upstream::replying(format!(
        "HTTP/1.1 200 OK\r\n{cookies}Content-Length: 0\r\n\r\n"
    ));
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    let response = gateway.get("/a/");
    assert_eq!(
        (response.status, response.header_values("Set-Cookie").len()),
        (200, 60)
    );
}

#[test]
fn a_truncated_body_is_never_complete_upstream_although_the_client_still_listens() {
    let (ended, end) = mpsc::channel();
    let ended = Mutex::new(ended);
    let upstream = Upstream::serving(move |connection| {
        if let Some(received) = connection.next_request() {
            let _ = ended.lock().unwrap().send(received.complete);
        }
    });
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let mut client = gateway.connect();
        client.send(format!(
            "POST /a/ HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n5\r\nhe"
        ));
        client.half_close();
        // RFC 9112, 8: the client may be told with 400; it must not be told of a success.
        if let Ok(response) = client.read_final("POST") {
            assert!(
                (400..500).contains(&response.status),
                "{framing}: {response:?}"
            );
        }
        let complete = end
            .recv_timeout(wait::DEADLINE)
            .expect("the upstream is never let go");
        assert!(!complete, "{framing}");
    }
}

#[test]
fn head_passes_with_the_length_of_a_body_that_does_not_come() {
    for fields in [
        "Content-Length: 1234\r\n",
        "Transfer-Encoding: chunked\r\n",
        "",
    ] {
        let upstream = Upstream::replying(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"));
        let gateway = gateway()
            .api(Definition::new("a").upstream(&upstream))
            .start();
        let mut client = gateway.connect();
        for _ in 0..3 {
            let response = client.request(&Request::new("HEAD", "/a/"));
            assert_eq!(response.status, 200, "{fields}");
            assert_ne!(
                response.header("Content-Length"),
                Some("0"),
                "{fields}: not what GET would say"
            );
        }
    }
}

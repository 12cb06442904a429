//! Responses whose body is not where their head says, and what must not leak into the next one.

use serde_json::json;
use test_harness::{Definition, Gateway, Request, Upstream};

use crate::gateway;

/// A gateway with one data-plane thread, so that upstream connections would be used again.
fn start(upstream: &Upstream) -> Gateway {
    gateway()
        .api(Definition::new("a").upstream(upstream))
        .conf(json!({"workers": 1}))
        .start()
}

/// An upstream that answers `/odd` with the given bytes and everything else properly, without
/// ever closing.
fn odd(answer: &[u8]) -> Upstream {
    let answer = answer.to_vec();
    Upstream::answering(move |received| match received.target.as_str() {
        "/odd" => answer.clone(),
        target => test_harness::upstream::response(200, "text/plain", target.as_bytes()),
    })
}

#[test]
fn a_body_where_none_may_be_never_becomes_the_next_response() {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    for (method, answer) in [
        (
            "HEAD",
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{poison}",
                poison.len()
            ),
        ),
        ("GET", format!("HTTP/1.1 204 No Content\r\n\r\n{poison}")),
        (
            "GET",
            format!(
                "HTTP/1.1 204 No Content\r\nContent-Length: {}\r\n\r\n{poison}",
                poison.len()
            ),
        ),
        (
            "GET",
            format!(
                "HTTP/1.1 304 Not Modified\r\nContent-Length: {}\r\n\r\n{poison}",
                poison.len()
            ),
        ),
        (
            "GET",
            format!("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n{poison}"),
        ),
        (
            "GET",
            format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{poison}"),
        ),
        (
            "GET",
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{poison}"),
        ),
    ] {
        let upstream = odd(answer.as_bytes());
        let gateway = start(&upstream);
        for _ in 0..5 {
            let mut client = gateway.connect();
            let response = client.request(&Request::new(method, "/a/odd"));
            assert!(response.status < 500, "{answer:?}: {response:?}");
            let next = client.try_request(&Request::get("/a/next"));
            let next = next.unwrap_or_else(|failure| panic!("{answer:?}: {failure:?}"));
            assert_eq!(
                (next.status, next.text().as_str()),
                (200, "/next"),
                "{method} {answer:?}"
            );
        }
    }
}

#[test]
fn a_response_to_head_keeps_its_length_and_has_no_body() {
    let upstream = odd(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
    let gateway = start(&upstream);
    let mut client = gateway.connect();
    let response = client.request(&Request::new("HEAD", "/a/odd"));
    assert_eq!(response.header("Content-Length"), Some("1234"));
    assert_eq!(client.request(&Request::get("/a/next")).text(), "/next");
}

#[test]
fn errors_answer_head_without_a_body() {
    let gateway = gateway()
        .api(Definition::new("a").target(&Upstream::nobody()))
        .start();
    let mut client = gateway.connect();
    for (path, status) in [("/a/", 500), ("/nothing", 404)] {
        assert_eq!(client.request(&Request::new("HEAD", path)).status, status);
        assert_eq!(client.request(&Request::get(path)).status, status);
    }
}

#[test]
fn a_204_has_no_length_and_no_chunks() {
    for head in ["", "Content-Length: 0\r\n"] {
        let upstream = odd(format!("HTTP/1.1 204 No Content\r\n{head}\r\n").as_bytes());
        let gateway = start(&upstream);
        let response = gateway.get("/a/odd");
        assert_eq!(response.status, 204);
        assert_eq!(response.header("Transfer-Encoding"), None);
        assert_eq!(response.header("Content-Length"), None, "RFC 9110, 8.6");
    }
}

#[test]
fn a_body_until_the_end_of_the_connection_arrives_whole() {
    for version in ["1.0", "1.1"] {
        let answer = format!("HTTP/{version} 200 OK\r\n\r\nhello until the end");
        let upstream = Upstream::replying_once(answer);
        let gateway = start(&upstream);
        let mut client = gateway.connect();
        for _ in 0..2 {
            let response = client.request(&Request::get("/a/"));
            assert_eq!(response.text(), "hello until the end", "{version}");
        }
    }
}

#[test]
fn an_upstream_reset_in_the_middle_of_a_body_reaches_the_client() {
    let upstream = Upstream::serving(|connection| {
        if connection.next_request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\n\r\nhello");
            connection.reset();
        }
    });
    let gateway = start(&upstream);
    for version in ["1.1", "1.0"] {
        let mut client = gateway.connect();
        client.send(format!("GET /a/ HTTP/{version}\r\nHost: x\r\n\r\n"));
        let result = client.read_final("GET");
        let complete = matches!(&result, Ok(response) if response.status < 500);
        assert!(!complete, "HTTP/{version}: looks complete: {result:?}");
    }
}

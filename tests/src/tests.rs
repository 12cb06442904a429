//! The harness itself: a suite that reads messages wrongly proves nothing.

use crate::{Client, Failure, Receiver, Request, Upstream};

fn exchange(answer: &str) -> Result<crate::Response, Failure> {
    let upstream = Upstream::replying_once(answer);
    Client::connect(upstream.address()).try_request(&Request::get("/"))
}

#[test]
fn responses_of_every_framing_are_read_whole() {
    for (answer, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
            "hello",
        ),
        ("HTTP/1.1 200 OK\r\n\r\nhello", "hello"),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
        (
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "hello",
        ),
    ] {
        assert_eq!(exchange(answer).unwrap().text(), body, "{answer:?}");
    }
}

#[test]
fn a_body_that_ends_early_is_never_complete() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let result = exchange(answer);
        assert!(
            matches!(result, Err(Failure::Truncated(_) | Failure::Malformed(_))),
            "{answer:?}: {result:?}"
        );
    }
}

#[test]
fn what_is_not_http_is_told_apart() {
    for answer in [
        "garbage\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    ] {
        let result = exchange(answer);
        assert!(
            matches!(result, Err(Failure::Malformed(_))),
            "{answer:?}: {result:?}"
        );
    }
}

#[test]
fn a_reset_is_not_a_close() {
    let upstream = Upstream::serving(|connection| {
        connection.next_request();
        connection.send("HTTP/1.1 200 OK\r\n\r\nhel");
        connection.reset();
    });
    let result = Client::connect(upstream.address()).try_request(&Request::get("/"));
    assert!(
        matches!(result, Err(Failure::Truncated(_) | Failure::Reset)),
        "{result:?}"
    );
}

#[test]
fn an_upstream_records_requests_to_the_byte() {
    let upstream = Upstream::echo();
    let mut client = Client::connect(upstream.address());
    client.send("POST /a HTTP/1.1\r\nhOST: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: v\r\n\r\n");
    let response = client.read_final("POST").unwrap();
    assert_eq!(response.json()["target"], "/a");
    let received = upstream.take_one();
    assert!(
        received
            .raw_head
            .starts_with(b"POST /a HTTP/1.1\r\nhOST: x\r\n")
    );
    assert_eq!(received.body, b"a");
    assert_eq!(received.trailers, [("T".to_owned(), "v".to_owned())]);
    assert!(
        received.complete && received.problems.is_empty(),
        "{received:?}"
    );
}

#[test]
fn an_upstream_names_what_is_wrong_with_a_request() {
    let upstream = Upstream::echo();
    Client::connect(upstream.address())
        .send("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        .half_close();
    let received = upstream.wait_for("the request", |received| received.problems.len() == 2);
    assert!(received.problems[0].contains("Host"), "{received:?}");
    assert!(received.problems[1].contains("ambiguous"), "{received:?}");
}

#[test]
fn a_receiver_finds_a_hook_by_its_message() {
    let receiver = Receiver::start();
    let hook = Request::post("/hook", r#"{"event": "e", "message": "m"}"#);
    let response = Client::connect(receiver.address()).request(&hook);
    assert_eq!(response.status, 200);
    assert_eq!(receiver.wait_for_message("m").1["event"], "e");
}

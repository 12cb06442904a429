//! RFC 9112, section 9: one connection, many requests, and how it ends.

use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use test_harness::{Definition, Failure, Request, Upstream, wait};

use super::Edge;
use crate::gateway;

#[test]
fn pipelined_requests_are_answered_in_order() {
    let edge = Edge::start();
    let mut client = edge.gateway.connect();
    client.send(
        [
            Request::get("/1").bytes(),
            Request::post("/2", "hello").bytes(),
            b"POST /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
                .to_vec(),
            Request::new("HEAD", "/4").bytes(),
            Request::get("/5")
                .body("GET /smuggled HTTP/1.1\r\n\r\n")
                .bytes(),
            Request::get("/6").bytes(),
        ]
        .concat(),
    );
    for (method, target) in [("GET", "/1"), ("POST", "/2"), ("POST", "/3")] {
        let response = client.read_final(method).unwrap();
        assert_eq!(response.json()["target"], target);
    }
    assert_eq!(client.read_final("HEAD").unwrap().status, 200);
    for target in ["/5", "/6"] {
        assert_eq!(client.read_final("GET").unwrap().json()["target"], target);
    }
    let targets: Vec<String> = edge.settle().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/1", "/2", "/3", "/4", "/5", "/6"]);
}

#[test]
fn a_refused_request_ends_the_pipeline() {
    let edge = Edge::start();
    let mut client = edge.gateway.connect();
    client.send(
        [
            Request::get("/1").bytes(),
            b"GET /2 HTTP/1.1\r\nHost: a b\r\n\r\n".to_vec(),
            Request::get("/3").bytes(),
        ]
        .concat(),
    );
    assert_eq!(client.read_final("GET").unwrap().status, 200);
    assert_eq!(client.read_final("GET").unwrap().status, 400);
    assert!(client.ends());
    assert_eq!(edge.settle().len(), 1);
}

#[test]
fn close_is_honoured_and_said() {
    let edge = Edge::start();
    for connection in ["close", "Close", "x-one, close", "keep-alive, close"] {
        let mut client = edge.gateway.connect();
        let response = client.request(&Request::get("/").header("Connection", connection));
        assert_eq!(response.header("Connection"), Some("close"), "{connection}");
        assert!(client.ends(), "{connection}");
    }
}

#[test]
fn http_1_0_closes_unless_it_asks_to_be_kept() {
    let edge = Edge::start();
    let mut client = edge.gateway.connect();
    client.send("GET / HTTP/1.0\r\nHost: x\r\n\r\n");
    assert_eq!(client.read_final("GET").unwrap().status, 200);
    assert!(client.ends());
    let mut client = edge.gateway.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n");
        let response = client.read_final("GET").unwrap();
        assert_eq!(response.status, 200);
        if response
            .header("Connection")
            .is_none_or(|value| value != "keep-alive")
        {
            assert!(client.ends(), "neither kept nor closed");
            return;
        }
    }
}

#[test]
fn an_http_1_0_client_never_gets_chunks_or_interim_answers() {
    let upstream = Upstream::replying(
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n\
         HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    );
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    let mut client = gateway.connect();
    client.send("GET /a/ HTTP/1.0\r\nHost: x\r\n\r\n");
    let response = client.read_response("GET").unwrap();
    assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    assert_eq!(response.header("Transfer-Encoding"), None);
}

#[test]
fn a_client_that_has_finished_sending_still_gets_its_answer() {
    let (release, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let upstream = Upstream::serving(move |connection| {
        while connection.next_request().is_some() {
            let _ = held.lock().unwrap().recv_timeout(wait::DEADLINE);
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    let mut client = gateway.connect();
    client.send(Request::get("/a/").bytes()).half_close();
    let _arrived = upstream.wait_for("the request", |_| true);
    assert!(
        client.is_quiet_for(Duration::from_millis(200)),
        "gave up on a half-closed client"
    );
    release.send(()).unwrap();
    assert_eq!(client.read_final("GET").unwrap().text(), "hello");
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    let edge = Edge::start();
    let mut client = edge.gateway.connect();
    client.send("POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let interim = client.read_response("POST").unwrap();
    assert_eq!(interim.status, 100, "{interim:?}");
    client.send("hello");
    let response = client.read_final("POST").unwrap();
    assert_eq!(response.json()["body"], "hello");
}

#[test]
fn a_refusal_spares_the_client_its_body() {
    let gateway = gateway().start();
    let mut client = gateway.connect();
    client.send(
        "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    );
    let response = client.read_response("POST").unwrap();
    assert_eq!(response.status, 404, "{response:?}");
}

#[test]
fn an_http_1_0_client_is_never_told_to_continue() {
    let edge = Edge::start();
    let mut client = edge.gateway.connect();
    client.send(
        "POST /x HTTP/1.0\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    );
    assert_eq!(client.read_response("POST").unwrap().status, 200);
}

#[test]
fn a_client_gone_while_the_upstream_works_lets_the_upstream_go() {
    let ended = Arc::new(Mutex::new(false));
    let end = Arc::clone(&ended);
    let upstream = Upstream::serving(move |connection| {
        if connection.next_request().is_some() {
            while connection.read_some().is_some() {}
            *end.lock().unwrap() = true;
        }
    });
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    let mut client = gateway.connect();
    client.send(Request::get("/a/").bytes());
    let _arrived = upstream.wait_for("the request", |_| true);
    client.reset();
    wait::until("the upstream's connection ends", || *ended.lock().unwrap());
}

#[test]
fn a_connection_that_never_says_anything_is_closed_in_silence() {
    let edge = Edge::start();
    let mut client = edge.gateway.connect();
    client.half_close();
    assert!(matches!(
        client.read_response("GET"),
        Err(Failure::Closed | Failure::Reset)
    ));
    drop(edge.gateway.connect());
    assert!(edge.settle().is_empty());
}

//! Connections on both sides: kept, pooled, retried only where nothing can happen twice.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use test_harness::{Definition, Request, Upstream};

use crate::gateway;

#[test]
fn a_client_connection_serves_many_requests() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    let mut client = gateway.connect();
    for number in 0..20 {
        let path = format!("/a/{number}");
        let response = client.request(&Request::post(&path, vec![b'x'; number * 100]));
        assert_eq!(response.json()["target"], format!("/{number}"));
    }
}

#[test]
fn upstream_connections_are_used_again() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .conf(json!({"workers": 1}))
        .start();
    let mut client = gateway.connect();
    for _ in 0..50 {
        assert_eq!(client.request(&Request::get("/a/")).status, 200);
    }
    assert!(
        upstream.connections() <= 2,
        "{} connections",
        upstream.connections()
    );
}

#[test]
fn requests_at_the_same_time_share_no_upstream_connection() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let gateway = &gateway;
            scope.spawn(move || {
                let mut client = gateway.connect();
                for number in 0..50 {
                    let path = format!("/a/{thread}/{number}");
                    let response = client.request(&Request::get(&path));
                    assert_eq!(response.json()["target"], format!("/{thread}/{number}"));
                }
            });
        }
    });
}

/// An upstream that serves one request per connection, keeps quiet about it, and closes when
/// the second one arrives: the worst moment for a pool.
fn closing_on_reuse() -> Upstream {
    Upstream::serving(|connection| {
        if connection.next_request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            connection.next_head();
        }
    })
}

#[test]
fn a_pooled_connection_that_dies_is_replaced_for_a_safe_request() {
    let upstream = closing_on_reuse();
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .conf(json!({"workers": 1}))
        .start();
    let mut client = gateway.connect();
    for number in 0..10 {
        let response = client.request(&Request::get("/a/"));
        assert_eq!(response.status, 200, "request {number}: {response:?}");
    }
}

#[test]
fn a_request_that_may_have_been_executed_is_not_sent_twice() {
    let upstream = closing_on_reuse();
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .conf(json!({"workers": 1}))
        .start();
    let mut client = gateway.connect();
    assert_eq!(client.request(&Request::post("/a/first", "x")).status, 200);
    let response = client.request(&Request::post("/a/second", "x"));
    assert!(response.status >= 500, "{response:?}");
    let seen = upstream.take();
    let copies = seen
        .iter()
        .filter(|received| received.target == "/second")
        .count();
    assert_eq!(copies, 1, "{seen:#?}");
}

#[test]
fn an_idle_connection_that_the_upstream_closed_hurts_nobody() {
    let served = AtomicUsize::new(0);
    let upstream = Upstream::serving(move |connection| {
        // Closes right after the answer, without having said so.
        if connection.next_request().is_some() {
            served.fetch_add(1, Ordering::SeqCst);
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .conf(json!({"workers": 1}))
        .start();
    let mut client = gateway.connect();
    for number in 0..20 {
        let response = client.request(&Request::get("/a/"));
        assert_eq!(response.status, 200, "request {number}: {response:?}");
    }
}

#[test]
fn close_connections_ends_every_connection() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .conf(json!({"close_connections": true}))
        .start();
    for path in ["/a/", "/nothing"] {
        let mut client = gateway.connect();
        let response = client.request(&Request::get(path));
        assert_eq!(
            response.header("Connection"),
            Some("close"),
            "{path}: {response:?}"
        );
        assert!(client.ends(), "{path}");
    }
}

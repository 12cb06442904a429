//! Servers as operators meet them: away, hanging, dying in the middle, coming back; an API
//! with one of its own; events; long bodies.

use std::net::TcpListener;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::json;
use test_harness::plugin_server::PluginServer;
use test_harness::{Definition, Request, Upstream, plugin_fixture, wait};

use crate::{BINARY, gateway};

fn api(id: &str, upstream: &Upstream) -> Definition {
    Definition::new(id).driver("grpc").upstream(upstream)
}

#[test]
fn a_server_that_ends_is_refused_at_once_and_found_when_it_is_back() {
    let upstream = Upstream::echo();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("unix://{}/s", folder.path().display());
    let served = || {
        let mut server = PluginServer::python(BINARY);
        server.serve_at(&plugin_fixture("hooks", "grpc"), &url);
        server
    };
    let gateway = gateway()
        .plugin_server(&url)
        .api(api("pre", &upstream).pre("MarkPre"))
        .api(api("auth", &upstream).auth_check("CheckToken"))
        .start();
    gateway.get("/pre/").assert_error(500, "Middleware error");
    gateway
        .get("/auth/")
        .assert_error(403, "Key not authorised");
    gateway.wait_for_log_with(&["Hook failed.", "MarkPre", "no connection"]);
    let mut server = served();
    wait::until("the server is found", || gateway.get("/pre/").status == 200);
    server.kill();
    let begun = Instant::now();
    for _ in 0..20 {
        gateway.get("/pre/").assert_error(500, "Middleware error");
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "nothing waits");
    std::fs::remove_file(folder.path().join("s")).unwrap();
    let _again = served();
    wait::until("it is found again", || gateway.get("/pre/").status == 200);
}

#[test]
fn a_server_in_node_runs_all_five_hooks() {
    let upstream = Upstream::echo();
    let mut server = PluginServer::node(BINARY);
    let all = api("api", &upstream)
        .pre("MarkPre")
        .auth_check("CheckToken")
        .post_key_auth("MarkPostKeyAuth")
        .post("MarkPost")
        .response("MarkResponse");
    let gateway = gateway()
        .plugin_server(&server.serve(&plugin_fixture("hooks", "grpc")))
        .api(all)
        .start();
    gateway.get("/api/").assert_error(403, "Forbidden");
    let request = Request::post("/api/", b"\xff\x00").header("Authorization", "good");
    let response = gateway.send(&request);
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.header("X-Response"), Some("response"));
    assert_eq!(response.header("X-Session-Plan"), Some("gold"));
    assert!(response.text().ends_with("}!"), "{response:?}");
    let seen = upstream.take_one();
    assert_eq!(seen.header("X-Trail"), Some("pre,auth,post_key_auth,post"));
    assert_eq!(seen.header("X-Plan"), Some("gold/gold"));
    assert_eq!(seen.header("X-Alias"), Some("a caller"));
    assert_eq!(seen.body, b"\xff\x00");
}

#[test]
fn a_server_that_hangs_is_given_up_at_the_limit() {
    let upstream = Upstream::echo();
    // Connections are taken by the system; nobody ever answers them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = gateway()
        .plugin_server(&format!("tcp://{}", silent.local_addr().unwrap()))
        .conf(json!({"coprocess_options": {"hook_timeout_ms": 300}}))
        .api(api("api", &upstream).pre("MarkPre"))
        .api(Definition::new("plain").upstream(&upstream))
        .start();
    let begun = Instant::now();
    gateway.get("/api/").assert_error(500, "Middleware error");
    assert!(begun.elapsed() < Duration::from_secs(2));
    gateway.wait_for_log_with(&["MarkPre", "longer than 300ms"]);
    assert_eq!(gateway.get("/plain/").status, 200);
}

#[test]
fn a_server_that_is_none_is_an_error() {
    let upstream = Upstream::echo();
    let page = Upstream::echo();
    let gateway = gateway()
        .plugin_server(&page.url("").replace("http://", "tcp://"))
        .api(api("api", &upstream).pre("MarkPre"))
        .start();
    for _ in 0..3 {
        gateway.get("/api/").assert_error(500, "Middleware error");
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn no_server_or_a_wrong_one_refuses_its_api_and_an_api_may_have_its_own() {
    let upstream = Upstream::echo();
    let mut server = PluginServer::python(BINARY);
    let url = server.serve(&plugin_fixture("hooks", "grpc"));
    let own = |id: &str, option: &str, value: &str| {
        let pointer = format!("/custom_middleware/driver_options/grpc/{option}");
        api(id, &upstream).pre("MarkPre").set(&pointer, value)
    };
    let gateway = gateway()
        .with_plugins()
        .api(api("none", &upstream).pre("MarkPre"))
        .api(own("own", "coprocess_grpc_server", &url))
        .api(own("typo", "grpc_server", &url))
        .api(own("wrong", "coprocess_grpc_server", "ftp://a:1"))
        .start();
    assert_eq!(gateway.get("/own/").status, 200);
    assert_eq!(upstream.take_one().header("X-Trail"), Some("pre"));
    for (path, reason) in [
        ("none", "set coprocess_options.coprocess_grpc_server"),
        ("typo", "driver_options.grpc.grpc_server: is no option"),
        ("wrong", "scheme `ftp`"),
    ] {
        let response = gateway.get(&format!("/{path}/"));
        response.assert_error(500, "Internal Server Error");
        gateway.wait_for_log_with(&[path, reason]);
    }
}

#[test]
fn bodies_of_twenty_megabytes_go_there_and_back() {
    const LENGTH: usize = 20 << 20;
    let (tell, arrived) = mpsc::channel();
    // The upstream that describes what it sees would take minutes.
    let upstream = Upstream::serving(move |connection| {
        if connection.next_head().is_none() {
            return;
        }
        let mut body = Vec::with_capacity(LENGTH);
        while body.len() < LENGTH
            && let Some(bytes) = connection.read_some()
        {
            body.extend(bytes);
        }
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let _ = tell.send(body);
    });
    let gateway = gateway()
        .fixture("edits", "grpc")
        .conf(json!({"log_level": "info", "coprocess_options": {
            "grpc_recv_max_size": 64 << 20, "max_body_bytes": 32 << 20, "hook_timeout_ms": 60_000,
        }}))
        .api(api("api", &upstream).pre("Edit"))
        .start();
    let body: Vec<u8> = (0..LENGTH).map(|at| (at % 251) as u8 | 0x80).collect();
    let request = Request::post("/api/", body.clone()).header("X-Set-Body", "reverse");
    assert_eq!(gateway.send(&request).status, 200);
    let arrived = arrived.recv_timeout(Duration::from_secs(20)).unwrap();
    let count = arrived.len();
    assert!(arrived.into_iter().rev().eq(body), "{count} bytes");
}

#[test]
fn a_body_is_emptied_by_emptying_both_of_its_forms() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .fixture("edits", "grpc")
        .api(api("api", &upstream).pre("Edit"))
        .start();
    let request = Request::post("/api/", "text").header("X-Set-Body", "empty");
    assert_eq!(gateway.send(&request).status, 200);
    assert_eq!(upstream.take_one().body, b"text", "as from a server of old");
    let request = request.header("X-Edit-Views", "1");
    assert_eq!(gateway.send(&request).status, 200);
    assert_eq!(upstream.take_one().body, b"");
}

#[test]
fn a_client_that_goes_away_does_not_keep_its_call() {
    let upstream = Upstream::echo();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = gateway()
        .plugin_server(&format!("tcp://{}", silent.local_addr().unwrap()))
        .conf(json!({"coprocess_options": {"hook_timeout_ms": 60_000}}))
        .api(api("api", &upstream).pre("MarkPre"))
        .start();
    let mut client = gateway.connect();
    client.send("GET /api/ HTTP/1.1\r\nHost: x\r\n\r\n");
    let _connection = silent.accept().unwrap();
    drop(client);
    // A request that is still under way would be waited for.
    let begun = Instant::now();
    assert!(gateway.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn events_go_to_the_server() {
    let upstream = Upstream::echo();
    let events = json!({"AuthFailure": [{
        "handler_name": "cp_dynamic_handler", "handler_meta": {"name": "tell"},
    }]});
    let api_with_events = api("api", &upstream)
        .auth_check("CheckToken")
        .set("/event_handlers/events", events);
    let gateway = gateway()
        .fixture("hooks", "grpc")
        .api(api_with_events)
        .api(api("last", &upstream).pre("LastEvent"))
        .start();
    gateway.get("/api/").assert_error(403, "Forbidden");
    wait::until("the event is at the server", || {
        assert_eq!(gateway.get("/last/").status, 200);
        let seen = upstream.take_one();
        let event = seen.header("X-Event").unwrap_or_default();
        event.contains("AuthFailure") && event.contains(r#""handler_name":"tell""#)
    });
}

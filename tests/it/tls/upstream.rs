//! Upstreams that speak TLS: whom the gateway trusts, what it shows, and how failures look.

use serde_json::{Value, json};
use test_harness::{Definition, Gateway, GatewayBuilder, Request, Upstream};

use super::{Authority, Front, ONLY_1_2, ServerSide};
use crate::gateway;

fn with_authority(authority: &Authority) -> GatewayBuilder {
    gateway().file("ca.pem", &authority.pem)
}

/// An API that trusts the authority in `ca.pem`.
fn trusting(front: &Front) -> Definition {
    Definition::new("api")
        .target(&front.url())
        .set("/proxy/transport/ssl_ca_file", "ca.pem")
}

fn front(upstream: &Upstream, authority: &Authority) -> Front {
    let identity = authority.issue(&["localhost"]);
    Front::start(ServerSide::of(identity), upstream.address())
}

fn refused(gateway: &Gateway, reason: &str) {
    let response = gateway.get("/api/");
    assert_eq!(response.status, 500, "{reason}: {response:?}");
    let text = "{\n    \"error\": \"There was a problem proxying the request\"\n}";
    assert_eq!(response.text(), text);
    gateway.wait_for_log_with(&["WARN", "TLS with localhost", reason]);
}

#[test]
fn an_https_upstream_is_reached_by_its_name_on_kept_connections() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let front = front(&upstream, &authority);
    let gateway = with_authority(&authority)
        .api(trusting(&front))
        .conf(json!({"workers": 1}))
        .start();
    for number in 0..3 {
        let response = gateway.post(&format!("/api/x?n={number}"), "hello");
        assert_eq!(response.status, 200, "{response:?}");
        let received = upstream.take_one();
        assert_eq!(received.target, format!("/x?n={number}"));
        assert_eq!(received.body, b"hello");
        let host = format!("localhost:{}", front.address.port());
        assert_eq!(received.header("Host"), Some(&*host));
    }
    let seen = front.seen();
    assert_eq!(seen.len(), 1, "one connection for all: {seen:?}");
    assert_eq!(seen[0].server_name.as_deref(), Some("localhost"));
    assert!(!seen[0].has_certificate);
}

#[test]
fn an_upstream_that_nobody_vouches_for_is_sent_nothing() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let stranger = Authority::new();
    for (identity, reason) in [
        (stranger.issue(&["localhost"]), "UnknownIssuer"),
        (authority.issue(&["other.example"]), "not valid for name"),
        (authority.issue_expired(&["localhost"]), "expired"),
    ] {
        let front = Front::start(ServerSide::of(identity), upstream.address());
        let gateway = with_authority(&authority).api(trusting(&front)).start();
        refused(&gateway, reason);
        assert!(upstream.take().is_empty(), "{reason}");
    }
}

#[test]
fn authorities_of_the_configuration_and_of_the_system_count() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let front = front(&upstream, &authority);
    let api = || Definition::new("api").target(&front.url());
    let gateway = with_authority(&authority)
        .api(api())
        .conf(json!({"proxy_ssl_ca_file": "ca.pem"}))
        .start();
    assert_eq!(gateway.get("/api/").status, 200);
    let gateway = with_authority(&authority)
        .api(api())
        .env("SSL_CERT_FILE", "ca.pem")
        .start();
    assert_eq!(gateway.get("/api/").status, 200);
    let gateway = with_authority(&authority).api(api()).start();
    refused(&gateway, "UnknownIssuer");
}

#[test]
fn checks_are_left_out_only_where_that_is_asked_for() {
    let upstream = Upstream::echo();
    let identity = Authority::new().issue_expired(&["other.example"]);
    let front = Front::start(ServerSide::of(identity), upstream.address());
    let api = || Definition::new("api").target(&front.url());
    let key = "/proxy/transport/ssl_insecure_skip_verify";
    let gateway = gateway().api(api().set(key, true)).start();
    assert_eq!(gateway.get("/api/").status, 200);
    gateway.write_api(&api());
    gateway.reload();
    // A connection that was opened without a check must not serve an API that wants one.
    let response = gateway.get("/api/");
    assert_eq!(response.status, 500, "{response:?}");
    let conf = json!({"proxy_ssl_insecure_skip_verify": true});
    let gateway = crate::gateway().api(api()).conf(conf).start();
    assert_eq!(gateway.get("/api/").status, 200);
}

#[test]
fn the_certificate_of_the_host_is_shown() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let side = ServerSide {
        client_roots: Some(authority.roots()),
        ..ServerSide::of(authority.issue(&["localhost"]))
    };
    let front = Front::start(side, upstream.address());
    let own = authority.issue(&["gateway"]).together();
    let shown = json!({"localhost": "own.pem"});
    let in_definition = trusting(&front).set("/upstream_certificates", shown.clone());
    let in_conf = json!({"security": {"certificates": {"upstream": shown}}});
    let files = || with_authority(&authority).file("own.pem", &own);
    let gateway = files().api(in_definition.clone()).start();
    assert_eq!(gateway.get("/api/").status, 200);
    let gateway = files().api(trusting(&front)).conf(in_conf).start();
    assert_eq!(gateway.get("/api/").status, 200);
    assert!(front.seen().iter().all(|seen| seen.has_certificate));
    assert_eq!(upstream.take().len(), 2);
    for without in [
        in_definition.set("/upstream_certificates_disabled", true),
        trusting(&front),
    ] {
        let gateway = files().api(without).start();
        assert_eq!(gateway.get("/api/").status, 500);
        gateway.wait_for_log_with(&["WARN", "Request failed", "ertificate"]);
        assert!(upstream.take().is_empty());
    }
}

#[test]
fn versions_that_do_not_meet_are_refused() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let side = ServerSide {
        versions: ONLY_1_2,
        ..ServerSide::of(authority.issue(&["localhost"]))
    };
    let front = Front::start(side, upstream.address());
    let gateway = with_authority(&authority)
        .api(trusting(&front).set("/proxy/transport/ssl_min_version", 772))
        .start();
    refused(&gateway, "ProtocolVersion");
    let gateway = with_authority(&authority).api(trusting(&front)).start();
    assert_eq!(gateway.get("/api/").status, 200);
}

#[test]
fn what_does_not_speak_tls_is_refused() {
    let authority = Authority::new();
    let plain = Upstream::replying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let closing = Upstream::serving(|connection| drop(connection.read_some()));
    for (upstream, reason) in [(plain, ""), (closing, "eof")] {
        let url = format!("https://localhost:{}", upstream.address().port());
        let api = Definition::new("api").target(&url);
        let gateway = with_authority(&authority).api(api).start();
        refused(&gateway, reason);
    }
}

#[test]
fn settings_that_cannot_work_are_told_with_their_file() {
    let upstream = Upstream::echo();
    let url = format!("https://localhost:{}", upstream.address().port());
    let cases: [(&str, Value, &[&str]); 5] = [
        (
            "/proxy/transport/ssl_ca_file",
            json!("none.pem"),
            &["cannot read none.pem"],
        ),
        (
            "/proxy/transport/ssl_ca_file",
            json!("text.pem"),
            &["text.pem", "no certificate"],
        ),
        (
            "/upstream_certificates",
            json!({"*": "text.pem"}),
            &["text.pem", "no certificate"],
        ),
        (
            "/proxy/transport/ssl_max_version",
            json!(769),
            &["max_version 769", "no version"],
        ),
        (
            "/proxy/transport/ssl_ciphers",
            json!(["ROT13"]),
            &["ROT13", "TLS_ECDHE"],
        ),
    ];
    for (key, value, parts) in cases {
        let api = Definition::new("api").target(&url).set(key, value);
        let gateway = gateway().file("text.pem", "hello").api(api).start();
        let parts = [&["ERROR", "API `api`: TLS to its upstream"], parts].concat();
        gateway.wait_for_log_with(&parts);
        assert_eq!(gateway.get("/api/").status, 404);
    }
}

#[test]
fn upstreams_of_lists_versions_and_rewrites_are_checked_too() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let front = front(&upstream, &authority);
    let plain = Upstream::echo();
    let listed = Definition::new("api")
        .set("/proxy/target_url", "")
        .set("/proxy/enable_load_balancing", true)
        .set("/proxy/target_list", json!([front.url(), front.url()]));
    let version = "/version_data/versions/Default";
    let overridden = Definition::new("api")
        .upstream(&plain)
        .set(&format!("{version}/override_target"), front.url());
    let rewrite = json!([{
        "path": "x", "method": "GET", "match_pattern": "x",
        "rewrite_to": format!("{}/y", front.url())
    }]);
    let rewritten = Definition::new("api")
        .upstream(&plain)
        .set(&format!("{version}/use_extended_paths"), true)
        .set(&format!("{version}/extended_paths/url_rewrites"), rewrite);
    for api in [listed, overridden, rewritten] {
        let trusting = api.clone().set("/proxy/transport/ssl_ca_file", "ca.pem");
        let gateway = with_authority(&authority).api(trusting).start();
        for _ in 0..2 {
            assert_eq!(gateway.get("/api/x").status, 200, "{}", api.json());
        }
        assert_eq!(upstream.take().len(), 2);
        let gateway = with_authority(&authority).api(api.clone()).start();
        assert_eq!(gateway.get("/api/x").status, 500);
        gateway.wait_for_log_with(&["WARN", "TLS with localhost", "UnknownIssuer"]);
        assert!(upstream.take().is_empty());
        let broken = api.set("/proxy/transport/ssl_ca_file", "none.pem");
        let gateway = crate::gateway().api(broken).start();
        gateway.wait_for_log_with(&["ERROR", "API `api`: TLS to its upstream", "none.pem"]);
    }
}

#[test]
fn bodies_stream_through_tls() {
    let authority = Authority::new();
    let upstream = Upstream::serving(|connection| {
        if connection.next_request().is_none() {
            return;
        }
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
        // The second event only comes when somebody has read the first.
        while connection.read_some().is_some() {}
    });
    let front = front(&upstream, &authority);
    let gateway = with_authority(&authority).api(trusting(&front)).start();
    let mut client = gateway.connect();
    client.send(Request::get("/api/events").bytes());
    let head = client.read_head().unwrap();
    assert_eq!(head.status, 200);
    client.read_until(b"data: 1\n\n").unwrap();
}

#[test]
fn web_sockets_pass_through_tls() {
    let authority = Authority::new();
    let upstream = Upstream::serving(|connection| {
        if connection.next_request().is_none() {
            return;
        }
        connection.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        );
        while let Some(bytes) = connection.read_some() {
            connection.send(bytes);
        }
    });
    let side = ServerSide {
        alpn: &["h2", "http/1.1"],
        ..ServerSide::of(authority.issue(&["localhost"]))
    };
    let front = Front::start(side, upstream.address());
    let conf = json!({
        "http_server_options": {"enable_websockets": true},
        "proxy_enable_http2": true
    });
    let gateway = with_authority(&authority)
        .api(trusting(&front))
        .conf(conf)
        .start();
    let mut client = gateway.connect();
    let request = Request::get("/api/socket")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket");
    assert_eq!(client.request(&request).status, 101);
    client.send("ping");
    assert_eq!(client.read_exactly(4).unwrap(), b"ping");
    assert_eq!(front.seen()[0].alpn, None, "HTTP/2 is not offered for it");
}

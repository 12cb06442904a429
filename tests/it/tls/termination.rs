//! Clients that speak TLS: what is agreed on, what passes, and what becomes of those who do not.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;
use test_harness::{Client, Definition, Gateway, GatewayBuilder, Request, Upstream, wait};

use super::grpc::{self, Server};
use super::{Authority, ClientSide, ONLY_1_2};
use crate::gateway;

/// A gateway with a certificate for `localhost`.
pub(crate) fn with_certificate(authority: &Authority) -> GatewayBuilder {
    let identity = authority.issue(&["localhost"]);
    gateway()
        .file("localhost.pem", identity.together())
        .conf(json!({"http_server_options": {
            "use_ssl": true,
            "ssl_certificates": ["localhost.pem"]
        }}))
}

fn start(authority: &Authority, upstream: &Upstream) -> Gateway {
    let api = Definition::new("api").upstream(upstream);
    with_certificate(authority).api(api).start()
}

fn connect(authority: &Authority, gateway: &Gateway) -> Client {
    Client::connect(ClientSide::of(authority).tunnel(gateway.address()))
}

#[test]
fn requests_come_through_tls_and_say_so() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let gateway = start(&authority, &upstream);
    let mut client = connect(&authority, &gateway);
    let large = vec![b'x'; 1 << 20];
    for body in [&b""[..], b"hello", &large] {
        let request = Request::post("/api/x", body).header("X-Forwarded-Proto", "http");
        let response = client.request(&request);
        assert_eq!(response.status, 200);
        let received = upstream.take_one();
        assert_eq!(received.body.len(), body.len());
        assert_eq!(received.header("X-Forwarded-Proto"), Some("https"));
        assert_eq!(response.json()["body"].as_str().unwrap().len(), body.len());
    }
    assert_eq!(client.request(&Request::get("/nowhere")).status, 404);
    client.send("what is this\r\n\r\n");
    assert_eq!(client.read_final("GET").unwrap().status, 400);
    assert!(client.ends());
}

#[test]
fn a_trusted_proxy_says_how_its_client_came_also_through_tls() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let gateway = with_certificate(&authority)
        .api(Definition::new("api").upstream(&upstream))
        .conf(json!({"http_server_options": {"trusted_proxies": ["127.0.0.1"]}}))
        .start();
    let mut client = connect(&authority, &gateway);
    for (said, seen) in [(Some("http"), "http"), (None, "https")] {
        let mut request = Request::get("/api/");
        if let Some(said) = said {
            request = request.header("X-Forwarded-Proto", said);
        }
        assert_eq!(client.request(&request).status, 200);
        let received = upstream.take_one();
        assert_eq!(received.header("X-Forwarded-Proto"), Some(seen));
    }
}

#[test]
fn http2_is_agreed_on_where_it_is_offered() {
    let (authority, server) = (Authority::new(), Server::start());
    let api = Definition::new("api").target(&server.url());
    let gateway = with_certificate(&authority).api(api).start();
    grpc::run(async {
        let side = ClientSide {
            alpn: &["h2", "http/1.1"],
            ..ClientSide::of(&authority)
        };
        let stream = side.connect(gateway.address()).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let client = grpc::Client::on(stream).await;
        for _ in 0..3 {
            let answer = client.call("/api/pkg.Service/Call", "hello").await.unwrap();
            assert_eq!(
                (answer.grpc_status(), &*answer.body),
                (Some("0"), &b"echo:hello"[..])
            );
        }
    });
    let head = &server.requests()[0].head;
    assert_eq!(head.headers()["x-forwarded-proto"], "https");
}

#[test]
fn http2_is_not_offered_where_it_is_off() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let gateway = with_certificate(&authority)
        .api(Definition::new("api").upstream(&upstream))
        .conf(json!({"http_server_options": {"enable_http2": false}}))
        .start();
    let side = ClientSide {
        alpn: &["h2", "http/1.1"],
        ..ClientSide::of(&authority)
    };
    let stream = grpc::run(side.connect(gateway.address())).unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    // Who speaks it all the same is not served.
    let mut client = connect(&authority, &gateway);
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(client.ends());
}

#[test]
fn versions_below_the_minimum_are_refused() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let side = || ClientSide {
        versions: ONLY_1_2,
        ..ClientSide::of(&authority)
    };
    for (minimum, works) in [(771, true), (772, false)] {
        let gateway = with_certificate(&authority)
            .api(Definition::new("api").upstream(&upstream))
            .conf(json!({"http_server_options": {"min_version": minimum}}))
            .start();
        let outcome = grpc::run(side().connect(gateway.address()));
        assert_eq!(outcome.is_ok(), works, "{minimum}: {outcome:?}");
    }
}

#[test]
fn plain_http_is_told_and_other_bytes_are_not_answered() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let gateway = start(&authority, &upstream);
    let mut client = gateway.connect();
    client.send("GET /api/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let mut all = Vec::new();
    while let Ok(bytes) = client.read_some() {
        all.extend(bytes);
    }
    let told = "HTTP/1.0 400 Bad Request\r\n\r\n\
                Client sent an HTTP request to an HTTPS server.\n";
    assert_eq!(String::from_utf8(all).unwrap(), told);
    // The beginning of a handshake, and then nothing or nonsense.
    for bytes in [
        &b"\0\0\0\0"[..],
        &[22, 3, 1, 0, 200, 1],
        &[22, 3, 1, 0, 4, 9, 9, 9, 9],
    ] {
        let mut client = gateway.connect();
        client.send(bytes).half_close();
        while client.read_some().is_ok() {}
    }
    assert!(upstream.take().is_empty());
    assert_eq!(
        connect(&authority, &gateway)
            .request(&Request::get("/api/"))
            .status,
        200
    );
}

#[test]
fn slow_handshakes_hold_up_nobody_and_end() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let gateway = with_certificate(&authority)
        .api(Definition::new("api").upstream(&upstream))
        .conf(json!({"workers": 1, "http_server_options": {"tls_handshake_timeout": 1}}))
        .start();
    let mut slow: Vec<TcpStream> = (0..50)
        .map(|number| {
            let mut stream = TcpStream::connect(gateway.address()).unwrap();
            stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
            // Some say nothing at all, others a part of their first message.
            if number % 2 == 0 {
                stream.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
            }
            stream
        })
        .collect();
    let response = connect(&authority, &gateway).request(&Request::get("/api/"));
    assert_eq!(response.status, 200);
    for stream in &mut slow {
        // Closed or reset, but not kept.
        assert!(matches!(stream.read(&mut [0; 64]), Ok(0) | Err(_)));
    }
}

#[test]
fn events_and_web_sockets_pass_at_once() {
    let authority = Authority::new();
    let upstream = Upstream::serving(|connection| {
        let Some(received) = connection.next_request() else {
            return;
        };
        if received.target == "/socket" {
            connection.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\n\r\n",
            );
            while let Some(bytes) = connection.read_some() {
                connection.send(bytes);
            }
        } else {
            connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
            connection.send("data: 1\n\n");
            // Nothing more comes until the client has gone.
            while connection.read_some().is_some() {}
        }
    });
    let gateway = with_certificate(&authority)
        .api(Definition::new("api").upstream(&upstream))
        .conf(json!({"http_server_options": {"enable_websockets": true}}))
        .start();
    let mut client = connect(&authority, &gateway);
    client.send(Request::get("/api/events").bytes());
    assert_eq!(client.read_head().unwrap().status, 200);
    client.read_until(b"data: 1\n\n").unwrap();
    let mut client = connect(&authority, &gateway);
    let request = Request::get("/api/socket")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket");
    assert_eq!(client.request(&request).status, 101);
    for message in ["ping", "pong"] {
        client.send(message);
        assert_eq!(client.read_exactly(4).unwrap(), message.as_bytes());
    }
}

#[test]
fn the_control_port_speaks_tls_too_and_idle_connections_end_with_the_gateway() {
    let authority = Authority::new();
    let port = test_harness::ports::reserve();
    let gateway = with_certificate(&authority)
        .conf(json!({"control_api_port": port}))
        .start();
    let address = ([127, 0, 0, 1], port).into();
    let mut client = Client::connect(ClientSide::of(&authority).tunnel(address));
    let request = Request::get("/tyk/apis").header("X-Tyk-Authorization", "wrong");
    assert_eq!(client.request(&request).status, 403);
    let mut idle = connect(&authority, &gateway);
    assert_eq!(idle.request(&Request::get("/hello")).status, 200);
    assert!(gateway.stop().success());
    assert!(idle.ends());
}

//! Upstreams that speak HTTP/2, as gRPC needs them: trailers, bodies both ways, shared
//! connections and their ends.

use h2::Reason;
use serde_json::json;
use test_harness::{Definition, Gateway, GatewayBuilder, Request, Upstream, wait};

use super::grpc::{Client, Server, answer, run};
use super::{Authority, Front, ServerSide};
use crate::gateway;

fn one_worker() -> GatewayBuilder {
    gateway().conf(json!({"workers": 1}))
}

fn start(server: &Server) -> Gateway {
    let api = Definition::new("api").target(&server.url());
    one_worker().api(api).start()
}

#[test]
fn calls_and_their_trailers_pass_both_ways() {
    let server = Server::start();
    let gateway = start(&server);
    let answer = run(async {
        let client = Client::connect(gateway.address()).await;
        client.call("/api/pkg.Service/Call", "hello").await
    });
    let answer = answer.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, b"echo:hello");
    assert_eq!(answer.headers["content-type"], "application/grpc");
    assert_eq!(answer.grpc_status(), Some("0"));
    let received = &server.requests()[0];
    let head = &received.head;
    assert_eq!(
        head.uri().to_string(),
        format!("http://{}/pkg.Service/Call", server.address)
    );
    assert_eq!(head.headers()["te"], "trailers");
    assert_eq!(head.headers()["x-forwarded-for"], "127.0.0.1");
    for name in ["connection", "transfer-encoding", "host"] {
        assert!(!head.headers().contains_key(name), "{name}");
    }
    assert_eq!(received.body, b"hello");
    assert_eq!(received.trailers.as_ref().unwrap()["x-sent"], "all");
}

#[test]
fn many_requests_share_one_connection() {
    let server = Server::start();
    let gateway = start(&server);
    run(async {
        let client = Client::connect(gateway.address()).await;
        // All of them are open at the same time, and none has ended when the last begins.
        let mut calls = Vec::new();
        for _ in 0..20 {
            calls.push(client.begin("/api/both-ways").await);
        }
        for (response, mut sender) in calls {
            sender.send_data("x".into(), true).unwrap();
            assert_eq!(answer(response).await.unwrap().body, b"x");
        }
    });
    assert_eq!(server.connections(), 1);
}

#[test]
fn messages_pass_one_by_one_in_both_directions() {
    let server = Server::start();
    let gateway = start(&server);
    run(async {
        let client = Client::connect(gateway.address()).await;
        let (response, mut sender) = client.begin("/api/both-ways").await;
        let mut body = response.await.unwrap().into_body();
        for message in ["one", "two", "three"] {
            sender.send_data(message.into(), false).unwrap();
            let echoed = body.data().await.unwrap().unwrap();
            assert_eq!(echoed, message);
            body.flow_control().release_capacity(echoed.len()).unwrap();
        }
        sender.send_data("".into(), true).unwrap();
        let (rest, trailers) = super::grpc::read(&mut body).await.unwrap();
        assert!(rest.is_empty());
        assert_eq!(trailers.unwrap()["grpc-status"], "0");
    });
}

#[test]
fn outcomes_without_a_body_and_broken_streams_are_passed_on() {
    let server = Server::start();
    let gateway = start(&server);
    run(async {
        let client = Client::connect(gateway.address()).await;
        let answer = client.call("/api/trailers-only", "x").await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.grpc_status()),
            (200, Some("5"))
        );
        let (response, mut sender) = client.begin("/api/reset").await;
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "part");
        // The server breaks off when it has all, and not before the part has come.
        sender.send_data("".into(), true).unwrap();
        let broken = super::grpc::read(&mut body).await.map(|_| ());
        assert!(
            broken.as_ref().is_err_and(h2::Error::is_reset),
            "{broken:?}"
        );
        let after = client.call("/api/after", "x").await.unwrap();
        assert_eq!(after.grpc_status(), Some("0"), "only that one is broken");
    });
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_client_that_gives_up_is_told_to_the_upstream() {
    let server = Server::start();
    let gateway = start(&server);
    run(async {
        let client = Client::connect(gateway.address()).await;
        let (response, mut sender) = client.begin("/api/both-ways").await;
        let response = response.await.unwrap();
        sender.send_reset(Reason::CANCEL);
        drop(response);
        // The client's connection has to be driven until the reset is out.
        let after = client.call("/api/after", "x").await.unwrap();
        assert_eq!(after.grpc_status(), Some("0"));
    });
    wait::until("the upstream's stream ends", || {
        server.requests().iter().any(|request| request.is_broken)
    });
}

#[test]
fn what_the_upstream_has_not_looked_at_is_sent_again() {
    let server = Server::start();
    let gateway = start(&server);
    let answer = gateway.get("/api/refused-once");
    assert_eq!((answer.status, &*answer.text()), (200, "echo:"));
    assert_eq!(server.requests().len(), 2);
    // A connection that ends after its last answer does not cost the next request.
    for path in ["/api/goodbye", "/api/goodbye", "/api/x"] {
        assert_eq!(gateway.post(path, "x").status, 200, "{path}");
    }
    assert!(server.connections() > 2, "{}", server.connections());
}

#[test]
fn http1_clients_are_served_by_http2_upstreams() {
    let server = Server::start();
    let gateway = start(&server);
    let mut client = gateway.connect();
    for body in ["", "hello"] {
        let response = client.request(&Request::post("/api/x", body));
        assert_eq!(response.status, 200);
        assert_eq!(response.text(), format!("echo:{body}"));
    }
    let chunked = Request::new("POST", "/api/x")
        .header("Transfer-Encoding", "chunked")
        .header("TE", "trailers")
        .header("Connection", "TE");
    client.send(chunked.bytes()).send("2\r\nhi\r\n0\r\n\r\n");
    assert_eq!(client.read_final("POST").unwrap().text(), "echo:hi");
    assert_eq!(server.requests()[2].head.headers()["te"], "trailers");
    assert_eq!(server.connections(), 1);
}

#[test]
fn upstreams_that_do_not_speak_it_are_refused() {
    let http1 = Upstream::replying("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    for url in [
        format!("h2c://{}", http1.address()),
        Upstream::nobody().replace("http:", "h2c:"),
    ] {
        let api = Definition::new("api").target(&url);
        let response = gateway().api(api).start().get("/api/");
        response.assert_error(500, "There was a problem proxying the request");
    }
}

#[test]
fn web_sockets_need_http1() {
    let server = Server::start();
    let api = Definition::new("api").target(&server.url());
    let conf = json!({"http_server_options": {"enable_websockets": true}});
    let request = Request::get("/api/")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket");
    let response = gateway().api(api).conf(conf).start().send(&request);
    response.assert_error(502, "There was a problem proxying the request");
}

#[test]
fn https_upstreams_choose_the_protocol() {
    let (authority, http2, http1) = (Authority::new(), Server::start(), Upstream::echo());
    let front = |alpn, plain| {
        let side = ServerSide {
            alpn,
            ..ServerSide::of(authority.issue(&["localhost"]))
        };
        Front::start(side, plain)
    };
    let (both, one) = (&["h2", "http/1.1"][..], &["http/1.1"][..]);
    for (offered, alpn, address, expected) in [
        (true, both, http2.address, Some("h2")),
        (true, one, http1.address(), Some("http/1.1")),
        (true, &[], http1.address(), None),
        (false, both, http1.address(), None),
    ] {
        let front = front(alpn, address);
        let api = Definition::new("api")
            .target(&front.url())
            .set("/proxy/transport/ssl_ca_file", "ca.pem");
        let gateway = one_worker()
            .file("ca.pem", &authority.pem)
            .api(api)
            .conf(json!({"proxy_enable_http2": offered}))
            .start();
        for _ in 0..2 {
            assert_eq!(gateway.post("/api/x", "x").status, 200, "{alpn:?}");
        }
        let seen = front.seen();
        assert_eq!(seen.len(), 1, "one connection: {seen:?}");
        assert_eq!(seen[0].alpn.as_deref(), expected, "{alpn:?}");
    }
    assert_eq!(http2.requests()[0].head.uri().scheme_str(), Some("https"));
}

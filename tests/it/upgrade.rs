//! RFC 9110, section 7.8, and RFC 6455: tunnels that a client asked for, and no others.

use serde_json::json;
use test_harness::{Client, Connection, Definition, Gateway, Request, Upstream};

use crate::gateway;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn handshake(path: &str) -> Request {
    Request::get(path)
        .header("Connection", "keep-alive, Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Key", KEY)
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Protocol", "chat")
}

fn switching() -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    )
}

fn start(upstream: &Upstream, enabled: bool) -> Gateway {
    gateway()
        .api(Definition::new("ws").upstream(upstream))
        .conf(json!({"http_server_options": {"enable_websockets": enabled}}))
        .start()
}

fn tunnel(serve: impl Fn(&mut Connection) + Send + Sync + 'static) -> (Gateway, Client, Upstream) {
    let upstream = Upstream::serving(move |connection| {
        if connection.next_head().is_some() {
            connection.send(switching());
            serve(connection);
        }
    });
    let gateway = start(&upstream, true);
    let mut client = gateway.connect();
    let response = client.request(&handshake("/ws/chat?room=1"));
    assert_eq!(response.status, 101, "{response:?}");
    assert_eq!(response.header("Sec-WebSocket-Accept"), Some(ACCEPT));
    assert_eq!(response.header("Sec-WebSocket-Protocol"), Some("chat"));
    assert!(
        response
            .header("Upgrade")
            .is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
    );
    assert!(
        response
            .header("Connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("upgrade"))
    );
    (gateway, client, upstream)
}

#[test]
fn bytes_pass_both_ways_as_they_are() {
    let (_gateway, mut client, upstream) = tunnel(|connection| {
        while let Some(bytes) = connection.read_some() {
            let answer: Vec<u8> = bytes.iter().map(|byte| byte ^ 0xff).collect();
            connection.send(answer);
        }
    });
    for message in [
        b"\x81\x05hello".to_vec(),
        vec![0; 1000],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
    ] {
        client.send(&message);
        let expected: Vec<u8> = message.iter().map(|byte| byte ^ 0xff).collect();
        assert_eq!(client.read_exactly(message.len()).unwrap(), expected);
    }
    let seen = upstream.take_one();
    assert_eq!(seen.target, "/chat?room=1");
    assert_eq!(seen.header("Sec-WebSocket-Key"), Some(KEY));
    assert_eq!(seen.header("Sec-WebSocket-Version"), Some("13"));
    assert!(
        seen.header("Upgrade")
            .is_some_and(|value| value.eq_ignore_ascii_case("websocket"))
    );
    assert!(
        seen.header("Connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("upgrade"))
    );
    assert!(seen.header("X-Forwarded-For").is_some());
}

#[test]
fn what_the_upstream_says_first_arrives_first() {
    let upstream = Upstream::serving(|connection| {
        if connection.next_head().is_some() {
            connection.send(switching() + "early bytes");
            while connection.read_some().is_some() {}
        }
    });
    let gateway = start(&upstream, true);
    let mut client = gateway.connect();
    assert_eq!(client.request(&handshake("/ws/")).status, 101);
    assert_eq!(client.read_exactly(11).unwrap(), b"early bytes");
}

#[test]
fn the_end_of_one_side_ends_the_other() {
    let (_gateway, mut client, _upstream) = tunnel(|connection| connection.send("bye"));
    assert_eq!(client.read_exactly(3).unwrap(), b"bye");
    assert!(client.ends());

    let (ended, end) = std::sync::mpsc::channel();
    let ended = std::sync::Mutex::new(ended);
    let (_gateway, client, _upstream) = tunnel(move |connection| {
        while connection.read_some().is_some() {}
        let _ = ended.lock().unwrap().send(());
    });
    drop(client);
    end.recv_timeout(test_harness::wait::DEADLINE)
        .expect("the upstream is let go");
}

#[test]
fn an_upstream_may_refuse_and_the_connection_lives_on() {
    let upstream = Upstream::answering(|received| match received.header("Upgrade") {
        Some(_) => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno".to_vec(),
        None => b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes".to_vec(),
    });
    let gateway = start(&upstream, true);
    let mut client = gateway.connect();
    let response = client.request(&handshake("/ws/"));
    assert_eq!((response.status, response.text().as_str()), (403, "no"));
    assert_eq!(client.request(&Request::get("/ws/")).text(), "yes");
}

#[test]
fn without_the_option_nothing_is_upgraded() {
    let upstream = Upstream::echo();
    let gateway = start(&upstream, false);
    let response = gateway.send(&handshake("/ws/"));
    assert!(response.status != 101, "{response:?}");
    for seen in upstream.take() {
        assert_eq!(seen.header("Upgrade"), None, "{seen:?}");
    }
}

#[test]
fn half_an_upgrade_is_an_ordinary_request() {
    let upstream = Upstream::echo();
    let gateway = start(&upstream, true);
    for request in [
        Request::get("/ws/").header("Upgrade", "websocket"),
        Request::get("/ws/").header("Connection", "upgrade"),
        Request::get("/ws/")
            .header("Connection", "upgrade")
            .header("Upgrade", "h2c"),
    ] {
        assert_eq!(gateway.send(&request).status, 200, "{request:?}");
        let seen = upstream.take_one();
        assert_eq!(
            (seen.header("Upgrade"), seen.header("Connection")),
            (None, None),
            "{seen:?}"
        );
    }
}

#[test]
fn an_upstream_cannot_switch_unasked_or_to_something_else() {
    for (request, answer) in [
        (Request::get("/ws/"), switching()),
        (Request::post("/ws/", "x"), switching()),
        (
            handshake("/ws/"),
            switching().replace("Upgrade: websocket", "Upgrade: other"),
        ),
    ] {
        let upstream = Upstream::replying_once(&answer);
        let gateway = start(&upstream, true);
        gateway
            .send(&request)
            .assert_error(502, "There was a problem proxying the request");
    }
}

#[test]
fn what_the_client_says_before_the_answer_arrives_after_it() {
    let upstream = Upstream::serving(|connection| {
        if connection.next_head().is_some() {
            connection.send(switching());
            if let Some(bytes) = connection.read_until(b"hasty") {
                connection.send([b"got ".as_slice(), &bytes].concat());
            }
        }
    });
    let gateway = start(&upstream, true);
    let mut client = gateway.connect();
    let mut bytes = handshake("/ws/").bytes();
    bytes.extend_from_slice(b"hasty");
    client.send(bytes);
    assert_eq!(client.read_final("GET").unwrap().status, 101);
    assert_eq!(client.read_exactly(9).unwrap(), b"got hasty");
}

#[test]
fn http_1_0_knows_no_upgrade() {
    let upstream = Upstream::echo();
    let gateway = start(&upstream, true);
    let mut client = gateway.connect();
    let bytes = String::from_utf8(handshake("/ws/").bytes()).unwrap();
    client.send(bytes.replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(client.read_final("GET").unwrap().status, 200);
    assert_eq!(upstream.take_one().header("Upgrade"), None);
}

#[test]
fn large_messages_pass_both_ways_at_once() {
    let (_gateway, mut client, _upstream) = tunnel(|connection| {
        while let Some(bytes) = connection.read_some() {
            connection.send(bytes);
        }
    });
    let message: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    for piece in message.chunks(20_000) {
        client.send(piece);
        assert!(client.read_exactly(piece.len()).unwrap() == piece);
    }
}

#[test]
fn an_open_tunnel_does_not_hold_the_drain_up_for_ever() {
    let upstream = Upstream::serving(|connection| {
        if connection.next_head().is_some() {
            connection.send(switching());
            while connection.read_some().is_some() {}
        }
    });
    let mut gateway = gateway()
        .api(Definition::new("ws").upstream(&upstream))
        .conf(json!({
            "http_server_options": {"enable_websockets": true},
            "graceful_shutdown_timeout_duration": 1
        }))
        .start();
    let mut client = gateway.connect();
    assert_eq!(client.request(&handshake("/ws/")).status, 101);
    gateway.signal("TERM");
    let _status = gateway.wait_for_exit();
    assert!(client.ends());
}

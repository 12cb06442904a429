//! What is sent, and what becomes of calls that fail.

use std::time::Duration;

use coprocess_core::{CoProcessLanguage as _, DispatchError, Event, Session};
use http::HeaderValue;
use lang_grpc::proto;
use serde_json::json;

use crate::harness::{Gateway, until};
use crate::server::{Answer, Server};

fn echo(object: &proto::Object) -> Answer {
    Answer::Object(Box::new(object.clone()))
}

#[test]
fn all_that_a_hook_may_see_is_sent() {
    let server = Server::start(echo);
    let gateway = Gateway::of(&server);
    let mut object = gateway.object();
    let parent = HeaderValue::from_static("00-1-2-01");
    object.request.headers.insert("traceparent", parent);
    object.session = Some(Box::new(Session {
        alias: "caller".to_owned(),
        ..Session::default()
    }));
    gateway.dispatch(object).unwrap();
    let [seen] = server.seen().try_into().unwrap();
    assert_eq!(seen.path, "/coprocess.Dispatcher/Dispatch");
    assert_eq!(seen.authority, server.address().to_string());
    assert_eq!(seen.headers["traceparent"], "00-1-2-01");
    assert_eq!(seen.headers["te"], "trailers");
    let object = seen.object;
    assert_eq!(object.hook_name, "Function");
    assert_eq!(object.hook_type(), proto::HookType::Post);
    assert_eq!(object.spec["APIID"], "api");
    assert_eq!(object.spec["config_data"], "{}");
    assert_eq!(object.session.unwrap().alias, "caller");
    let request = object.request.unwrap();
    assert_eq!(request.headers["X-Many"], "1");
    assert_eq!(request.headers["Host"], "a.example");
    let many = request.multivalue_headers;
    let many = many.iter().find(|header| header.key == "X-Many").unwrap();
    assert_eq!(many.values, ["1", "2"]);
    assert_eq!(
        (&*request.url, &*request.request_uri),
        ("/path?a=1&b=%20", "/path?a=1&b=%20")
    );
    assert_eq!((&*request.params["a"], &*request.params["b"]), ("1", " "));
    assert_eq!((&*request.method, &*request.scheme), ("POST", "http"));
    assert_eq!(
        (&*request.body, &*request.raw_body),
        ("body", b"body".as_slice())
    );
    assert_eq!(request.return_overrides.unwrap().response_code, -1);
    assert_eq!(
        (&*request.client_address, &*request.listen_path),
        ("10.0.0.1", "/listen/")
    );
    assert_eq!(request.request_id.len(), 32);
    assert_eq!(request.client_certificate["subject"], "CN=me.example");
}

#[test]
fn every_call_has_a_deadline_and_its_end_is_the_time_limit() {
    let server = Server::start(|_| Answer::Status(4, "late"));
    let gateway = Gateway::of(&server);
    let error = gateway.dispatch(gateway.object()).unwrap_err();
    assert!(matches!(error, DispatchError::TimeLimit { .. }), "{error}");
    let deadline = server.seen()[0].headers["grpc-timeout"].clone();
    assert_eq!(deadline, "10000000u");
}

#[test]
fn a_call_that_nobody_waits_for_is_cancelled() {
    let server = Server::start(|_| Answer::Silence);
    let gateway = Gateway::of(&server);
    gateway.runtime.block_on(async {
        let call = gateway.language.dispatch(gateway.object());
        let given_up = tokio::time::timeout(Duration::from_millis(50), call).await;
        assert!(given_up.is_err());
        // The connection is driven here, so this is where the cancellation leaves.
        let end = tokio::time::Instant::now() + Duration::from_secs(20);
        while server.cancelled() == 0 && tokio::time::Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert_eq!((server.cancelled(), server.connections()), (1, 1));
}

#[test]
fn what_a_server_refuses_is_told_with_its_words() {
    for (code, expected) in [
        (3, "answered InvalidArgument: its words"),
        (12, "answered Unimplemented: its words"),
        (14, "its words"),
        (8, "its words; limits of size are grpc_recv_max_size"),
    ] {
        let server = Server::start(move |_| Answer::Status(code, "its words"));
        let gateway = Gateway::of(&server);
        let text = gateway.failure(gateway.object());
        assert!(text.contains(&format!("server {}", server.url)), "{text}");
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn garbage_is_an_error_and_the_next_call_is_none() {
    let server = Server::start(
        |object| match object.request.as_ref().unwrap().body.as_str() {
            "bytes" => Answer::Bytes(vec![0xff; 40]),
            "page" => Answer::Page,
            "end" => Answer::End,
            _ => echo(object),
        },
    );
    let gateway = Gateway::of(&server);
    for body in ["bytes", "page", "end"] {
        let mut object = gateway.object();
        object.request.raw_body = body.into();
        let text = gateway.failure(object);
        assert!(text.contains(&server.url), "{body}: {text}");
        until("a call succeeds", || {
            gateway.dispatch(gateway.object()).is_ok()
        });
    }
}

#[test]
fn sizes_are_limited_both_ways() {
    let server = Server::start(echo);
    let large = |gateway: &Gateway| {
        let mut object = gateway.object();
        object.request.raw_body = vec![0xff; 5 << 20].into();
        gateway.dispatch(object)
    };
    let options = |more: serde_json::Value| {
        let mut options = json!({"coprocess_grpc_server": server.url});
        options
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        Gateway::new(options)
    };
    let text = large(&options(json!({}))).unwrap_err().to_string();
    assert!(text.contains("grpc_recv_max_size"), "{text}");
    let text = large(&options(json!({"grpc_send_max_size": 1000})));
    let text = text.unwrap_err().to_string();
    assert!(text.contains("grpc_send_max_size"), "{text}");
    let returned = large(&options(json!({"grpc_recv_max_size": 6 << 20}))).unwrap();
    assert_eq!(returned.request.raw_body.len(), 5 << 20);
}

#[test]
fn events_go_to_the_server_and_failures_to_the_log() {
    let server = Server::start(echo);
    let gateway = Gateway::of(&server);
    let event = |payload: &str| Event::new("on", gateway.handler(), payload.to_owned());
    gateway.language.trigger_event(event("first"));
    gateway.language.trigger_event(event("second"));
    until("both events arrive", || server.seen().len() == 2);
    let mut seen: Vec<_> = server.seen().into_iter().map(|seen| seen.event).collect();
    seen.sort();
    assert_eq!(seen, ["first", "second"]);
    assert_eq!(server.seen()[0].path, "/coprocess.Dispatcher/DispatchEvent");
    let silent = Server::start(|_| Answer::Silence);
    let gateway = Gateway::of(&silent);
    let mut event = Event::new("on", gateway.handler(), String::new());
    event.time_limit = Duration::from_millis(50);
    gateway.language.trigger_event(event);
    gateway.host.expect_line(
        coprocess_core::LogLevel::Error,
        "grpc",
        "event handler `on` of API ``: hook ran longer than 50ms",
    );
    gateway.language.shutdown();
}

//! What an upstream is told besides the target: headers, method, body.

use serde_json::json;
use test_harness::{Definition, Gateway, Received, Request, Upstream};

use crate::gateway;

struct Setup {
    gateway: Gateway,
    upstream: Upstream,
}

impl Setup {
    fn new(change: impl Fn(Definition) -> Definition) -> Self {
        let upstream = Upstream::echo();
        let api = change(Definition::new("a").upstream(&upstream));
        let gateway = gateway().api(api).start();
        Self { gateway, upstream }
    }

    #[track_caller]
    fn seen(&self, request: &Request) -> Received {
        let response = self.gateway.send(request);
        assert_eq!(response.status, 200, "{response:?}");
        let seen = self.upstream.take_one();
        assert!(seen.complete && seen.problems.is_empty(), "{seen:?}");
        seen
    }
}

#[test]
fn host_is_the_targets_unless_it_is_preserved() {
    let request = Request::get("/a/").header("Host", "shop.example:8443");
    let setup = Setup::new(|api| api);
    let target = setup.upstream.address().to_string();
    assert_eq!(setup.seen(&request).header("Host"), Some(target.as_str()));
    let setup = Setup::new(Definition::preserve_host);
    assert_eq!(
        setup.seen(&request).header("Host"),
        Some("shop.example:8443")
    );
}

#[test]
fn the_clients_address_is_appended_to_x_forwarded_for() {
    let setup = Setup::new(|api| api);
    for (sent, seen) in [
        (&[][..], "127.0.0.1"),
        (&["203.0.113.7"][..], "203.0.113.7, 127.0.0.1"),
        (&["1.1.1.1, 2.2.2.2"][..], "1.1.1.1, 2.2.2.2, 127.0.0.1"),
        (&["1.1.1.1", "2.2.2.2"][..], "1.1.1.1, 2.2.2.2, 127.0.0.1"),
    ] {
        let request = sent.iter().fold(Request::get("/a/"), |request, value| {
            request.header("X-Forwarded-For", value)
        });
        assert_eq!(
            setup
                .seen(&request)
                .header_values("X-Forwarded-For")
                .join(", "),
            seen
        );
    }
}

#[test]
fn only_trusted_proxies_say_how_their_client_came() {
    for (trusted, seen) in [(json!([]), None), (json!(["127.0.0.0/8"]), Some("https"))] {
        let upstream = Upstream::echo();
        let gateway = gateway()
            .api(Definition::new("a").upstream(&upstream))
            .conf(json!({"http_server_options": {"trusted_proxies": trusted}}))
            .start();
        let request = Request::get("/a/").header("X-Forwarded-Proto", "https");
        assert_eq!(gateway.send(&request).status, 200);
        assert_eq!(upstream.take_one().header("X-Forwarded-Proto"), seen);
        // Without a word of the client there is none.
        assert_eq!(gateway.get("/a/").status, 200);
        assert_eq!(upstream.take_one().header("X-Forwarded-Proto"), None);
    }
}

#[test]
fn the_operator_may_say_how_clients_came() {
    let version = json!({
        "name": "Default", "global_headers": {"X-Forwarded-Proto": "https"},
    });
    let setup = Setup::new(|api| api.set("/version_data/versions/Default", version.clone()));
    let request = Request::get("/a/").header("X-Forwarded-Proto", "http");
    let seen = setup.seen(&request);
    assert_eq!(seen.header_values("X-Forwarded-Proto"), ["https"]);
}

#[test]
fn a_user_agent_is_added_only_where_there_is_none() {
    let setup = Setup::new(|api| api);
    let seen = setup.seen(&Request::get("/a/"));
    assert!(
        seen.header("User-Agent")
            .is_some_and(|agent| agent.starts_with("Tyk/")),
        "{seen:?}"
    );
    let seen = setup.seen(&Request::get("/a/").header("User-Agent", "mine/1"));
    assert_eq!(seen.header("User-Agent"), Some("mine/1"));
}

#[test]
fn other_headers_pass_unchanged_and_in_order() {
    let setup = Setup::new(|api| api);
    let seen = setup.seen(
        &Request::get("/a/")
            .header("Accept-Encoding", "br, gzip")
            .header("X-Many", "one")
            .header("Cookie", "a=1; b=2")
            .header("X-Many", "two")
            .header("Authorization", "Bearer x")
            .header("X-Utf8", "grüße".as_bytes())
            .header("X-Empty", ""),
    );
    assert_eq!(seen.header("Accept-Encoding"), Some("br, gzip"));
    assert_eq!(
        seen.header_values("X-Many").join("|").replace(", ", "|"),
        "one|two"
    );
    assert_eq!(seen.header("Cookie"), Some("a=1; b=2"));
    assert_eq!(seen.header("Authorization"), Some("Bearer x"));
    assert_eq!(seen.header("X-Utf8"), Some("grüße"));
    assert_eq!(seen.header("X-Empty"), Some(""));
}

#[test]
fn any_method_passes_with_or_without_a_body() {
    let setup = Setup::new(|api| api);
    for method in [
        "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH",
    ] {
        let seen = setup.seen(&Request::new(method, "/a/x"));
        assert_eq!((seen.method.as_str(), seen.body.len()), (method, 0));
        let seen = setup.seen(&Request::new(method, "/a/x").body("body"));
        assert_eq!(
            (seen.method.as_str(), seen.body.as_slice()),
            (method, &b"body"[..])
        );
    }
}

#[test]
fn a_request_without_a_body_stays_without_one() {
    let setup = Setup::new(|api| api);
    let seen = setup.seen(&Request::get("/a/"));
    assert_eq!(seen.header("Transfer-Encoding"), None, "{seen:?}");
    assert!(
        matches!(seen.header("Content-Length"), None | Some("0")),
        "{seen:?}"
    );
    let seen = setup.seen(&Request::post("/a/", ""));
    assert_eq!(seen.header("Content-Length"), Some("0"), "{seen:?}");
}

#[test]
fn binary_bodies_pass_to_the_byte_both_ways() {
    let body: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let upstream = Upstream::answering(|received| {
        test_harness::upstream::response(200, "application/octet-stream", &received.body)
    });
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    let response = gateway.post("/a/", body.clone());
    assert_eq!(response.header("Content-Length"), Some("300000"));
    assert!(response.body == body && upstream.take_one().body == body);
}

#[test]
fn responses_keep_status_headers_and_repetitions() {
    let upstream = Upstream::replying(
        "HTTP/1.1 418 I'm a teapot\r\nSet-Cookie: a=1\r\nX-One: 1\r\nSet-Cookie: b=2; Path=/\r\n\
         Content-Type: text/x-tea\r\nContent-Length: 3\r\n\r\ntea",
    );
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    let response = gateway.get("/a/");
    assert_eq!((response.status, response.text().as_str()), (418, "tea"));
    assert_eq!(response.header_values("Set-Cookie"), ["a=1", "b=2; Path=/"]);
    assert_eq!(response.header("X-One"), Some("1"));
    assert_eq!(response.header("Content-Type"), Some("text/x-tea"));
    assert_eq!(response.header("Content-Length"), Some("3"));
    assert!(response.header("X-Generator").is_none());
}

#[test]
fn proxied_responses_carry_the_rate_limit_headers() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    let response = gateway.get("/a/");
    for name in [
        "X-RateLimit-Limit",
        "X-RateLimit-Remaining",
        "X-RateLimit-Reset",
    ] {
        assert_eq!(response.header(name), Some("0"), "{name}");
    }
}

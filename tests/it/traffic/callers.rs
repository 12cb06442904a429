//! Who may call: other origins, addresses.

use serde_json::{Value, json};
use test_harness::{Definition, Gateway, Request, Upstream};

use crate::gateway;

fn with_cors(cors: Value) -> (Gateway, Upstream) {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\nVary: Accept\r\nAccess-Control-Allow-Origin: http://upstream\r\n\
          Content-Length: 0\r\n\r\n"
            .to_vec()
    });
    let api = Definition::new("a").upstream(&upstream).set("/CORS", cors);
    let api = api.set("/use_keyless", false).set(
        "/version_data/versions/Default/paths/ignored",
        json!(["/open"]),
    );
    (gateway().api(api).start(), upstream)
}

fn preflight(origin: &str, method: &str) -> Request {
    Request::new("OPTIONS", "/a/x")
        .header("Origin", origin)
        .header("Access-Control-Request-Method", method)
}

#[test]
fn a_preflight_is_answered_before_anything_else() {
    let (gateway, upstream) = with_cors(json!({
        "enable": true,
        "allowed_origins": ["http://one.test", "https://*.two.test"],
        "allowed_methods": ["GET", "put"],
        "allowed_headers": ["X-One", "Content-Type"],
        "allow_credentials": true,
        "max_age": 24,
    }));
    for (request, allowed) in [
        (preflight("http://one.test", "GET"), Some("http://one.test")),
        (preflight("HTTP://One.test", "PUT"), Some("HTTP://One.test")),
        (
            preflight("https://a.two.test", "GET"),
            Some("https://a.two.test"),
        ),
        (preflight("https://.two.tes", "GET"), None),
        (preflight("https://a.two.test.evil", "GET"), None),
        (preflight("http://three.test", "GET"), None),
        (preflight("http://one.test", "DELETE"), None),
        (
            preflight("http://one.test", "GET")
                .header("Access-Control-Request-Headers", "x-one, CONTENT-TYPE"),
            Some("http://one.test"),
        ),
        (
            preflight("http://one.test", "GET")
                .header("Access-Control-Request-Headers", "x-one, x-two"),
            None,
        ),
    ] {
        let response = gateway.send(&request);
        assert_eq!(response.status, 204, "{request:?}");
        let got = response.header("Access-Control-Allow-Origin");
        assert_eq!(got, allowed, "{request:?}");
        let expected = |value| allowed.map(|_| value);
        let got = response.header("Access-Control-Allow-Credentials");
        assert_eq!(got, expected("true"));
        assert_eq!(response.header("Access-Control-Max-Age"), expected("24"));
        assert!(response.header("Vary").unwrap().contains("Origin"));
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn every_answer_says_who_may_read_it() {
    let (gateway, upstream) = with_cors(json!({
        "enable": true, "allowed_origins": ["http://one.test"], "exposed_headers": ["x-a", "X-B"],
    }));
    let from = |origin: &str, path: &str| Request::get(path).header("Origin", origin);
    for (path, status) in [("/a/open", 200), ("/a/x", 401)] {
        let response = gateway.send(&from("http://one.test", path));
        assert_eq!(response.status, status);
        let origin = response.header("Access-Control-Allow-Origin");
        assert_eq!(origin, Some("http://one.test"), "{path}");
        let exposed = response.header("Access-Control-Expose-Headers");
        assert_eq!(exposed, Some("x-a, x-b"));
        assert!(response.header_values("Vary").contains(&"Origin"), "{path}");
    }
    let other = gateway.send(&from("http://two.test", "/a/open"));
    let vary = other.header_values("Vary");
    assert!(
        vary.contains(&"Accept") && vary.contains(&"Origin"),
        "{vary:?}"
    );
    assert_eq!(upstream.take().len(), 2);
}

#[test]
fn options_may_pass_every_step() {
    let (gateway, upstream) = with_cors(json!({"enable": true, "options_passthrough": true}));
    let response = gateway.send(&preflight("http://one.test", "GET"));
    assert_eq!(response.status, 200);
    assert_eq!(response.header("Access-Control-Allow-Origin"), Some("*"));
    assert_eq!(upstream.take_one().method, "OPTIONS");
    gateway
        .get("/a/x")
        .assert_error(401, "Authorization field missing");
    let (gateway, upstream) = with_cors(json!({"enable": true}));
    let options = Request::new("OPTIONS", "/a/x");
    gateway
        .send(&options)
        .assert_error(401, "Authorization field missing");
    assert!(upstream.take().is_empty());
}

/// The status of a request that says to be forwarded for `claimed`.
fn status(lists: Value, conf: Value, claimed: Option<&str>) -> u16 {
    let upstream = Upstream::echo();
    let mut api = Definition::new("a").upstream(&upstream);
    for (key, value) in lists.as_object().unwrap() {
        api = api.set(&format!("/{key}"), value.clone());
    }
    let gateway = gateway()
        .api(api)
        .conf(json!({"http_server_options": conf}))
        .start();
    let mut request = Request::get("/a/x");
    if let Some(claimed) = claimed {
        request = request.header("X-Forwarded-For", claimed);
    }
    let response = gateway.send(&request);
    if response.status != 200 {
        response.assert_error(403, "access from this IP has been disallowed");
        assert!(upstream.take().is_empty());
    }
    response.status
}

#[test]
fn addresses_are_let_in_or_kept_out() {
    let allow = |ips: &[&str]| json!({"enable_ip_whitelisting": true, "allowed_ips": ips});
    let block = |ips: &[&str]| json!({"enable_ip_blacklisting": true, "blacklisted_ips": ips});
    let nobody = json!({});
    let local = json!({"trusted_proxies": ["127.0.0.0/8"]});
    for (lists, conf, claimed, expected) in [
        (allow(&["127.0.0.1"]), &nobody, None, 200),
        (allow(&["10.0.0.0/8", "127.0.0.0/30"]), &nobody, None, 200),
        (allow(&["10.0.0.0/8"]), &nobody, None, 403),
        (allow(&[]), &nobody, None, 403),
        (block(&["127.0.0.1"]), &nobody, None, 403),
        (block(&["10.0.0.0/8"]), &nobody, None, 200),
        // What a client says of itself does not count.
        (allow(&["10.0.0.0/8"]), &nobody, Some("10.0.0.1"), 403),
        (block(&["127.0.0.1"]), &nobody, Some("10.0.0.1"), 403),
        (allow(&["10.0.0.0/8"]), &local, Some("10.0.0.1"), 200),
        (
            allow(&["10.0.0.0/8"]),
            &local,
            Some("10.0.0.1, 11.0.0.1"),
            403,
        ),
        (
            block(&["10.0.0.0/8"]),
            &local,
            Some("11.0.0.1, 10.0.0.1"),
            403,
        ),
        (block(&["10.0.0.0/8"]), &local, Some("nonsense"), 403),
    ] {
        let told = format!("{lists} {conf} {claimed:?}");
        assert_eq!(status(lists, conf.clone(), claimed), expected, "{told}");
    }
}

#[test]
fn lists_of_callers_that_cannot_be_read_are_not_loaded() {
    for (pointer, value, said) in [
        (
            "/allowed_ips",
            json!(["10.0.0.0/33"]),
            "allowed_ips[0]: `10.0.0.0/33`",
        ),
        (
            "/CORS",
            json!({"enable": true, "allowed_headers": ["a b"]}),
            "CORS.allowed_headers: `a b`",
        ),
    ] {
        let api = Definition::new("a")
            .set("/enable_ip_whitelisting", true)
            .set(pointer, value);
        let gateway = gateway().api(api).start();
        let line = gateway.wait_for_log("API is not loaded.");
        assert!(line.contains(said), "{line}");
    }
}

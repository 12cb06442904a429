//! What a hook changes in a request, as the upstream sees it.

use test_harness::{Received, Request};

use super::{Driver, Setup, start};

fn setup(driver: Driver) -> Setup {
    start(driver, "edits", |api| api.pre("Edit"))
}

impl Setup {
    #[track_caller]
    fn seen(&self, request: &Request) -> Received {
        let response = self.gateway.send(request);
        assert_eq!(response.status, 200, "{request:?}: {response:?}");
        let seen = self.upstream.take_one();
        assert!(seen.complete && seen.problems.is_empty(), "{seen:?}");
        seen
    }
}

pub(crate) fn headers_are_deleted_and_set(driver: Driver) {
    let setup = setup(driver);
    let base = || {
        Request::get("/api/")
            .header("X-Old", "1")
            .header("X-Old", "2")
    };

    let seen = setup.seen(&base().header("X-Delete-Header", "x-oLD"));
    assert!(seen.header_values("X-Old").is_empty(), "{seen:?}");
    let seen = setup.seen(&base().header("X-Set-Header", "X-Old=new"));
    assert_eq!(
        seen.header_values("X-Old"),
        ["new"],
        "all values are replaced"
    );
    let request = base()
        .header("X-Set-Header", "x-old=new")
        .header("X-Delete-Header", "X-Old");
    assert_eq!(
        setup.seen(&request).header_values("X-Old"),
        ["new"],
        "set wins over delete"
    );
    let request = base().header("X-Set-Header", "X-Utf8=grüße");
    assert_eq!(setup.seen(&request).header("X-Utf8"), Some("grüße"));
    let request = base().header("X-Set-Header", "Host=evil.example");
    let target = setup.upstream.address().to_string();
    assert_eq!(
        setup.seen(&request).header("Host"),
        Some(target.as_str()),
        "Host is not a hook's"
    );
    let request = Request::post("/api/", "hello").header("X-Set-Header", "Content-Length=1");
    assert_eq!(
        setup.seen(&request).body,
        b"hello",
        "framing is not a hook's"
    );
    let request = Request::post("/api/", "hello").header("X-Set-Header", "Transfer-Encoding=cow");
    assert_eq!(
        setup.seen(&request).body,
        b"hello",
        "framing is not a hook's"
    );
}

pub(crate) fn parameters_are_deleted_and_set(driver: Driver) {
    let setup = setup(driver);
    let base = || Request::get("/api/x?b=2&a=1&b=3");
    let seen = |request: Request| setup.seen(&request).target;

    assert_eq!(seen(base().header("X-Delete-Param", "b")), "/x?a=1");
    assert_eq!(
        sorted(&seen(base().header("X-Add-Param", "b=4"))),
        "/x?a=1&b=4"
    );
    assert_eq!(
        sorted(&seen(base().header("X-Add-Param", "c=4"))),
        "/x?a=1&b=2&b=3&c=4"
    );
    let both = base()
        .header("X-Add-Param", "b=4")
        .header("X-Delete-Param", "b");
    assert_eq!(sorted(&seen(both)), "/x?a=1&b=4", "set wins over delete");
    let encoded = seen(Request::get("/api/x").header("X-Add-Param", "k=a b&c=d"));
    assert!(
        matches!(encoded.as_str(), "/x?k=a+b%26c%3Dd" | "/x?k=a%20b%26c%3Dd"),
        "{encoded}"
    );
    let none_left = seen(Request::get("/api/x?a=1").header("X-Delete-Param", "a"));
    assert_eq!(none_left, "/x");
}

/// The target with its parameters in order: their order among different names is free.
fn sorted(target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut parameters: Vec<&str> = query.split('&').collect();
    parameters.sort_unstable();
    format!("{path}?{}", parameters.join("&"))
}

pub(crate) fn a_new_url_goes_to_the_upstream_to_the_byte(driver: Driver) {
    let setup = setup(driver);
    for (url, seen) in [
        ("/api/new/path", "/new/path"),
        ("/api/new?z=1&a=2&z=3", "/new?z=1&a=2&z=3"),
        ("/api/a%20b/%E2%82%AC?q=%2F", "/a%20b/%E2%82%AC?q=%2F"),
        ("/elsewhere", "/elsewhere"),
        ("/api/new?", "/new?"),
    ] {
        let request = Request::get("/api/old?x=1").header("X-Set-Url", url);
        assert_eq!(setup.seen(&request).target, seen, "{url}");
    }
    let request = Request::get("/api/old")
        .header("X-Set-Url", "/api/new?b=2&a=1")
        .header("X-Delete-Param", "b");
    assert_eq!(
        setup.seen(&request).target,
        "/new?a=1",
        "the new query is the base"
    );
    for url in [
        "no-slash",
        "/api/../secret",
        "/api/%2e%2e/secret",
        "/api/a%2fb",
        "/api/a b",
    ] {
        let request = Request::get("/api/old").header("X-Set-Url", url);
        let response = setup.gateway.send(&request);
        assert!(matches!(response.status, 400 | 500), "{url}: {response:?}");
        assert!(
            setup.upstream.take().is_empty(),
            "{url} reached the upstream"
        );
    }
}

pub(crate) fn a_new_method_goes_to_the_upstream(driver: Driver) {
    let setup = setup(driver);
    for method in ["PUT", "DELETE", "BREW"] {
        let request = Request::post("/api/", "hello").header("X-Set-Method", method);
        let seen = setup.seen(&request);
        assert_eq!(
            (seen.method.as_str(), seen.body.as_slice()),
            (method, &b"hello"[..])
        );
    }
    let seen = setup.seen(&Request::get("/api/").header("X-Set-Method", "HEAD"));
    assert_eq!(seen.method, "HEAD");
}

pub(crate) fn bodies_are_replaced_with_their_length(driver: Driver) {
    let setup = setup(driver);
    for (sent, told, seen) in [
        ("hello", "empty", ""),
        ("hello", "reverse", "olleh"),
        (
            "hello",
            "something longer than before",
            "something longer than before",
        ),
        ("", "from nothing", "from nothing"),
        ("grüße", "größer", "größer"),
    ] {
        let received = setup.seen(&Request::post("/api/", sent).header("X-Set-Body", told));
        assert_eq!(received.body, seen.as_bytes(), "{told}");
        let length = seen.len().to_string();
        assert_eq!(
            received.header("Content-Length"),
            Some(length.as_str()),
            "{told}"
        );
        assert_eq!(received.header("Transfer-Encoding"), None, "{told}");
    }
    let received = setup.seen(&Request::get("/api/").header("X-Set-Body", "for a GET"));
    assert_eq!(received.body, b"for a GET");
}

pub(crate) fn a_binary_body_survives_a_hook_to_the_byte(driver: Driver) {
    let setup = setup(driver);
    let body: Vec<u8> = (0..70_000_u32).map(|n| (n % 256) as u8).collect();
    assert!(setup.seen(&Request::post("/api/", body.clone())).body == body);
    let reversed: Vec<u8> = body.iter().rev().copied().collect();
    let request = Request::post("/api/", body).header("X-Set-Body", "reverse");
    assert!(setup.seen(&request).body == reversed);
}

pub(crate) fn a_chunked_body_is_shown_whole(driver: Driver) {
    let setup = setup(driver);
    let mut client = setup.gateway.connect();
    client.send(
        "POST /api/ HTTP/1.1\r\nHost: x\r\nX-Set-Body: reverse\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    );
    assert_eq!(client.read_final("POST").unwrap().status, 200);
    let seen = setup.upstream.take_one();
    assert_eq!(seen.body, b"olleh");
    assert!(seen.complete && seen.problems.is_empty(), "{seen:?}");
}

pub(crate) fn editing_a_view_has_no_effect(driver: Driver) {
    let setup = setup(driver);
    let seen = setup.seen(&Request::post("/api/x?a=1", "hello").header("X-Edit-Views", "1"));
    assert_eq!(seen.header("X-Edited-In-View"), None);
    assert_eq!(seen.target, "/x?a=1");
    assert_eq!(seen.body, b"hello");
}

pub(crate) fn a_hook_that_changes_nothing_changes_nothing(driver: Driver) {
    let setup = setup(driver);
    let request = Request::post("/api/x?b=%2f&a&&=&b", "hello")
        .header("Cookie", "a=1; b=2")
        .header("X-Many", "1")
        .header("X-Many", "2")
        .header("X-Latin1", b"gr\xfc\xdfe");
    let seen = setup.seen(&request);
    assert_eq!(seen.target, "/x?b=%2f&a&&=&b");
    assert_eq!(seen.header("Cookie"), Some("a=1; b=2"));
    assert_eq!(seen.header_values("X-Many"), ["1", "2"]);
    assert!(
        seen.raw_head
            .windows(5)
            .any(|bytes| bytes == b"gr\xfc\xdfe"),
        "{seen:?}"
    );
    assert_eq!(seen.body, b"hello");
}

pub(crate) fn requests_at_the_same_time_are_not_mixed_up(driver: Driver) {
    let setup = setup(driver);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let gateway = &setup.gateway;
            scope.spawn(move || {
                let mut client = gateway.connect();
                for number in 0..50 {
                    let body = format!("{thread}-{number}-{}", "x".repeat(number * 40));
                    let request = Request::post(&format!("/api/{thread}/{number}"), body.clone())
                        .header("X-Set-Body", "reverse")
                        .header("X-Add-Param", format!("n={number}"));
                    let seen = client.request(&request).json();
                    assert_eq!(seen["target"], format!("/{thread}/{number}?n={number}"));
                    let reversed: String = body.chars().rev().collect();
                    assert_eq!(seen["body"], reversed);
                }
            });
        }
    });
}

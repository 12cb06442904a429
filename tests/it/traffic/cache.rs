//! Responses that are kept, and whose they are.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use test_harness::gateway::SECRET;
use test_harness::{Definition, Gateway, Request, Response, Upstream, wait};

use super::with_paths;
use crate::gateway;

/// An upstream that numbers its answers and adds header lines to them.
fn counting(headers: &'static str) -> Upstream {
    let count = AtomicUsize::new(0);
    Upstream::answering(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let body = format!("answer {number}");
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n");
        format!("{head}{body}").into_bytes()
    })
}

fn caching(upstream: &Upstream, options: Value) -> Definition {
    let api = Definition::new("a").upstream(upstream);
    let api = api
        .set("/cache_options/enable_cache", true)
        .set("/cache_options/cache_timeout", 60)
        .set("/cache_options/cache_all_safe_requests", true);
    let options = options.as_object().unwrap().clone();
    options.into_iter().fold(api, |api, (key, value)| {
        api.set(&format!("/cache_options/{key}"), value)
    })
}

fn is_kept(response: &Response) -> bool {
    assert_eq!(response.status, 200, "{response:?}");
    let kept = response.header("x-tyk-cached-response");
    assert!(matches!(kept, None | Some("1")), "{response:?}");
    kept.is_some()
}

/// Whether the second of two requests is answered with what was kept of the first.
fn second_is_kept(gateway: &Gateway, first: &Request, second: &Request) -> bool {
    let one = gateway.send(first);
    assert!(!is_kept(&one), "{first:?}");
    let two = gateway.send(second);
    let kept = is_kept(&two);
    assert_eq!(one.body == two.body, kept, "{first:?} {second:?}");
    kept
}

#[test]
fn a_kept_response_answers_the_same_request() {
    let upstream = counting("X-Own: yes\r\n");
    let gateway = gateway().api(caching(&upstream, json!({}))).start();
    let first = gateway.get("/a/x?y=1");
    assert!(!is_kept(&first));
    let second = gateway.get("/a/x?y=1");
    assert!(is_kept(&second));
    assert_eq!(second.text(), "answer 0");
    assert_eq!(second.header("X-Own"), Some("yes"));
    assert_eq!(second.header("Age"), Some("0"));
    assert_eq!(second.header("x-ratelimit-limit"), None);
    assert!(first.header("x-ratelimit-limit").is_some());
    assert_eq!(upstream.take().len(), 1);
}

#[test]
fn a_response_belongs_to_what_made_it() {
    let upstream = counting("Vary: X-Lang\r\n");
    let gateway = gateway()
        .api(caching(&upstream, json!({"cache_by_headers": ["X-Team"]})))
        .start();
    let get = |path: &str| Request::get(path);
    let put = Request::new("PUT", "/a/put");
    for (first, second, expected) in [
        (get("/a/1"), get("/a/1"), true),
        (get("/a/2"), get("/a/2?q"), false),
        (get("/a/3?q=1"), get("/a/3?q=2"), false),
        (get("/a/4"), get("/a/4").header("X-Other", "1"), true),
        (get("/a/5"), get("/a/5").header("X-Team", "1"), false),
        (get("/a/6"), get("/a/6").header("Authorization", "1"), false),
        (
            get("/a/7").header("Authorization", "1"),
            get("/a/7").header("Authorization", "2"),
            false,
        ),
        (
            get("/a/8").header("Cookie", "a=1"),
            get("/a/8").header("Cookie", "a=2"),
            false,
        ),
        (get("/a/9"), get("/a/9").header("X-Lang", "de"), false),
        (
            get("/a/10").header("X-Lang", "de"),
            get("/a/10").header("X-Lang", "de"),
            true,
        ),
        (
            get("/a/11").header("Cache-Control", "no-store"),
            get("/a/11"),
            false,
        ),
        (
            get("/a/13"),
            get("/a/13").header("If-None-Match", "\"x\""),
            false,
        ),
        (
            get("/a/12").header("Range", "bytes=0-1"),
            get("/a/12"),
            false,
        ),
        (put.clone(), put, false),
    ] {
        let kept = second_is_kept(&gateway, &first, &second);
        assert_eq!(kept, expected, "{first:?} {second:?}");
    }
}

#[test]
fn what_must_not_be_kept_is_not() {
    for (headers, expected) in [
        ("", true),
        ("Set-Cookie: a=1\r\n", false),
        ("Cache-Control: private\r\n", false),
        ("Cache-Control: no-store\r\n", false),
        ("Vary: *\r\n", false),
    ] {
        let upstream = counting(headers);
        let gateway = gateway().api(caching(&upstream, json!({}))).start();
        let request = Request::get("/a/x");
        assert_eq!(
            second_is_kept(&gateway, &request, &request),
            expected,
            "{headers}"
        );
    }
}

#[test]
fn streamed_responses_are_kept_when_they_have_passed() {
    let chunked = |body: &[u8]| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for part in body.chunks(4) {
            bytes.extend(format!("{:x}\r\n", part.len()).into_bytes());
            bytes.extend(part);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    };
    let upstream = Upstream::answering(move |received| match received.target.as_str() {
        "/long" => chunked(&[b'x'; 100]),
        _ => chunked(b"a short one"),
    });
    let gateway = gateway()
        .api(caching(&upstream, json!({})))
        .conf(json!({"local_response_cache": {"max_entry_bytes": 50}}))
        .start();
    for (path, expected) in [("/a/short", true), ("/a/long", false)] {
        assert!(!is_kept(&gateway.get(path)));
        let second = gateway.get(path);
        assert_eq!(is_kept(&second), expected, "{path}");
        assert!(matches!(second.body.len(), 11 | 100));
    }
}

#[test]
fn kept_responses_end_and_can_be_forgotten() {
    let upstream = counting("");
    let short = caching(&upstream, json!({"cache_timeout": 1}));
    let gateway = gateway().api(short).start();
    let first = gateway.get("/a/x").text();
    wait::until("the response ends", || gateway.get("/a/x").text() != first);
    let upstream = counting("");
    gateway.write_api(&caching(&upstream, json!({})));
    gateway.reload();
    let request = Request::get("/a/y");
    assert!(second_is_kept(&gateway, &request, &request));
    let forget = Request::new("DELETE", "/tyk/cache/a");
    assert_eq!(gateway.send(&forget).status, 403);
    let done = gateway.send(&forget.header("X-Tyk-Authorization", SECRET));
    assert_eq!(done.status, 200);
    let said = json!({"status": "ok", "message": "cache invalidated"});
    assert_eq!(done.json(), said);
    assert!(!is_kept(&gateway.get("/a/y")));
}

#[test]
fn paths_and_upstreams_choose_what_is_kept() {
    let options = json!({"cache_all_safe_requests": false, "enable_upstream_cache_control": true});
    for (headers, expected) in [
        ("", false),
        ("X-Tyk-Cache-Action-Set: 1\r\n", true),
        (
            "X-Tyk-Cache-Action-Set: 1\r\nX-Tyk-Cache-Action-Set-Ttl: 0\r\n",
            false,
        ),
    ] {
        let upstream = counting(headers);
        let api = caching(&upstream, options.clone());
        let paths = json!({"cache": ["/x"], "advance_cache_config": [
            {"path": "/search", "method": "POST", "cache_key_regex": "\"q\":\"[a-z]*\""},
        ]});
        let api = api
            .set("/version_data/versions/Default/use_extended_paths", true)
            .set("/version_data/versions/Default/extended_paths", paths);
        let gateway = gateway().api(api).start();
        let get = |path: &str| Request::get(path);
        let post = |body: &str| Request::post("/a/search", body);
        for (first, second, expected) in [
            (get("/a/x"), get("/a/x"), expected),
            (get("/a/y"), get("/a/y"), false),
            (
                post("{\"q\":\"a\",\"n\":1}"),
                post("{\"q\":\"a\",\"n\":2}"),
                expected,
            ),
            (post("{\"q\":\"b\"}"), post("{\"q\":\"c\"}"), false),
        ] {
            let kept = second_is_kept(&gateway, &first, &second);
            assert_eq!(kept, expected, "{headers} {first:?}");
        }
    }
}

#[test]
fn what_is_closed_is_not_answered_with_what_was_kept() {
    let upstream = counting("");
    let paths = json!({"black_list": [{"path": "/closed"}], "cache": ["/"]});
    let open =
        with_paths(&upstream, json!({"cache": ["/"]})).set("/cache_options/enable_cache", true);
    let gateway = gateway().api(open).start();
    let request = Request::get("/a/closed");
    assert!(second_is_kept(&gateway, &request, &request));
    let closed = with_paths(&upstream, paths).set("/cache_options/enable_cache", true);
    gateway.write_api(&closed);
    gateway.reload();
    let refused = gateway.send(&request);
    refused.assert_error(403, "Requested endpoint is forbidden");
    gateway.write_api(&closed.set("/use_keyless", false));
    gateway.reload();
    assert_eq!(gateway.get("/a/x").status, 401);
}

#[test]
fn a_request_that_is_handed_over_is_not_answered_with_what_was_kept() {
    let [own, other] = [(); 2].map(|()| counting(""));
    let trigger = json!({"on": "all", "rewrite_to": "tyk://inner/x",
                         "options": {"header_matches": {"X-Over": {"match_rx": "."}}}});
    let paths = json!({
        "cache": ["/x"],
        "url_rewrites": [{"path": "/x", "match_pattern": ".*", "rewrite_to": "/x", "triggers": [trigger]}],
    });
    let gateway = gateway()
        .api(with_paths(&own, paths).set("/cache_options/enable_cache", true))
        .api(
            Definition::new("inner")
                .upstream(&other)
                .set("/internal", true),
        )
        .start();
    let over = Request::get("/a/x").header("X-Over", "1");
    assert!(!is_kept(&gateway.get("/a/x")));
    assert!(!is_kept(&gateway.send(&over)));
    assert!(is_kept(&gateway.get("/a/x")));
    assert_eq!((own.take().len(), other.take().len()), (1, 1));
}

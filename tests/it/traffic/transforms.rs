//! What the upstream sees instead of what the client sent, and the other way round.

use serde_json::{Value, json};
use test_harness::{Definition, Request, Upstream, wait};

use super::{one, serving, with_paths};
use crate::gateway;

const VERSION: &str = "/version_data/versions/Default";

#[test]
fn request_headers_are_deleted_then_set() {
    let upstream = Upstream::echo();
    let api = with_paths(
        &upstream,
        json!({"transform_headers": [
            {"path": "/x", "method": "GET", "delete_headers": ["X-Gone", "X-Both"],
             "add_headers": {
                "X-Both": "set", "X-New": "a b", "X-Path": "$tyk_context.path",
                "X-From": "$tyk_context.headers_X_Gone/$tyk_context.request_data_q/$tyk_context.nothing",
                "X-Address": "$tyk_context.remote_addr", "X-Parts": "$tyk_context.path_parts",
                "X-Cookie": "$tyk_context.cookies_a", "X-Meta": "<$tyk_meta.x>",
             }},
        ]}),
    )
    .set("/enable_context_vars", true)
    .set(&format!("{VERSION}/global_headers"), json!({"X-All": "yes"}))
    .set(&format!("{VERSION}/global_headers_remove"), json!(["X-Never"]));
    let gateway = gateway().api(api).start();
    let request = |path: &str| {
        Request::get(path)
            .header("X-Gone", "1")
            .header("X-Both", "2")
            .header("X-Never", "3")
            .header("Cookie", "b=1; a=2")
    };
    assert_eq!(gateway.send(&request("/a/x/y?q=%41+b")).status, 200);
    let seen = upstream.take_one();
    for (name, value) in [
        ("x-gone", None),
        ("x-never", None),
        ("x-all", Some("yes")),
        ("x-both", Some("set")),
        ("x-new", Some("a b")),
        ("x-path", Some("/a/x/y")),
        ("x-from", Some("1/A b/")),
        ("x-address", Some("127.0.0.1")),
        ("x-parts", Some("a,x,y")),
        ("x-cookie", Some("2")),
        ("x-meta", Some("<>")),
    ] {
        assert_eq!(seen.header(name), value, "{name}");
    }
    assert_eq!(gateway.send(&request("/a/z")).status, 200);
    let seen = upstream.take_one();
    assert_eq!(
        (seen.header("x-gone"), seen.header("x-all")),
        (Some("1"), Some("yes"))
    );
    // A line's end out of a request makes no header.
    assert_eq!(gateway.send(&request("/a/x?q=a%0d%0aX-Evil:1")).status, 400);
    assert!(upstream.take().is_empty());
}

#[test]
fn response_headers_are_deleted_then_set() {
    let upstream = Upstream::replying(
        b"HTTP/1.1 200 OK\r\nServer: secret\r\nX-One: 1\r\nX-One: 2\r\nContent-Length: 2\r\n\r\nhi",
    );
    let api = with_paths(
        &upstream,
        json!({"transform_response_headers": [
            {"path": "/x", "delete_headers": ["X-One"], "add_headers": {"X-Asked": "$tyk_context.headers_X_Id"}},
        ]}),
    )
    .set("/enable_context_vars", true)
    .set("/response_processors", json!([{"name": "header_injector"}]))
    .set(&format!("{VERSION}/global_response_headers"), json!({"X-All": "yes"}))
    .set(&format!("{VERSION}/global_response_headers_remove"), json!(["Server"]));
    let gateway = gateway().api(api).start();
    let response = gateway.send(&Request::get("/a/x").header("X-Id", "7"));
    assert_eq!(response.text(), "hi");
    assert_eq!(response.header("server"), None);
    assert_eq!(response.header("x-all"), Some("yes"));
    assert_eq!(response.header("x-asked"), Some("7"));
    assert!(response.header_values("x-one").is_empty());
    let other = gateway.get("/a/y");
    assert_eq!(other.header_values("x-one"), ["1", "2"]);
    assert_eq!(other.header("server"), None);
}

#[test]
fn methods_are_changed_for_the_upstream() {
    let (gateway, upstream) = serving(json!({
        "method_transforms": [{"path": "/x", "method": "GET", "to_method": "post"}],
    }));
    for (path, method) in [("/a/x", "POST"), ("/a/y", "GET")] {
        assert_eq!(gateway.get(path).status, 200);
        assert_eq!(upstream.take_one().method, method, "{path}");
    }
}

#[test]
fn bodies_have_a_limit_and_must_say_their_length() {
    let upstream = Upstream::echo();
    let paths = json!({"size_limits": [{"path": "/small", "method": "POST", "size_limit": 4}]});
    let api = with_paths(&upstream, paths).set(&format!("{VERSION}/global_size_limit"), 8);
    let gateway = gateway().api(api).start();
    for (path, body, is_open) in [
        ("/a/small", "1234", true),
        ("/a/small", "12345", false),
        ("/a///small", "12345", false),
        ("/a/x", "12345678", true),
        ("/a/x", "123456789", false),
    ] {
        let response = gateway.post(path, body);
        if is_open {
            assert_eq!(response.status, 200, "{path} {body}");
        } else {
            response.assert_error(400, "Request is too large");
        }
    }
    assert_eq!(gateway.get("/a/x").status, 200);
    assert_eq!(upstream.take().len(), 3);
    let mut client = gateway.connect();
    client.send(
        "POST /a/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    );
    let response = client.read_final("POST").unwrap();
    response.assert_error(411, "Content length is required for this request");
    assert!(upstream.take().is_empty());
}

#[test]
fn a_path_may_have_a_time_limit_of_its_own() {
    let upstream = Upstream::serving(|connection| {
        while let Some(received) = connection.next_request() {
            if received.target == "/slow" {
                // Never answered; the gateway hangs up.
                while connection.next_request().is_some() {}
                return;
            }
            connection.send(test_harness::upstream::response(200, "text/plain", b"ok"));
        }
    });
    let paths = json!({"hard_timeouts": [{"path": "/slow", "timeout": 1}]});
    let gateway = gateway().api(with_paths(&upstream, paths)).start();
    assert_eq!(gateway.get("/a/x").status, 200);
    let response = gateway.get("/a/slow");
    response.assert_error(504, "Upstream service reached hard timeout.");
}

/// The target that the upstream sees of `asked`.
fn rewritten(entry: Value, asked: &Request) -> String {
    let (gateway, upstream) = serving(json!({"url_rewrites": [entry]}));
    let response = gateway.send(asked);
    assert_eq!(response.status, 200, "{asked:?} {response:?}");
    upstream.take_one().target
}

#[test]
fn urls_are_rewritten_with_what_was_found() {
    let rule = |pattern: &str, to: &str| json!({"path": "/x", "method": "GET", "match_pattern": pattern, "rewrite_to": to});
    for (entry, asked, seen) in [
        (
            rule("/x/(\\w+)/(\\w+)", "/new/$2?id=$1"),
            "/a/x/one/two",
            "/new/two?id=one",
        ),
        (rule("/x/(.*)", "my/$1"), "/a/x/b?q=1", "/my/b?q=1"),
        (rule("/x/(.*)", "/a/kept/$1"), "/a/x/b", "/kept/b"),
        (rule("/x/(.*)", "/n/$1$2"), "/a/x/b", "/n/b"),
        (rule("/other", "/n"), "/a/x/b", "/x/b"),
        (rule("x", "/n"), "/a/y", "/y"),
        (rule("x/a b", "/n"), "/a/x/a%20b", "/n"),
    ] {
        assert_eq!(
            rewritten(entry.clone(), &Request::get(asked)),
            seen,
            "{entry} {asked}"
        );
    }
}

#[test]
fn triggers_choose_another_url() {
    let trigger = |on: &str, options: Value, to: &str| json!({"on": on, "options": options, "rewrite_to": to});
    let entry = json!({
        "path": "/x", "match_pattern": "(.*)", "rewrite_to": "/none",
        "triggers": [
            trigger("any", json!({"header_matches": {"X-One": {"match_rx": "^v(\\d+)$"}},
                                  "query_val_matches": {"q": {"match_rx": "yes"}}}),
                    "/any?n=$tyk_context.trigger-0-X-One-0-0"),
            trigger("all", json!({"header_matches": {"X-Two": {"match_rx": "."}},
                                  "payload_matches": {"match_rx": "magic"}}), "/all"),
            trigger("all", json!({"path_part_matches": {"p": {"match_rx": "^special$"}}}), "/part"),
            trigger("all", json!({"header_matches": {"X-Three": {"match_rx": "no", "reverse": true}}}), "/reverse"),
        ],
    });
    let upstream = Upstream::echo();
    let api =
        with_paths(&upstream, json!({"url_rewrites": [entry]})).set("/enable_context_vars", true);
    let gateway = gateway().api(api).start();
    for (request, seen) in [
        (Request::get("/a/x"), "/none"),
        (Request::get("/a/x").header("X-One", "v12"), "/any?n=12"),
        (Request::get("/a/x?q=yes"), "/any?n="),
        (Request::post("/a/x", "magic").header("X-Two", "1"), "/all"),
        (Request::post("/a/x", "other").header("X-Two", "1"), "/none"),
        (Request::get("/a/x/special"), "/part"),
        (Request::get("/a/x").header("X-Three", "yes"), "/reverse"),
        (Request::get("/a/x").header("X-Three", "no"), "/none"),
    ] {
        assert_eq!(gateway.send(&request).status, 200, "{request:?}");
        assert_eq!(upstream.take_one().target, seen, "{request:?}");
    }
}

#[test]
fn a_rewritten_url_keeps_within_bounds() {
    let other = Upstream::echo();
    let (gateway, upstream) = serving(json!({"url_rewrites": [
        {"path": "/host", "match_pattern": "/host/(.*)", "rewrite_to": other.url("/there/$1")},
        {"path": "/up", "match_pattern": "q=(.*)", "rewrite_to": "/$1"},
    ]}));
    assert_eq!(gateway.get("/a/host/x?y").status, 200);
    let seen = other.take_one();
    assert_eq!(seen.target, "/there/x?y");
    assert_eq!(seen.header("host"), Some(&*other.address().to_string()));
    for path in ["/a/up?q=../secret", "/a/up?q=%2e%2e/secret", "/a/up?q=x%00"] {
        assert_eq!(gateway.get(path).status, 400, "{path}");
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn later_steps_go_by_the_path_that_was_asked_for() {
    let (gateway, upstream) = serving(json!({
        "url_rewrites": [{"path": "/x", "match_pattern": ".*", "rewrite_to": "/new"}],
        "method_transforms": [{"path": "/x", "method": "GET", "to_method": "PUT"}],
        "transform_response_headers": [{"path": "/x", "add_headers": {"X-Path": "asked"}}],
    }));
    let response = gateway.get("/a/x");
    assert_eq!(response.header("X-Path"), Some("asked"));
    let seen = upstream.take_one();
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str()),
        ("PUT", "/new")
    );
}

#[test]
fn a_breaker_opens_and_tries_again() {
    let upstream = Upstream::answering(|received| match received.target.as_str() {
        "/x?bad" => test_harness::upstream::response(500, "text/plain", b""),
        _ => test_harness::upstream::response(200, "text/plain", b"ok"),
    });
    let api = with_paths(
        &upstream,
        json!({"circuit_breakers": [
            {"path": "/x", "threshold_percent": 0.5, "samples": 3, "return_to_service_after": 1},
        ]}),
    )
    .set("/event_handlers/events", json!({
        "BreakerTripped": [{"handler_name": "eh_log_handler", "handler_meta": {"prefix": "told"}}],
        "BreakerReset": [{"handler_name": "eh_log_handler", "handler_meta": {"prefix": "told"}}],
    }));
    let gateway = gateway().api(api).start();
    // A reload makes breakers anew, and there is one after the start.
    gateway.reload();
    for _ in 0..3 {
        assert_eq!(gateway.get("/a/x?bad").status, 500);
    }
    gateway
        .get("/a/x")
        .assert_error(503, "Service temporarily unavailable.");
    assert_eq!(upstream.take().len(), 3);
    gateway.wait_for_log("told:BreakerTripped");
    assert_eq!(gateway.get("/a/y").status, 200, "another path");
    wait::until("the breaker lets one pass", || {
        gateway.get("/a/x").status == 200
    });
    gateway.wait_for_log("told:BreakerReset");
    assert_eq!(gateway.get("/a/x").status, 200);
}

#[test]
fn several_upstreams_are_asked_in_turn_and_failing_ones_passed_over() {
    let [first, second] = [(); 2].map(|()| Upstream::echo());
    let api = |list: Value| {
        Definition::new("a")
            .set("/proxy/enable_load_balancing", true)
            .set("/proxy/target_list", list)
    };
    let gateway = gateway()
        .api(api(json!([first.url("/base"), second.url("")])))
        .conf(json!({"workers": 1}))
        .start();
    gateway.reload();
    for _ in 0..4 {
        assert_eq!(gateway.get("/a/x").status, 200);
    }
    let targets = |upstream: &Upstream| {
        let seen = upstream.take();
        seen.iter()
            .map(|seen| seen.target.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(targets(&first), ["/base/x", "/base/x"]);
    assert_eq!(targets(&second), ["/x", "/x"]);
    gateway.write_api(&api(json!([Upstream::nobody(), second.url("")])));
    gateway.reload();
    let failed = (0..8).filter(|_| gateway.get("/a/x").status != 200).count();
    assert_eq!(failed, 1, "it is passed over after its first failure");
    assert_eq!(targets(&second).len(), 7);
}

#[test]
fn requests_are_handed_over_to_other_apis() {
    let upstream = Upstream::echo();
    let inner = Definition::new("inner")
        .set("/name", "The Inner API #tag")
        .upstream(&upstream)
        .set("/internal", true)
        .set(
            "/version_data/versions/Default/paths/black_list",
            json!(["/closed"]),
        );
    let outer = |id: &str, url: &str| Definition::new(id).target(url);
    let rewriting = with_paths(
        &upstream,
        json!({"url_rewrites": [{"path": "/in", "match_pattern": "/in/(.*)", "rewrite_to": "tyk://inner/from/$1"}]}),
    );
    let gateway = gateway()
        .api(inner)
        .api(rewriting)
        .api(outer("by-id", "tyk://inner/base"))
        .api(outer("by-name", "tyk://theinnerapi"))
        .api(outer("nowhere", "tyk://nothing"))
        .api(outer("round", "tyk://self"))
        .api(
            Definition::new("guarded")
                .upstream(&upstream)
                .set("/use_keyless", false),
        )
        .api(outer("to-guarded", "tyk://guarded"))
        .start();
    for path in ["/inner/x", "/theinnerapi/x"] {
        assert_eq!(gateway.get(path).status, 404, "{path}");
    }
    for (path, target) in [
        ("/a/in/x?y", "/from/x?y"),
        ("/by-id/x", "/base/x"),
        ("/by-name/x", "/x"),
        ("/a/out", "/out"),
    ] {
        assert_eq!(gateway.get(path).status, 200, "{path}");
        assert_eq!(upstream.take_one().target, target, "{path}");
    }
    let forbidden = gateway.get("/by-name/closed");
    forbidden.assert_error(403, "Requested endpoint is forbidden");
    let refused = gateway.get("/to-guarded/x");
    refused.assert_error(401, "Authorization field missing");
    gateway
        .get("/nowhere/x")
        .assert_error(500, "Couldn't detect target");
    let round = gateway.get("/round/x");
    round.assert_error(
        500,
        "Loop level too deep. Found more than 5 loops in single request",
    );
    assert!(upstream.take().is_empty());
}

#[test]
fn transforms_that_cannot_work_are_not_loaded_and_say_where() {
    for (paths, said) in [
        (
            json!({"transform_headers": [{"path": "/x", "add_headers": {"Host": "x"}}]}),
            "extended_paths.transform_headers[0].add_headers: `Host`",
        ),
        (
            json!({"transform_headers": [{"path": "/x", "add_headers": {"X": "$secret_env.KEY"}}]}),
            "secrets are not implemented",
        ),
        (
            json!({"hard_timeouts": [{"path": "/x"}]}),
            "extended_paths.hard_timeouts[0].timeout: 0",
        ),
        (
            json!({"method_transforms": [{"path": "/x", "to_method": ""}]}),
            "extended_paths.method_transforms[0].to_method",
        ),
        (
            json!({"url_rewrites": [{"path": "/x", "match_pattern": "(", "rewrite_to": "/"}]}),
            "extended_paths.url_rewrites[0].match_pattern",
        ),
        (
            json!({"circuit_breakers": [{"path": "/x", "threshold_percent": 50.0, "samples": 1}]}),
            "extended_paths.circuit_breakers[0].threshold_percent: 50",
        ),
        (
            json!({"size_limits": one("/(")}),
            "extended_paths.size_limits[0].path",
        ),
    ] {
        let (gateway, _) = {
            let upstream = Upstream::echo();
            (gateway().api(with_paths(&upstream, paths)).start(), ())
        };
        let line = gateway.wait_for_log("API is not loaded.");
        assert!(line.contains(said), "{line}");
    }
}

//! Hooks among the gateway's own steps: what runs before what, and what runs at all.

use serde_json::{Value, json};
use test_harness::{Definition, Request, Response, Upstream};

use super::{Driver, start, start_with};
use crate::gateway;

const PATHS: &str = "/version_data/versions/Default";

/// An API with every kind of hook.
fn hooked(api: Definition) -> Definition {
    let api = api.pre("Pre").post("Post").response("Response");
    api.auth_check("Caller").post_key_auth("Later")
}

fn with_paths(api: Definition, paths: Value) -> Definition {
    api.set(&format!("{PATHS}/use_extended_paths"), true)
        .set(&format!("{PATHS}/extended_paths"), paths)
}

/// The steps in their order, each with what its answer is known by. Those that authenticate
/// or limit in other ways belong between them.
const STEPS: [(&str, u16, &str); 13] = [
    ("version", 403, "This API version does not seem to exist"),
    ("cors", 204, ""),
    ("pre", 451, "Pre"),
    ("address", 403, "access from this IP has been disallowed"),
    ("size", 400, "Request is too large"),
    ("auth", 452, "Auth"),
    ("later", 453, "Later"),
    ("session", 401, "Key has expired, please renew"),
    ("schema", 422, "n: value is not of type"),
    ("headers", 400, "a header made of the request"),
    ("rewrite", 400, "request path has a dot segment"),
    ("kept", 200, "the upstream"),
    ("post", 454, "Post"),
];

/// A request that each of these steps answers.
fn provoking(steps: &[&str]) -> Request {
    let has = |step: &str| steps.contains(&step);
    let kept = if has("kept") { "/kept" } else { "" };
    let breaker = if has("breaker") { "/broken" } else { "" };
    let header = if has("headers") { "&h=%0a" } else { "" };
    let rewrite = if has("rewrite") { "&up=.." } else { "" };
    let target = format!("/api/x{kept}{breaker}?q{header}{rewrite}");
    let method = if has("cors") { "OPTIONS" } else { "POST" };
    let body = match (has("size"), has("schema")) {
        (true, _) => format!("{{\"n\": \"{}\"}}", "x".repeat(100)),
        (false, true) => "{\"n\": \"x\"}".to_owned(),
        (false, false) => "{\"n\": 1}".to_owned(),
    };
    let mut request = Request::new(method, &target).body(body);
    for (step, name, value) in [
        ("cors", "Access-Control-Request-Method", "GET"),
        ("pre", "X-Stop-Pre", "1"),
        ("address", "X-Forwarded-For", "10.9.9.9"),
        ("auth", "X-Stop-Auth", "1"),
        ("later", "X-Stop-Later", "1"),
        ("post", "X-Stop-Post", "1"),
    ] {
        if has(step) {
            request = request.header(name, value);
        }
    }
    let caller = if has("session") { "expired" } else { "one" };
    let version = if has("version") { "v9" } else { "v1" };
    request
        .header("X-Caller", caller)
        .header("X-Version", version)
}

/// An API with every step that there is.
fn with_all_steps(api: Definition) -> Definition {
    let version = json!({
        "name": "v1",
        "use_extended_paths": true,
        "global_size_limit": 50,
        "extended_paths": {
            "validate_json": [{"path": "/x", "schema": {"properties": {"n": {"type": "integer"}}}}],
            "transform_headers": [{"path": "/x", "add_headers": {"X-H": "$tyk_context.request_data_h"}}],
            "url_rewrites": [{"path": "/x", "match_pattern": "up=(.*)", "rewrite_to": "/$1"}],
            "advance_cache_config": [{"path": "/kept", "timeout": 600}],
            "circuit_breakers": [{"path": "/broken", "threshold_percent": 0.1, "samples": 1,
                                  "return_to_service_after": 600}],
        },
    });
    hooked(api)
        .set(
            "/definition",
            json!({"location": "header", "key": "X-Version"}),
        )
        .set(
            "/version_data",
            json!({"not_versioned": false, "versions": {"v1": version}}),
        )
        .set("/CORS/enable", true)
        .set("/enable_ip_blacklisting", true)
        .set("/blacklisted_ips", json!(["10.0.0.0/8"]))
        .set("/enable_context_vars", true)
        .set("/cache_options/enable_cache", true)
}

#[track_caller]
fn assert_answered_by(response: &Response, step: (&str, u16, &str), told: &str) {
    let (name, status, text) = step;
    assert_eq!(response.status, status, "{told}: {response:?}");
    assert!(response.text().contains(text), "{told}: {response:?}");
    let kept = response.header("x-tyk-cached-response");
    assert_eq!(kept.is_some(), name == "kept", "{told}: {response:?}");
}

pub(crate) fn steps_run_in_their_order(driver: Driver) {
    let upstream = Upstream::answering(|received| {
        let status = if received.header("X-Fail").is_some() {
            500
        } else {
            200
        };
        test_harness::upstream::response(status, "text/plain", b"the upstream")
    });
    let api = Definition::new("api").driver(driver).upstream(&upstream);
    let gateway = gateway()
        .fixture("traffic", driver)
        .api(with_all_steps(api))
        .conf(json!({"http_server_options": {"trusted_proxies": ["127.0.0.1"]}}))
        .start();
    for steps in [&["kept"][..], &["kept", "breaker"]] {
        let response = gateway.send(&provoking(steps));
        assert_eq!(response.status, 200, "{response:?}");
    }
    let failing = provoking(&["breaker"]).header("X-Fail", "1");
    assert_eq!(gateway.send(&failing).status, 500);
    assert_eq!(upstream.take().len(), 3);
    let breaker = ("breaker", 503, "Service temporarily unavailable.");
    let steps: Vec<_> = STEPS.into_iter().chain([breaker]).collect();
    for (place, first) in steps.iter().enumerate() {
        assert_answered_by(&gateway.send(&provoking(&[first.0])), *first, first.0);
        for second in &steps[place + 1..] {
            let told = format!("{} before {}", first.0, second.0);
            let response = gateway.send(&provoking(&[first.0, second.0]));
            assert_answered_by(&response, *first, &told);
        }
    }
    assert!(upstream.take().is_empty(), "a step let a request pass");
    let response = gateway.send(&provoking(&[]));
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "the upstream!")
    );
    let seen = upstream.take_one();
    assert_eq!(seen.header("X-Trail"), Some("Pre,Auth,Later,Post"));
}

pub(crate) fn ignored_paths_run_the_other_hooks(driver: Driver) {
    let setup = start(driver, "traffic", |api| {
        with_paths(hooked(api), json!({"ignored": [{"path": "/open"}]}))
    });
    let response = setup.gateway.get("/api/open");
    assert_eq!(response.status, 200, "{response:?}");
    assert!(response.text().ends_with('!'), "{response:?}");
    let seen = setup.upstream.take_one();
    assert_eq!(seen.header("X-Trail"), Some("Pre,Later,Post"));
    setup.gateway.get("/api/x").assert_error(403, "Forbidden");
    assert!(setup.upstream.take().is_empty());
}

pub(crate) fn answers_that_are_ready_run_no_hook(driver: Driver) {
    let reply = json!({"GET": {"action": "reply", "code": 200, "data": "ready"}});
    let setup = start(driver, "traffic", |api| {
        let paths = json!({"white_list": [{"path": "/mock", "method_actions": reply}]});
        with_paths(hooked(api), paths).set(
            "/CORS",
            json!({"enable": true, "options_passthrough": true}),
        )
    });
    assert_eq!(setup.gateway.get("/api/mock").text(), "ready");
    assert!(setup.upstream.take().is_empty());
}

pub(crate) fn options_may_pass_every_hook(driver: Driver) {
    let setup = start(driver, "traffic", |api| {
        hooked(api).set(
            "/CORS",
            json!({"enable": true, "options_passthrough": true}),
        )
    });
    let options = Request::new("OPTIONS", "/api/x").header("X-Stop-Pre", "1");
    assert_eq!(setup.gateway.send(&options).status, 200);
    assert_eq!(setup.upstream.take_one().header("X-Trail"), None);
}

pub(crate) fn post_hooks_see_the_rewritten_url_and_method(driver: Driver) {
    let setup = start(driver, "traffic", |api| {
        let paths = json!({
            "url_rewrites": [{"path": "/x", "match_pattern": "/x/(.*)", "rewrite_to": "/new/$1?y=1"}],
            "method_transforms": [{"path": "/x", "method": "GET", "to_method": "PUT"}],
        });
        with_paths(api.post("Post"), paths)
    });
    assert_eq!(setup.gateway.get("/api/x/1").status, 200);
    let seen = setup.upstream.take_one();
    assert_eq!(seen.header("X-Seen"), Some("PUT /new/1?y=1"));
    assert_eq!((&*seen.method, &*seen.target), ("PUT", "/new/1?y=1"));
}

pub(crate) fn kept_responses_stay_with_their_caller(driver: Driver) {
    let answers = std::sync::atomic::AtomicUsize::new(0);
    let upstream = Upstream::answering(move |_| {
        let number = answers.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let body = format!("{number}").into_bytes();
        test_harness::upstream::response(200, "text/plain", &body)
    });
    let setup = start_with(driver, "traffic", upstream, |api| {
        let options = json!({"enable_cache": true, "cache_all_safe_requests": true});
        hooked(api).set("/cache_options", options)
    });
    let get = |caller: &str| {
        let request = Request::get("/api/x").header("X-Caller", caller);
        let response = setup.gateway.send(&request);
        assert_eq!(response.status, 200, "{response:?}");
        let kept = response.header("x-tyk-cached-response").is_some();
        (response.text(), kept)
    };
    for (caller, body, kept) in [
        ("one", "0!", false),
        ("one", "0!", true),
        ("two", "1!", false),
        ("two", "1!", true),
        ("one", "0!", true),
    ] {
        assert_eq!(get(caller), (body.to_owned(), kept), "{caller}");
    }
    let nobody = setup.gateway.get("/api/x");
    nobody.assert_error(403, "Forbidden");
    assert_eq!(setup.upstream.take().len(), 2);
}

pub(crate) fn a_hook_may_hand_over_to_another_api(driver: Driver) {
    let upstream = Upstream::echo();
    let outer = |kind: &str| {
        let id = format!("outer-{kind}");
        let api = Definition::new(&id)
            .driver(driver)
            .target(&Upstream::nobody());
        api.hook(kind, json!({"name": "Edit"}))
    };
    let gateway = gateway()
        .fixture("edits", driver)
        .api(outer("pre"))
        .api(outer("post"))
        .api(
            Definition::new("inner")
                .upstream(&upstream)
                .set("/internal", true),
        )
        .start();
    for kind in ["pre", "post"] {
        let path = format!("/outer-{kind}/x");
        let request = Request::get(&path).header("X-Set-Url", "tyk://inner/y?z=1");
        assert_eq!(gateway.send(&request).status, 200, "{kind}");
        assert_eq!(upstream.take_one().target, "/y?z=1", "{kind}");
    }
}

pub(crate) fn limits_are_asked_for_past_all_hooks_but_the_one_that_authenticates(driver: Driver) {
    let setup = start(driver, "traffic", hooked);
    let ask = |header: &str| {
        let request = Request::get("/api/tyk/rate-limits/").header("X-Caller", "one");
        setup.gateway.send(&request.header(header, "1"))
    };
    for hook in ["Pre", "Later", "Post"] {
        let told = ask(&format!("X-Stop-{hook}"));
        assert_eq!(told.status, 200, "{hook}: {told:?}");
        let text = r#"{"quota":{"quota_max":0,"quota_remaining":0,"quota_renews":0},"rate_limit":{"requests":0,"per_unit":0}}"#;
        assert_eq!(told.text(), text);
    }
    assert_eq!(ask("X-Stop-Auth").status, 452);
    assert!(setup.upstream.take().is_empty());
}

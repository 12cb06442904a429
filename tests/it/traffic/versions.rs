//! Versions of an API, their ends, and the paths that are open, closed or not authenticated.

use serde_json::json;
use test_harness::{Definition, Request, Upstream};

use super::{one, serving, with_paths};
use crate::gateway;

const NOT_FOUND: &str = "Version information not found";
const UNKNOWN: &str = "This API version does not seem to exist";
const VERSION_EXPIRED: &str =
    "Api Version has expired, please check documentation or contact administrator";
const API_EXPIRED: &str = "API has expired, please check documentation or contact administrator";
const FORBIDDEN: &str = "Requested endpoint is forbidden";

/// An API with the versions `v1` and `v2`, chosen as `rule` says.
fn versioned(upstream: &Upstream, rule: serde_json::Value) -> Definition {
    Definition::new("a")
        .upstream(upstream)
        .set("/definition", rule)
        .set(
            "/version_data",
            json!({
                "not_versioned": false,
                "versions": {
                    "v1": {"name": "v1", "use_extended_paths": true,
                           "extended_paths": {"black_list": one("/closed")}},
                    "v2": {"name": "v2", "expires": "2999-01-02 15:04"},
                },
            }),
        )
}

#[test]
fn a_header_a_parameter_or_the_path_names_the_version() {
    let header = json!({"location": "header", "key": "X-Version"});
    let parameter = json!({"location": "url-param", "key": "v"});
    let path = json!({"location": "url"});
    let with = |value: &str| Request::get("/a/closed").header("x-version", value);
    for (rule, request, expected) in [
        (&header, with("v1"), Err(FORBIDDEN)),
        (&header, with("v2"), Ok("/closed")),
        (&header, with("v3"), Err(UNKNOWN)),
        (&header, with("v2").header("X-Version", "v1"), Err(UNKNOWN)),
        (&header, with("v2").header("X-Version", "v2"), Ok("/closed")),
        (&header, with(""), Err(NOT_FOUND)),
        (&header, Request::get("/a/x"), Err(NOT_FOUND)),
        (&parameter, Request::get("/a/x?v=v1&y"), Ok("/x?v=v1&y")),
        (&parameter, Request::get("/a/x?%76=%761"), Ok("/x?%76=%761")),
        (&parameter, Request::get("/a/closed?v=v1"), Err(FORBIDDEN)),
        (
            &parameter,
            Request::get("/a/closed?v=v2&v=v1"),
            Err(UNKNOWN),
        ),
        (&parameter, Request::get("/a/x"), Err(NOT_FOUND)),
        (&path, Request::get("/a/v1/x"), Ok("/v1/x")),
        (&path, Request::get("/a/v1/closed"), Err(FORBIDDEN)),
        (&path, Request::get("/a/%761/closed"), Err(FORBIDDEN)),
        (&path, Request::get("/a//v1//closed"), Err(FORBIDDEN)),
        (&path, Request::get("/a/v2/closed"), Ok("/v2/closed")),
        (&path, Request::get("/a/closed"), Err(UNKNOWN)),
        (&path, Request::get("/a/"), Err(NOT_FOUND)),
    ] {
        let upstream = Upstream::echo();
        let gateway = gateway().api(versioned(&upstream, rule.clone())).start();
        let response = gateway.send(&request);
        match expected {
            Ok(target) => assert_eq!(upstream.take_one().target, target, "{request:?}"),
            Err(message) => {
                response.assert_error(403, message);
                assert!(upstream.take().is_empty(), "{request:?}");
            }
        }
    }
}

#[test]
fn the_version_is_taken_out_of_the_request_when_asked() {
    for (rule, request, target) in [
        (
            json!({"location": "header", "key": "X-Version", "strip_versioning_data": true}),
            Request::get("/a/x").header("X-Version", "v1"),
            "/x",
        ),
        (
            json!({"location": "url-param", "key": "v", "strip_versioning_data": true}),
            Request::get("/a/x?z=%2F&v=v1&y"),
            "/x?z=%2F&y",
        ),
        (
            json!({"location": "url", "strip_path": true}),
            Request::get("/a/v1/x?y"),
            "/x?y",
        ),
        (
            json!({"location": "url", "strip_path": true}),
            Request::get("/a/v2"),
            "/",
        ),
    ] {
        let upstream = Upstream::echo();
        let gateway = gateway().api(versioned(&upstream, rule)).start();
        assert_eq!(gateway.send(&request).status, 200, "{request:?}");
        let seen = upstream.take_one();
        assert_eq!(seen.target, target, "{request:?}");
        assert_eq!(seen.header("x-version"), None);
    }
}

#[test]
fn a_request_without_a_version_gets_the_default_one() {
    let upstream = Upstream::echo();
    let other = Upstream::echo();
    let rule = json!({"location": "header", "key": "X-Version"});
    let api = versioned(&upstream, rule)
        .set("/version_data/default_version", "v2")
        .set(
            "/version_data/versions/v2/override_target",
            other.url("/base"),
        );
    let gateway = gateway().api(api.clone()).start();
    assert_eq!(gateway.get("/a/closed").status, 200);
    assert_eq!(other.take_one().target, "/base/closed");
    let unknown = Request::get("/a/x").header("X-Version", "v3");
    gateway.send(&unknown).assert_error(403, UNKNOWN);
    gateway.write_api(&api.set("/definition/fallback_to_default", true));
    gateway.reload();
    assert_eq!(gateway.send(&unknown).status, 200);
    assert_eq!(other.take_one().target, "/base/x");
    assert!(upstream.take().is_empty());
}

#[test]
fn versions_and_apis_end() {
    let upstream = Upstream::echo();
    let rule = json!({"location": "header", "key": "X-Version"});
    let gateway = gateway()
        .api(
            versioned(&upstream, rule).set("/version_data/versions/v1/expires", "2006-01-02 15:04"),
        )
        .api(
            Definition::new("ended")
                .upstream(&upstream)
                .set("/expiration", "2006-01-02 15:04"),
        )
        .api(
            Definition::new("open")
                .upstream(&upstream)
                .set("/expiration", "2999-01-02 15:04"),
        )
        .start();
    let old = Request::get("/a/x").header("X-Version", "v1");
    gateway.send(&old).assert_error(403, VERSION_EXPIRED);
    gateway.get("/ended/x").assert_error(403, API_EXPIRED);
    assert!(upstream.take().is_empty());
    assert_eq!(gateway.get("/open/x").status, 200);
    let new = gateway.send(&Request::get("/a/x").header("X-Version", "v2"));
    assert_eq!(new.status, 200);
    let expires = new.header("x-tyk-api-expires");
    assert_eq!(expires, Some("Wed, 02 Jan 2999 15:04:00 UTC"));
}

#[test]
fn closed_paths_are_closed_however_they_are_written() {
    let (gateway, upstream) = serving(json!({
        "black_list": [
            {"path": "/admin"},
            {"path": "/users/{id}/keys", "method": "DELETE"},
            {"path": "/quiet", "ignore_case": true},
            {"path": "/off", "disabled": true},
        ],
    }));
    for path in [
        "/a/admin",
        "/a/admin/x?y",
        "/a///admin",
        "/a/%61dmin",
        "/a/adm%69n",
        "/a/admin;x=1",
        "/a/;x/admin",
        "/a///%61dmin;x",
        "/a/v1/admin",
        "/a/QuIeT",
    ] {
        gateway.get(path).assert_error(403, FORBIDDEN);
    }
    for path in [
        "/a/%2e/admin",
        "/a/x/%2e%2e/admin",
        "/a/..;/admin",
        "/a%2fadmin",
    ] {
        let status = gateway.get(path).status;
        assert!(matches!(status, 400 | 404), "{path}: {status}");
    }
    for method in ["DELETE", "delete"] {
        let request = Request::new(method, "/a/users/1/keys");
        gateway.send(&request).assert_error(403, FORBIDDEN);
    }
    assert!(upstream.take().is_empty());
    for path in [
        "/a/users/1/keys",
        "/a/users/1/2/keys",
        "/a/Admin",
        "/a/off",
        "/a/adm",
    ] {
        assert_eq!(gateway.get(path).status, 200, "{path}");
    }
}

#[test]
fn with_open_paths_all_others_are_closed() {
    let (gateway, upstream) = serving(json!({
        "white_list": [
            {"path": "/open"},
            {"path": "/users/{id:[0-9]+}$", "method": "GET"},
            {"path": "ping"},
        ],
    }));
    for path in [
        "/a/",
        "/a/users/x",
        "/a/users/1/x",
        "/a/secret/open",
        "/a/secret//open",
        "/a///open",
        "/a/secret;/open",
        "/a/secret/ping",
        "/a/OPEN",
    ] {
        gateway.get(path).assert_error(403, FORBIDDEN);
    }
    let post = Request::post("/a/users/1", "x");
    gateway.send(&post).assert_error(403, FORBIDDEN);
    assert!(upstream.take().is_empty());
    for path in ["/a/open", "/a/open/x", "/a/op%65n", "/a/users/1", "/a/ping"] {
        assert_eq!(gateway.get(path).status, 200, "{path}");
    }
}

#[test]
fn ignored_paths_need_no_key_and_only_those() {
    let upstream = Upstream::echo();
    let paths =
        json!({"ignored": [{"path": "/open"}, {"path": "/closed"}], "black_list": one("/closed")});
    let api = with_paths(&upstream, paths).set("/use_keyless", false);
    let gateway = gateway().api(api).start();
    assert_eq!(gateway.get("/a/open/x").status, 200);
    assert_eq!(upstream.take_one().target, "/open/x");
    gateway.get("/a/closed").assert_error(403, FORBIDDEN);
    for path in ["/a/x", "/a/x/open", "/a///open", "/a/x;/open", "/a/Open"] {
        gateway
            .get(path)
            .assert_error(401, "Authorization field missing");
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn patterns_reach_as_far_as_the_configuration_says() {
    for (options, blocked, passes) in [
        (
            json!({}),
            vec!["/a/x", "/a/x/y", "/a/v/x", "/a/xy"],
            vec!["/a/X"],
        ),
        (
            json!({"enable_path_prefix_matching": true}),
            vec!["/a/x", "/a/x/y"],
            vec!["/a/v/x"],
        ),
        (
            json!({"enable_path_suffix_matching": true}),
            vec!["/a/x", "/a/v/x"],
            vec!["/a/x/y"],
        ),
    ] {
        let upstream = Upstream::echo();
        let gateway = gateway()
            .api(with_paths(&upstream, json!({"black_list": one("/x")})))
            .conf(json!({"http_server_options": options}))
            .start();
        for path in blocked {
            assert_eq!(gateway.get(path).status, 403, "{path} {options}");
        }
        for path in passes {
            assert_eq!(gateway.get(path).status, 200, "{path} {options}");
        }
    }
}

#[test]
fn a_path_may_have_an_answer_ready() {
    let (gateway, upstream) = serving(json!({
        "white_list": [
            {"path": "/mock", "method_actions": {
                "GET": {"action": "reply", "code": 418, "data": "{\"a\": 1}",
                        "headers": {"Content-Type": "application/json", "X-Mock": "yes"}},
                "PUT": {"action": "no_action"},
            }},
        ],
        "ignored": [
            {"path": "/text", "method_actions": {"GET": {"action": "reply", "code": 200, "data": "hello"}}},
        ],
    }));
    let response = gateway.get("/a/mock");
    assert_eq!(
        (response.status, response.text().as_str()),
        (418, "{\"a\": 1}")
    );
    assert_eq!(response.header("X-Mock"), Some("yes"));
    assert_eq!(response.header("Content-Type"), Some("application/json"));
    let response = gateway.get("/a/text");
    assert_eq!(response.text(), "hello");
    assert_eq!(
        response.header("Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    assert!(upstream.take().is_empty());
    assert_eq!(gateway.send(&Request::new("PUT", "/a/mock")).status, 200);
    gateway.post("/a/mock", "x").assert_error(403, FORBIDDEN);
}

#[test]
fn the_older_lists_count_where_the_extended_ones_do_not() {
    let upstream = Upstream::echo();
    let api = with_paths(&upstream, json!({"black_list": one("/extended")})).set(
        "/version_data/versions/Default/paths/black_list",
        json!(["/plain"]),
    );
    let gateway = gateway()
        .api(
            api.clone()
                .set("/version_data/versions/Default/use_extended_paths", false),
        )
        .start();
    gateway.get("/a/plain").assert_error(403, FORBIDDEN);
    assert_eq!(gateway.get("/a/extended").status, 200);
    gateway.wait_for_log("use_extended_paths is off");
    gateway.write_api(&api);
    gateway.reload();
    gateway.get("/a/extended").assert_error(403, FORBIDDEN);
    assert_eq!(gateway.get("/a/plain").status, 200);
}

#[test]
fn definitions_that_cannot_work_are_not_loaded_and_say_where() {
    for (pointer, value, said) in [
        ("/expiration", json!("soon"), "expiration: `soon`"),
        (
            "/version_data/versions/v1/expires",
            json!("2006"),
            "versions.v1.expires: `2006`",
        ),
        (
            "/version_data/default_version",
            json!("v9"),
            "there is no `v9`, only v1, v2",
        ),
        (
            "/definition/location",
            json!("cookie"),
            "definition.location: `cookie`",
        ),
        ("/definition/key", json!(""), "definition.key"),
        (
            "/version_data/versions/v1/extended_paths/black_list",
            one("/a("),
            "versions.v1.extended_paths.black_list[0].path: `/a(`",
        ),
        (
            "/version_data/versions/v1/extended_paths/ignored",
            json!([{"path": "/", "method_actions": {"GET": {"action": "reply"}}}]),
            "ignored[0].method_actions.GET.code: 0",
        ),
        (
            "/version_data/versions/v2/override_target",
            json!("nowhere"),
            "versions.v2.override_target",
        ),
    ] {
        let upstream = Upstream::echo();
        let rule = json!({"location": "header", "key": "X-Version"});
        let gateway = gateway()
            .api(versioned(&upstream, rule).set(pointer, value))
            .start();
        let line = gateway.wait_for_log("API is not loaded.");
        assert!(line.contains(said), "{line}");
        assert_eq!(gateway.get("/a/x").status, 404);
    }
}

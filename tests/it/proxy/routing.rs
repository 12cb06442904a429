//! Which API a request belongs to, and which path its upstream sees.

use serde_json::json;
use test_harness::{Definition, Request, Upstream};

use crate::gateway;

/// One API with its own upstream, asked once: the target that the upstream saw.
fn target_seen(definition: Definition, base: &str, asked: &str) -> String {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(definition.target(&upstream.url(base)))
        .start();
    let response = gateway.get(asked);
    assert_eq!(response.status, 200, "{asked}: {response:?}");
    upstream.take_one().target
}

#[test]
fn the_longest_listen_path_wins() {
    let [short, long, root] = [(); 3].map(|()| Upstream::echo());
    let gateway = gateway()
        .api(Definition::new("a-root").listen("/").upstream(&root))
        .api(Definition::new("b-short").listen("/shop/").upstream(&short))
        .api(
            Definition::new("c-long")
                .listen("/shop/cart/")
                .upstream(&long),
        )
        .start();
    for (path, upstream) in [
        ("/shop/cart/1", &long),
        ("/shop/1", &short),
        ("/shop/car", &short),
        ("/elsewhere", &root),
    ] {
        assert_eq!(gateway.get(path).status, 200, "{path}");
        let _seen = upstream.take_one();
    }
}

#[test]
fn an_api_is_also_reachable_by_its_id() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(
            Definition::new("the-id")
                .listen("/elsewhere/")
                .upstream(&upstream),
        )
        .start();
    assert_eq!(gateway.get("/the-id/x").status, 200);
    assert_eq!(upstream.take_one().target, "/x");
}

#[test]
fn a_listen_path_is_a_prefix_unless_routes_are_strict() {
    let upstream = Upstream::echo();
    let api = Definition::new("a").listen("/app").upstream(&upstream);
    let loose = gateway().api(api.clone()).start();
    assert_eq!(loose.get("/apple").status, 200);
    let strict = gateway()
        .api(api)
        .conf(json!({"http_server_options": {"enable_strict_routes": true}}))
        .start();
    assert_eq!(strict.get("/apple").status, 404);
    assert_eq!(strict.get("/app").status, 200);
    assert_eq!(strict.get("/app/le").status, 200);
}

#[test]
fn the_listen_path_is_stripped_only_when_asked() {
    for (definition, asked, seen) in [
        (Definition::new("a").listen("/a/"), "/a/b/c", "/b/c"),
        (Definition::new("a").listen("/a/"), "/a/", "/"),
        (Definition::new("a").listen("/a"), "/a", "/"),
        (Definition::new("a").listen("/a"), "/a/b", "/b"),
        (
            Definition::new("a").listen("/a/").keep_listen_path(),
            "/a/b",
            "/a/b",
        ),
    ] {
        assert_eq!(target_seen(definition, "", asked), seen, "{asked}");
    }
}

#[test]
fn target_path_and_request_path_join_with_one_slash() {
    for (base, asked, seen) in [
        ("/base", "/a/b", "/base/b"),
        ("/base/", "/a/b", "/base/b"),
        ("/base/", "/a/", "/base/"),
        ("/", "/a/b/", "/b/"),
        ("", "/a/b%20c", "/b%20c"),
        ("", "/a/%E2%82%AC", "/%E2%82%AC"),
        ("", "/a/x;y=1,2", "/x;y=1,2"),
        ("", "/a/~b!$&'()*+,=:@", "/~b!$&'()*+,=:@"),
    ] {
        assert_eq!(
            target_seen(Definition::new("a"), base, asked),
            seen,
            "{base} {asked}"
        );
    }
}

#[test]
fn the_query_reaches_the_upstream_to_the_byte() {
    for (base, asked, seen) in [
        ("", "/a/b?x=1&y=2&x=3", "/b?x=1&y=2&x=3"),
        ("", "/a/b?z&a=&=b&%20=%2F", "/b?z&a=&=b&%20=%2F"),
        ("", "/a/b?u=http://h/?q=%2e%2e", "/b?u=http://h/?q=%2e%2e"),
        ("", "/a/b?", "/b?"),
        ("/base?k=v", "/a/b?x=1", "/base/b?k=v&x=1"),
        ("/base?k=v", "/a/b", "/base/b?k=v"),
    ] {
        assert_eq!(
            target_seen(Definition::new("a"), base, asked),
            seen,
            "{base} {asked}"
        );
    }
}

#[test]
fn a_path_without_an_api_is_not_found() {
    let gateway = gateway().api(Definition::new("a")).start();
    for path in ["/", "/nothing", "/b/", "/A/"] {
        let response = gateway.get(path);
        assert_eq!(response.status, 404, "{path}");
        assert_eq!(response.text().trim_end(), "Not Found", "{path}");
        let content_type = response.header("Content-Type").unwrap_or_default();
        assert!(
            content_type.starts_with("text/plain"),
            "{path}: {content_type}"
        );
    }
}

#[test]
fn hello_answers_without_a_secret_and_to_get_only() {
    let gateway = gateway().start();
    let response = gateway.get("/hello");
    assert_eq!(response.status, 200);
    let body = response.json();
    assert_eq!(body["status"], "pass", "{body}");
    assert!(
        body["version"].is_string() && body["description"].is_string(),
        "{body}"
    );
    assert_eq!(response.header("Content-Type"), Some("application/json"));
    assert_eq!(gateway.post("/hello", "").status, 405);
}

#[test]
fn the_admin_api_wants_its_secret() {
    let gateway = gateway().start();
    let refusal = json!({
        "status": "error",
        "message": "Attempted administrative access with invalid or missing key!"
    });
    for request in [
        Request::get("/tyk/reload"),
        Request::get("/tyk/reload").header("X-Tyk-Authorization", "wrong"),
        Request::get("/tyk/reload").header("X-Tyk-Authorization", ""),
    ] {
        let response = gateway.send(&request);
        assert_eq!(response.status, 403, "{request:?}");
        assert_eq!(response.json(), refusal, "{request:?}");
    }
    assert_eq!(gateway.admin("/tyk/reload").status, 200);
}

#[test]
fn without_a_secret_there_is_no_admin_api() {
    let gateway = gateway().conf(json!({"secret": ""})).start();
    for request in [
        Request::get("/tyk/reload"),
        Request::get("/tyk/reload").header("X-Tyk-Authorization", ""),
    ] {
        let status = gateway.send(&request).status;
        assert!(matches!(status, 403 | 404), "{request:?}: {status}");
    }
}

#[test]
fn what_is_left_of_a_path_without_its_listen_path_is_looked_at_again() {
    let upstream = Upstream::echo();
    let api = |id: &str, listen: &str| {
        Definition::new(id)
            .listen(listen)
            .target(&upstream.url("/base"))
    };
    let gateway = gateway()
        .api(api("plain", "/app"))
        .api(api("pattern", "/users/{id:[0-9]+}"))
        .start();
    for path in ["/app../secret", "/app%2e%2e/secret", "/users/1../secret"] {
        assert_eq!(gateway.get(path).status, 400, "{path}");
    }
    assert!(
        upstream.take().is_empty(),
        "a dot segment reached the upstream"
    );
    assert_eq!(gateway.get("/apple").status, 200);
    assert_eq!(upstream.take_one().target, "/base/le");
}

#[test]
fn an_id_never_takes_another_apis_listen_path() {
    let [open, guarded] = [(); 2].map(|()| Upstream::echo());
    let gateway = gateway()
        .api(Definition::new("orders").listen("/legacy/").upstream(&open))
        .api(
            Definition::new("second")
                .listen("/orders/")
                .upstream(&guarded)
                .set("/use_keyless", false),
        )
        .start();
    assert_eq!(gateway.get("/orders/x").status, 401);
    assert_eq!(gateway.get("/legacy/x").status, 200);
    assert!(guarded.take().is_empty() && open.take().len() == 1);
    gateway.wait_for_log_with(&["not reachable under its id", "orders"]);
}

#[test]
fn a_definition_that_asks_for_more_than_there_is_refuses_its_requests() {
    let upstream = Upstream::echo();
    for (key, value) in [
        ("/graphql", json!({"enabled": true})),
        ("/enable_proxy_protocol", json!(true)),
        (
            "/version_data",
            json!({"not_versioned": true, "versions": {"1": {"extended_paths": {"virtual": [{"path": "x"}]}}}}),
        ),
    ] {
        let gateway = gateway()
            .api(
                Definition::new("a")
                    .upstream(&upstream)
                    .set(key, value.clone()),
            )
            .api(Definition::new("sound").upstream(&upstream))
            .start();
        assert_eq!(gateway.get("/a/x").status, 500, "{key} {value}");
        assert_eq!(gateway.get("/sound/x").status, 200, "{key} {value}");
        assert_eq!(upstream.take().len(), 1);
    }
}

#[test]
fn a_head_has_no_content_whoever_answers() {
    let gateway = gateway().start();
    let response = gateway.send(&Request::new("HEAD", "/nowhere"));
    assert_eq!((response.status, response.body.len()), (404, 0));
    assert_eq!(response.header("Content-Length"), Some("9"));
}

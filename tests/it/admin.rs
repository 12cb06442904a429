//! The control plane: probes for everybody, the admin API for who has the secret.

use serde_json::json;
use test_harness::gateway::SECRET;
use test_harness::{Client, Definition, Request, Upstream, ports};

use crate::gateway;

#[test]
fn ready_tells_which_api_cannot_serve_and_why() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .with_plugins()
        .api(Definition::new("a").upstream(&upstream))
        .start();
    assert_eq!(gateway.get("/ready").status, 200);
    gateway.write_api(&Definition::new("hooked").driver("cobol").pre("AnyFunction"));
    gateway.reload();
    let response = gateway.get("/ready");
    assert_eq!(response.status, 503, "{response:?}");
    for part in ["hooked", "AnyFunction", "cobol"] {
        assert!(
            response.text().contains(part),
            "`{part}` is missing in {response:?}"
        );
    }
    assert_eq!(gateway.get("/hello").status, 200, "the process lives");
    gateway.remove_api("hooked");
    gateway.write("apps/broken.json", "{");
    gateway.reload();
    assert_eq!(gateway.get("/ready").status, 503);
    std::fs::remove_file(gateway.folder().join("apps/broken.json")).unwrap();
    gateway.reload();
    assert_eq!(gateway.get("/ready").status, 200);
}

#[test]
fn the_hooks_of_an_api_are_listed_with_what_is_wrong() {
    let gateway = gateway()
        .with_plugins()
        .api(Definition::new("hooked").driver("cobol").pre("AnyFunction"))
        .start();
    let response = gateway.admin("/tyk/apis/hooked/plugins");
    assert_eq!(response.status, 200, "{response:?}");
    let body = response.text();
    for part in ["hooked", "pre", "AnyFunction", "cobol"] {
        assert!(body.contains(part), "`{part}` is missing in {body}");
    }
    let response = gateway.admin("/tyk/apis/nothing/plugins");
    assert_eq!(response.status, 404);
    assert_eq!(
        response.json(),
        json!({"status": "error", "message": "API not found"})
    );
    assert_eq!(
        gateway.get("/tyk/apis/hooked/plugins").status,
        403,
        "not without the secret"
    );
}

#[test]
fn what_cannot_be_read_is_answered_as_json_in_the_contracts_order() {
    let gateway = gateway().start();
    for path in [
        "/tyk/keys?filter=a&filter=b",
        "/tyk/keys/k?hashed=1&hashed=2",
        "/tyk/reload?block=1&block=2",
        "/tyk/keys/%ff",
        "/tyk/apis/%ff/plugins",
    ] {
        let response = gateway.admin(path);
        assert_eq!(response.status, 400, "{path}: {response:?}");
        assert_eq!(response.header("Content-Type"), Some("application/json"));
        assert!(
            response
                .text()
                .starts_with(r#"{"status":"error","message":""#),
            "{path}: {response:?}"
        );
    }
    assert_eq!(
        gateway.admin("/tyk/keys/nothing").text(),
        r#"{"status":"error","message":"Key not found"}"#
    );
}

#[test]
fn a_wrong_method_is_told() {
    let gateway = gateway().start();
    let request = Request::new("DELETE", "/tyk/reload").header("X-Tyk-Authorization", SECRET);
    let response = gateway.send(&request);
    assert_eq!(response.status, 405, "{response:?}");
    assert_eq!(response.json()["message"], "Method not supported");
}

#[test]
fn no_api_can_take_the_admin_apis_paths() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(Definition::new("a").listen("/").upstream(&upstream))
        .start();
    for path in [
        "/tyk/reload",
        "/tyk/apis/a/plugins",
        "/tyk/nothing",
        "/tyk/",
    ] {
        let status = gateway.get(path).status;
        assert!(matches!(status, 403 | 404), "{path}: {status}");
    }
    assert_eq!(gateway.get("/hello").json()["status"], "pass");
    assert!(upstream.take().is_empty());
}

#[test]
fn the_admin_api_can_have_a_port_of_its_own() {
    let port = ports::reserve();
    let gateway = gateway().conf(json!({"control_api_port": port})).start();
    let mut control = Client::connect(([127, 0, 0, 1], port).into());
    let reload = Request::get("/tyk/reload?block=true").header("X-Tyk-Authorization", SECRET);
    assert_eq!(control.request(&reload).status, 200);
    assert_eq!(
        gateway.send(&reload).status,
        404,
        "it is not on the other port any more"
    );
}

#[test]
fn secrets_are_not_in_the_log() {
    let gateway = gateway().start();
    assert_eq!(gateway.admin("/tyk/reload?block=true").status, 200);
    let wrong = Request::get("/tyk/reload").header("X-Tyk-Authorization", "a-wrong-secret");
    assert_eq!(gateway.send(&wrong).status, 403);
    let planted = Request::get("/nothing?q=1")
        .header("Authorization", "Bearer planted-key")
        .header("Cookie", "session=planted-cookie");
    assert_eq!(gateway.send(&planted).status, 404);
    let refused = Request::get("/../x").header("Authorization", "planted-key");
    assert_eq!(gateway.send(&refused).status, 400);
    let log = gateway.log().text();
    assert!(!log.contains("planted-"), "planted credentials show");
    assert!(
        !log.contains(SECRET) && !log.contains("a-wrong-secret"),
        "planted secrets show"
    );
}

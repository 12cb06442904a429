//! Through the admin API.

use serde_json::{Value, json};
use test_harness::gateway::SECRET;
use test_harness::{Definition, Gateway, Request, Response, Upstream};

use super::files::mistakes;
use super::{document, set};
use crate::gateway;

fn admin(gateway: &Gateway, method: &str, path: &str, body: &Value) -> Response {
    let request = Request::new(method, path).header("X-Tyk-Authorization", SECRET);
    gateway.send(&request.body(body.to_string()))
}

#[track_caller]
fn done(response: &Response, action: &str) {
    let expected = json!({"key": "made", "status": "ok", "action": action});
    assert_eq!(response.json(), expected, "{response:?}");
}

#[test]
fn documents_are_made_changed_exported_and_deleted() {
    let upstream = Upstream::echo();
    let gateway = gateway().start();
    let api = document("made", &upstream);
    done(&admin(&gateway, "POST", "/tyk/apis/oas", &api), "added");
    gateway.reload();
    assert_eq!(gateway.get("/made/x").status, 200);
    assert_eq!(gateway.admin("/tyk/apis/oas/made").json(), api);
    assert_eq!(gateway.admin("/tyk/apis/oas").json(), json!([api]));
    let classic = gateway.admin("/tyk/apis/made").json();
    assert_eq!(classic["proxy"]["listen_path"], "/made/");
    let mut public = api.clone();
    public.as_object_mut().unwrap().remove("x-tyk-api-gateway");
    assert_eq!(
        gateway.admin("/tyk/apis/oas/made?mode=public").json(),
        public
    );
    let exported = gateway.admin("/tyk/apis/oas/made/export");
    assert_eq!(exported.json(), api);
    let named = exported.header("Content-Disposition");
    assert_eq!(named, Some("attachment; filename=\"made.json\""));

    let moved = set(api, "/server/listenPath/value", json!("/moved/"));
    done(
        &admin(&gateway, "PUT", "/tyk/apis/oas/made", &moved),
        "modified",
    );
    gateway.reload();
    assert_eq!(gateway.get("/moved/x").status, 200);
    public["info"]["title"] = json!("another");
    done(
        &admin(&gateway, "PATCH", "/tyk/apis/oas/made", &public),
        "modified",
    );
    gateway.reload();
    assert_eq!(gateway.get("/moved/x").status, 200);
    let shown = gateway.admin("/tyk/apis/oas/made").json();
    assert_eq!(shown["info"]["title"], "another");
    done(
        &admin(&gateway, "DELETE", "/tyk/apis/oas/made", &json!("")),
        "deleted",
    );
    gateway.reload();
    assert_eq!(gateway.get("/moved/x").status, 404);
    for path in ["/tyk/apis/oas/made", "/tyk/apis/oas/made/export"] {
        let response = gateway.admin(path);
        assert_eq!(response.status, 404);
        assert_eq!(response.json()["message"], "API not found");
    }
}

#[test]
fn bad_documents_are_refused_and_not_written() {
    let upstream = Upstream::echo();
    let gateway = gateway().start();
    for (api, told) in mistakes(&upstream) {
        let response = admin(&gateway, "POST", "/tyk/apis/oas", &api);
        assert_eq!(response.status, 400, "{told}: {response:?}");
        let json = response.json();
        assert_eq!(json["message"], "Request malformed", "{json}");
        let detail = json["detail"].as_str().unwrap();
        assert!(detail.contains(told), "{told}: {detail}");
    }
    let odd = set(
        document("a/b", &upstream),
        "/upstream/url",
        json!("http://localhost"),
    );
    assert_eq!(admin(&gateway, "POST", "/tyk/apis/oas", &odd).status, 400);
    let files = std::fs::read_dir(gateway.folder().join("apps")).unwrap();
    assert_eq!(files.count(), 0);
    let nameless = set(document("x", &upstream), "/info/id", json!(null));
    let nameless = set(
        nameless,
        "/server/customDomain",
        json!({"enabled": true, "name": "x"}),
    );
    let made = admin(&gateway, "POST", "/tyk/apis/oas", &nameless).json();
    assert_eq!(made["key"].as_str().unwrap().len(), 32, "{made}");
    let warnings = made["warnings"].to_string();
    assert!(warnings.contains("customDomain.enabled"), "{warnings}");
}

#[test]
fn each_form_has_its_own_routes() {
    let upstream = Upstream::echo();
    let classic = Definition::new("classic").upstream(&upstream);
    let api = document("doc", &upstream);
    let gateway = gateway()
        .api(classic.clone())
        .file("apps/doc.json", api.to_string())
        .start();
    let classic: Value = serde_json::from_str(&classic.json()).unwrap();
    for (method, path, body, told) in [
        ("POST", "/tyk/apis", &api, "is in OAS format"),
        ("PUT", "/tyk/apis/classic", &api, "is in OAS format"),
        (
            "POST",
            "/tyk/apis/oas",
            &classic,
            "is in Tyk classic format",
        ),
        (
            "PUT",
            "/tyk/apis/doc",
            &classic,
            "only supports Tyk Classic APIs",
        ),
        (
            "GET",
            "/tyk/apis/oas/classic",
            &Value::Null,
            "is in Tyk classic format",
        ),
        (
            "PUT",
            "/tyk/apis/oas/classic",
            &api,
            "is in Tyk classic format",
        ),
        (
            "DELETE",
            "/tyk/apis/oas/classic",
            &Value::Null,
            "is in Tyk classic format",
        ),
    ] {
        let response = admin(&gateway, method, path, body);
        let message = response.json()["message"].to_string();
        assert_eq!(response.status, 400, "{method} {path}: {message}");
        assert!(message.contains(told), "{method} {path}: {message}");
    }
}

//! The admin API's definitions.

use serde_json::{Value, json};
use test_harness::{Definition, Upstream};

use super::{admin, refused};
use crate::gateway;

#[test]
fn definitions_are_made_changed_and_deleted() {
    let upstream = Upstream::echo();
    let gateway = gateway().start();
    let api = Definition::new("made").upstream(&upstream);
    let added = admin(&gateway, "POST", "/tyk/apis", &api.json());
    assert_eq!(
        added.text(),
        r#"{"key":"made","status":"ok","action":"added"}"#
    );
    assert_eq!(gateway.get("/made/").status, 404, "not before the reload");
    refused(&gateway.admin("/tyk/apis/made"), 404, "API not found", "");
    gateway.reload();
    assert_eq!(gateway.get("/made/").status, 200);
    assert_eq!(gateway.admin("/tyk/apis/made").text(), api.json());
    let listed = gateway.admin("/tyk/apis");
    assert_eq!(listed.text(), format!("[{}]", api.json()));
    let file = gateway.folder().join("apps/made.json");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), api.json());

    let moved = api.clone().listen("/moved/");
    let changed = admin(&gateway, "PUT", "/tyk/apis/made", &moved.json());
    assert_eq!(
        changed.text(),
        r#"{"key":"made","status":"ok","action":"modified"}"#
    );
    gateway.reload();
    assert_eq!(gateway.get("/moved/").status, 200);
    let other = admin(
        &gateway,
        "PUT",
        "/tyk/apis/made",
        &Definition::new("x").json(),
    );
    let message = "Request APIID does not match that in Definition! For Update operations these \
                   must match.";
    refused(&other, 400, message, "");
    let unknown = admin(&gateway, "PUT", "/tyk/apis/no", &moved.json());
    refused(&unknown, 404, "API not found", "");

    let deleted = admin(&gateway, "DELETE", "/tyk/apis/made", "");
    assert_eq!(
        deleted.text(),
        r#"{"key":"made","status":"ok","action":"deleted"}"#
    );
    assert!(!file.exists());
    gateway.reload();
    assert_eq!(gateway.get("/moved/").status, 404);
    let again = admin(&gateway, "DELETE", "/tyk/apis/made", "");
    refused(&again, 404, "API not found", "");
}

#[test]
fn what_a_load_would_refuse_is_not_written() {
    let gateway = gateway().start();
    let api = |change: fn(Definition) -> Definition| change(Definition::new("bad")).json();
    for (body, detail) in [
        ("{".to_owned(), "body:1:1"),
        (api(|api| api.set("/use_keyless", "yes")), "use_keyless"),
        (api(|api| api.target("no url")), "proxy.target_url"),
        (api(|api| api.listen("")), "listen path"),
        (
            api(|api| {
                api.set("/use_keyless", false)
                    .set("/auth/auth_header_name", "a b")
            }),
            "auth.auth_header_name",
        ),
        (api(|api| api.set("/api_id", "../../etc/x")), "api_id"),
        (api(|api| api.set("/api_id", "a/b")), "api_id"),
        (api(|api| api.set("/api_id", ".hidden")), "api_id"),
        (api(|api| api.set("/api_id", "a-oas")), "api_id"),
    ] {
        let response = admin(&gateway, "POST", "/tyk/apis", &body);
        refused(&response, 400, "Request malformed", detail);
    }
    let files = std::fs::read_dir(gateway.folder().join("apps")).unwrap();
    assert_eq!(files.count(), 0);
    for path in ["..%2F..%2Ftyk", "..%2Ftyk.conf", "%2e%2e"] {
        let response = admin(&gateway, "DELETE", &format!("/tyk/apis/{path}"), "");
        assert!(matches!(response.status, 400 | 404), "{path}: {response:?}");
    }
    assert!(gateway.folder().join("tyk.conf").exists());
}

#[test]
fn what_has_no_effect_is_told_and_an_id_is_given() {
    let gateway = gateway().start();
    let odd = Definition::new("odd")
        .set("/api_id", Value::Null)
        .set("/no_such_key", 3)
        .set("/graphql/enabled", true)
        .pre("SomeHook");
    let response = admin(&gateway, "POST", "/tyk/apis", &odd.json());
    assert_eq!(response.status, 200, "{response:?}");
    let json = response.json();
    let id = json["key"].as_str().unwrap();
    assert_eq!(id.len(), 32, "{json}");
    let warnings = json["warnings"].to_string();
    for part in ["no_such_key", "graphql.enabled", "refuse all requests"] {
        assert!(warnings.contains(part), "{part}: {warnings}");
    }
    let file = gateway.folder().join(format!("apps/{id}.json"));
    let written: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(written["api_id"], id);
    assert_eq!(written["no_such_key"], 3);
}

#[test]
fn a_definition_is_changed_in_the_file_that_has_it() {
    let gateway = gateway()
        .file(
            "apps/00-named-otherwise.json",
            Definition::new("api").json(),
        )
        .start();
    let changed = Definition::new("api").listen("/changed/");
    for method in ["PUT", "POST"] {
        let path = if method == "PUT" {
            "/tyk/apis/api"
        } else {
            "/tyk/apis"
        };
        assert_eq!(admin(&gateway, method, path, &changed.json()).status, 200);
        assert!(!gateway.folder().join("apps/api.json").exists());
    }
    let text = std::fs::read_to_string(gateway.folder().join("apps/00-named-otherwise.json"));
    assert_eq!(text.unwrap(), changed.json());
    let counters = gateway.admin("/tyk/health?api_id=api");
    refused(
        &counters,
        400,
        "Health checks are not enabled for this node",
        "",
    );
    assert_eq!(gateway.admin("/tyk/policies").json(), json!([]));
}

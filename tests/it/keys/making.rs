//! The admin API's keys: what is taken, what is refused, what is stored.

use serde_json::{Value, json};
use test_harness::{Gateway, Upstream};

use super::{admin, create, keyed, refused, stored, with_key};
use crate::gateway;

fn start() -> Gateway {
    let upstream = Upstream::echo();
    gateway().api(keyed("api", &upstream)).start()
}

fn rights() -> Value {
    json!({"api": {"api_id": "api", "api_name": "An API", "versions": ["Default"]}})
}

#[test]
fn what_is_no_session_is_refused_as_a_whole() {
    let gateway = start();
    let malformed = "Unmarshalling failed";
    let none = "Failed to create key, keys must have at least one Access Rights record set.";
    for (body, status, message, detail) in [
        ("", 500, malformed, "body:1:0: EOF"),
        ("{", 500, malformed, "body:1:1: EOF"),
        ("[]", 500, malformed, "body"),
        (
            r#"{"rate": "x"}"#,
            500,
            malformed,
            "rate: invalid type: string",
        ),
        (
            r#"{"expires": 1.5}"#,
            500,
            malformed,
            "expires: invalid type",
        ),
        (
            r#"{"access_rights": {"api": {"versions": 3}}}"#,
            500,
            malformed,
            "access_rights.api.versions: invalid type",
        ),
        (r#"{"is_inactive": "no"}"#, 500, malformed, "is_inactive"),
        ("{}", 400, none, ""),
        (
            r#"{"rate": -2}"#,
            400,
            "rate: -2 is below -1, which means without limit",
            "",
        ),
        (
            r#"{"access_rights": {"api": {"limit": {"quota_max": -9}}}}"#,
            400,
            "access_rights.api.limit.quota_max: -9 is below -1, which means without limit",
            "",
        ),
        (
            r#"{"apply_policies": ["no"]}"#,
            500,
            r#"Failed to create key - policy not found: "no""#,
            "",
        ),
    ] {
        let response = admin(&gateway, "POST", "/tyk/keys/create", body);
        refused(&response, status, message, detail);
    }
    assert_eq!(gateway.admin("/tyk/keys").json(), json!({"keys": []}));
}

#[test]
fn what_is_no_named_key_is_refused_as_a_whole() {
    let gateway = start();
    let long = format!(r#"{{"alias": "{}"}}"#, "a".repeat(1 << 20));
    let response = admin(&gateway, "POST", "/tyk/keys/create", &long);
    assert_eq!(response.status, 413, "{response:?}");
    for (body, message, status, detail) in [
        ("{", "Request malformed", 400, "body:1:1"),
        (
            r#"{"per": []}"#,
            "Request malformed",
            400,
            "per: invalid type",
        ),
        (
            "{}",
            "Failed to create key, ensure security settings are correct.",
            500,
            "access_rights",
        ),
    ] {
        let response = admin(&gateway, "POST", "/tyk/keys/named", body);
        refused(&response, status, message, detail);
    }
    let listed = gateway.admin("/tyk/keys").json();
    assert_eq!(listed, json!({"keys": []}), "nothing is stored");
}

#[test]
fn a_made_key_is_shown_in_the_contracts_order_with_its_quota_begun() {
    let gateway = start();
    let key = create(
        &gateway,
        &json!({
            "tags": ["t"], "alias": "al", "org_id": "org", "quota_max": 10, "rate": 5, "per": 1,
            "quota_renewal_rate": 3600, "access_rights": rights(), "quota_remaining": 2,
            "meta_data": {"n": 1}, "a_field_of_tomorrow": {"x": [1]},
        }),
    );
    let response = gateway.admin(&format!("/tyk/keys/{key}"));
    let json = response.json();
    let (created, renews, updated) = (
        &json["date_created"],
        &json["quota_renews"],
        &json["last_updated"],
    );
    assert!(created.as_str().unwrap().ends_with('Z'), "{created}");
    assert_eq!(
        response.text(),
        format!(
            r#"{{"rate":5,"per":1,"date_created":{created},"quota_max":10,"quota_renews":{renews},"quota_remaining":10,"quota_renewal_rate":3600,"access_rights":{{"api":{{"api_name":"An API","api_id":"api","versions":["Default"]}}}},"org_id":"org","meta_data":{{"n":1}},"tags":["t"],"alias":"al","last_updated":{updated},"a_field_of_tomorrow":{{"x":[1]}}}}"#
        )
    );
}

#[test]
fn a_key_is_replaced_and_keeps_what_an_update_must_not_touch() {
    let gateway = start();
    let session = json!({
        "org_id": "org", "access_rights": rights(), "quota_max": 10, "quota_renewal_rate": 60,
        "basic_auth_data": {"password": "secret"}, "alias": "old",
    });
    let key = create(&gateway, &session);
    let before = stored(&gateway, &key);
    let hash = before["basic_auth_data"]["password"].as_str().unwrap();
    assert!(hash.starts_with("$2"), "{before}");
    assert_eq!(before["basic_auth_data"]["hash_type"], "bcrypt");
    let path = format!("/tyk/keys/{key}?suppress_reset=1");
    let changed = json!({"org_id": "org", "access_rights": rights(), "quota_max": 20});
    let response = admin(&gateway, "PUT", &path, &changed.to_string());
    assert_eq!(
        response.text(),
        format!(r#"{{"key":"{key}","status":"ok","action":"modified"}}"#)
    );
    let after = stored(&gateway, &key);
    for name in [
        "date_created",
        "basic_auth_data",
        "quota_renews",
        "last_updated",
    ] {
        assert_eq!(after[name], before[name], "{name}");
    }
    assert_eq!(after["quota_max"], 20);
    assert_eq!(after["alias"], Value::Null);
    let unknown = admin(&gateway, "PUT", "/tyk/keys/nothing", &changed.to_string());
    refused(&unknown, 404, "Key is not found", "");
    let wrong = admin(&gateway, "PUT", &path, r#"{"rate": "fast"}"#);
    refused(&wrong, 400, "Request malformed", "rate");
    assert_eq!(stored(&gateway, &key), after, "nothing is changed");
}

#[test]
fn keys_are_listed_by_their_organisation() {
    let upstream = Upstream::echo();
    for function in ["", "murmur64"] {
        let gateway = gateway()
            .conf(json!({"hash_key_function": function}))
            .api(keyed("api", &upstream))
            .start();
        let made = |org: &str| create(&gateway, &json!({"org_id": org, "access_rights": rights()}));
        let (mine, _theirs) = (made("mine"), made("theirs"));
        let listed = gateway.admin("/tyk/keys?filter=mine").json();
        assert_eq!(listed, json!({"keys": [mine]}), "{function}");
        let all = gateway.admin("/tyk/keys").json();
        assert_eq!(all["keys"].as_array().unwrap().len(), 2, "{all}");
    }
}

#[test]
fn events_tell_of_keys() {
    let upstream = Upstream::echo();
    let handler = json!([{"handler_name": "eh_log_handler", "handler_meta": {"prefix": "told"}}]);
    let gateway = gateway()
        .conf(json!({"event_handlers": {"events": {
            "TokenCreated": handler, "TokenUpdated": handler, "TokenDeleted": handler,
        }}}))
        .api(keyed("api", &upstream))
        .start();
    let session = json!({"org_id": "org", "access_rights": rights()});
    let key = create(&gateway, &session);
    let path = format!("/tyk/keys/{key}");
    admin(&gateway, "PUT", &path, &session.to_string());
    admin(&gateway, "DELETE", &path, "");
    for (event, message) in [
        ("TokenCreated", "Key generated."),
        ("TokenUpdated", "Key modified."),
        ("TokenDeleted", "Key deleted."),
    ] {
        gateway.wait_for_log_with(&[&format!("told:{event}"), message]);
    }
}

#[test]
fn organisations_have_sessions_of_their_own() {
    let gateway = start();
    let session = r#"{"quota_max": 5, "rate": 1}"#;
    let unknown = admin(&gateway, "POST", "/tyk/org/keys/nobody", session);
    let message = "No such organisation found in Active API list";
    refused(&unknown, 404, message, "");
    refused(
        &gateway.admin("/tyk/org/keys/org"),
        404,
        "Org not found",
        "",
    );
    for (method, action) in [("POST", "added"), ("PUT", "modified")] {
        let response = admin(&gateway, method, "/tyk/org/keys/org", session);
        assert_eq!(
            response.text(),
            format!(r#"{{"key":"org","status":"ok","action":"{action}"}}"#)
        );
    }
    let shown = gateway.admin("/tyk/org/keys/org");
    assert_eq!(
        shown.text(),
        r#"{"rate":1,"quota_max":5,"quota_remaining":5}"#
    );
    assert_eq!(gateway.admin("/tyk/org/keys").text(), r#"{"keys":["org"]}"#);
    let wrong = admin(&gateway, "PUT", "/tyk/org/keys/org", r#"{"rate": -7}"#);
    assert_eq!(wrong.status, 400, "{wrong:?}");
    let deleted = admin(&gateway, "DELETE", "/tyk/org/keys/org", "");
    assert_eq!(
        deleted.text(),
        r#"{"key":"org","status":"ok","action":"deleted"}"#
    );
    let again = admin(&gateway, "DELETE", "/tyk/org/keys/org", "");
    refused(&again, 404, "Org not found", "");
}

#[test]
fn an_acknowledged_key_survives_the_end_of_the_process() {
    let gateway = start();
    let session = json!({"org_id": "org", "access_rights": rights()});
    let key = create(&gateway, &session);
    let gateway = gateway.restart();
    assert_eq!(stored(&gateway, &key)["org_id"], "org");
}

#[test]
fn quotas_go_on_where_an_api_wants_them_to() {
    let upstream = Upstream::echo();
    for (name, left) in [
        ("dont_set_quota_on_create", "0"),
        ("dont_set_quotas_on_create", "0"),
        ("do_not_track", "1"),
    ] {
        let gateway = gateway()
            .api(keyed("api", &upstream).set(&format!("/{name}"), true))
            .start();
        let session = json!({
            "org_id": "org", "access_rights": {"api": {}}, "quota_max": 2,
            "quota_renewal_rate": 3600,
        });
        let session = session.to_string();
        let created = admin(&gateway, "POST", "/tyk/keys/named", &session);
        assert_eq!(created.status, 200, "{created:?}");
        let key = created.json()["key"].as_str().unwrap().to_owned();
        let ask = || gateway.send(&with_key("/api/", &key));
        assert_eq!(ask().header("X-RateLimit-Remaining"), Some("1"));
        for path in [format!("/tyk/keys/{key}"), "/tyk/keys/named".to_owned()] {
            let changed = admin(&gateway, "PUT", &path, &session);
            assert!(matches!(changed.status, 200 | 404), "{changed:?}");
        }
        assert_eq!(ask().header("X-RateLimit-Remaining"), Some(left), "{name}");
    }
}

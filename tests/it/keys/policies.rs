//! Policies: from files, by the admin API, and on keys.

use serde_json::{Value, json};
use test_harness::{Gateway, GatewayBuilder, Upstream};

use super::{admin, create, keyed, refused, stored, with_key};
use crate::gateway;

fn with_folder(upstream: &Upstream) -> GatewayBuilder {
    gateway()
        .conf(json!({"policies": {"policy_source": "file", "policy_path": "policies"}}))
        .file(
            "policies/unused.json",
            r#"{"id": "unused", "org_id": "org"}"#,
        )
        .api(keyed("api", upstream))
        .api(keyed("other", upstream))
}

fn gold() -> Value {
    json!({
        "id": "gold", "name": "Gold", "org_id": "org", "rate": 100, "per": 1, "quota_max": 3,
        "quota_renewal_rate": 3600, "access_rights": {"api": {"api_id": "api"}},
        "tags": ["golden"], "meta_data": {"plan": {"level": 1}},
    })
}

/// Writes a policy through the admin API and loads it.
#[track_caller]
fn put(gateway: &Gateway, policy: &Value) {
    let response = admin(gateway, "POST", "/tyk/policies", &policy.to_string());
    let id = policy["id"].as_str().unwrap();
    assert_eq!(
        response.text(),
        format!(r#"{{"key":"{id}","status":"ok","action":"added"}}"#)
    );
    gateway.reload();
}

fn session() -> Value {
    json!({"org_id": "org", "apply_policies": ["gold"], "rate": 7, "is_inactive": true})
}

/// The whole life of a key, as its operator and its caller see it.
#[test]
fn a_key_lives_by_its_policy_until_it_is_deleted() {
    let upstream = Upstream::echo();
    let gateway = with_folder(&upstream).start();
    put(&gateway, &gold());
    let key = create(&gateway, &session());
    let made = stored(&gateway, &key);
    for (name, value) in [
        ("rate", json!(100)),
        ("quota_max", json!(3)),
        ("quota_remaining", json!(3)),
        ("tags", json!(["golden"])),
        ("meta_data", json!({"plan": {"level": 1}})),
        ("is_inactive", Value::Null),
    ] {
        assert_eq!(made[name], value, "{name}: {made}");
    }
    let other = gateway.send(&with_key("/other/", &key));
    other.assert_error(403, "Access to this API has been disallowed");
    for left in ["2", "1", "0"] {
        let response = gateway.send(&with_key("/api/", &key));
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.header("X-RateLimit-Limit"), Some("3"));
        assert_eq!(response.header("X-RateLimit-Remaining"), Some(left));
    }
    let response = gateway.send(&with_key("/api/", &key));
    response.assert_error(403, "Quota exceeded");
    let path = format!("/tyk/keys/{key}");
    let response = admin(&gateway, "PUT", &path, &session().to_string());
    assert_eq!(response.status, 200, "{response:?}");
    let response = gateway.send(&with_key("/api/", &key));
    assert_eq!(response.status, 200, "the quota has begun anew");

    admin(&gateway, "DELETE", &format!("/tyk/keys/{key}"), "");
    assert_eq!(gateway.send(&with_key("/api/", &key)).status, 403);
}

#[test]
fn a_changed_policy_counts_for_keys_that_exist() {
    let upstream = Upstream::echo();
    let gateway = with_folder(&upstream).start();
    put(&gateway, &gold());
    let key = create(&gateway, &session());
    let mut changed = gold();
    changed["access_rights"] = json!({"other": {}});
    let path = "/tyk/policies/gold";
    let response = admin(&gateway, "PUT", path, &changed.to_string());
    assert_eq!(
        response.text(),
        r#"{"key":"gold","status":"ok","action":"modified"}"#
    );
    assert_eq!(gateway.send(&with_key("/api/", &key)).status, 200);
    gateway.reload();
    assert_eq!(gateway.send(&with_key("/api/", &key)).status, 403);
    assert_eq!(gateway.send(&with_key("/other/", &key)).status, 200);
    changed["is_inactive"] = json!(true);
    put(&gateway, &changed);
    let response = gateway.send(&with_key("/other/", &key));
    response.assert_error(403, "Key is inactive, please renew");

    // Without its policy it opens nothing.
    let deleted = admin(&gateway, "DELETE", path, "");
    assert_eq!(
        deleted.text(),
        r#"{"key":"gold","status":"ok","action":"deleted"}"#
    );
    gateway.reload();
    let response = gateway.send(&with_key("/other/", &key));
    response.assert_error(403, "Access to this API has been disallowed");
}

#[test]
fn a_map_of_policies_is_read_before_the_apis() {
    let upstream = Upstream::echo();
    let map = |quota: i64| {
        json!({"gold": {"org_id": "org", "quota_max": quota, "access_rights": {"api": {}}}})
            .to_string()
    };
    let gateway = gateway()
        .conf(json!({"policies": {"policy_source": "file", "policy_record_name": "p.json"}}))
        .file("p.json", map(5))
        .api(keyed("api", &upstream))
        .start();
    let key = create(&gateway, &session());
    let limit = |gateway: &Gateway| {
        let response = gateway.send(&with_key("/api/", &key));
        response.header("X-RateLimit-Limit").unwrap().to_owned()
    };
    assert_eq!(limit(&gateway), "5");
    gateway.write("p.json", map(6));
    gateway.reload();
    assert_eq!(limit(&gateway), "6");
    let refusal = admin(&gateway, "POST", "/tyk/policies", &gold().to_string());
    assert_eq!(refusal.status, 500, "{refusal:?}");

    // A file that cannot be read leaves what was loaded, one wrong policy only itself out.
    gateway.write("p.json", "{");
    assert_eq!(gateway.admin("/tyk/reload?block=true").status, 500);
    gateway.wait_for_log("p.json:1:1: EOF");
    assert_eq!(limit(&gateway), "6");
    gateway.write(
        "p.json",
        r#"{"gold": {"org_id": "org", "rate": "fast"}, "fine": {}}"#,
    );
    gateway.reload();
    let response = gateway.send(&with_key("/api/", &key));
    response.assert_error(403, "Access to this API has been disallowed");
    let ready = gateway.get("/ready");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("p.json: gold.rate"), "{ready:?}");
}

#[test]
fn without_its_policies_a_gateway_serves_whoever_needs_none() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .conf(json!({"policies": {"policy_source": "file", "policy_path": "not-there"}}))
        .api(keyed("api", &upstream))
        .start();
    let ready = gateway.get("/ready");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("not-there"), "{ready:?}");
    let key = create(
        &gateway,
        &json!({"org_id": "org", "access_rights": {"api": {}}}),
    );
    assert_eq!(gateway.send(&with_key("/api/", &key)).status, 200);
    put_first(&gateway);
    let key = create(&gateway, &session());
    assert_eq!(gateway.send(&with_key("/api/", &key)).status, 200);
    assert_eq!(gateway.get("/ready").status, 200);
}

/// Writes the first policy, whose folder is not there yet.
fn put_first(gateway: &Gateway) {
    let early = admin(gateway, "POST", "/tyk/keys/create", &session().to_string());
    assert_eq!(early.status, 500, "{early:?}");
    put(gateway, &gold());
}

#[test]
fn policies_are_shown_as_they_are_written_and_wrong_ones_are_not_taken() {
    let upstream = Upstream::echo();
    let gateway = with_folder(&upstream).start();
    put(&gateway, &gold());
    let shown = gateway.admin("/tyk/policies/gold").text();
    assert!(
        shown.starts_with(r#"{"id":"gold","name":"Gold","org_id":"org","rate":100,"per":1,"#),
        "{shown}"
    );
    let listed = gateway.admin("/tyk/policies").text();
    assert_eq!(
        listed,
        format!(r#"[{shown},{{"id":"unused","org_id":"org"}}]"#)
    );
    refused(
        &gateway.admin("/tyk/policies/no"),
        404,
        "Policy not found",
        "",
    );
    for (body, detail) in [
        ("{", "body:1:1"),
        (r#"{"rate": 1}"#, "id: it is missing"),
        (r#"{"id": "x", "rate": "1"}"#, "rate: invalid type"),
        (r#"{"id": "x", "quota_max": -3}"#, "quota_max: -3"),
        (r#"{"id": "../x"}"#, "id: it names the file"),
        (r#"{"id": ".x"}"#, "id: it names the file"),
        (
            r#"{"id": "x", "partitions": {"per_api": true, "quota": true}}"#,
            "per_api cannot be combined",
        ),
    ] {
        let response = admin(&gateway, "POST", "/tyk/policies", body);
        refused(&response, 400, "Request malformed", detail);
    }
    let other = admin(&gateway, "PUT", "/tyk/policies/unused", &gold().to_string());
    let message =
        "Request ID does not match that in policy! For Update operations these must match.";
    refused(&other, 400, message, "");
    let unknown = admin(&gateway, "PUT", "/tyk/policies/no", r#"{"id": "no"}"#);
    refused(&unknown, 404, "Policy not found", "");
    let unknown = admin(&gateway, "DELETE", "/tyk/policies/no", "");
    refused(&unknown, 404, "Policy not found", "");
    let files = std::fs::read_dir(gateway.folder().join("policies")).unwrap();
    assert_eq!(files.count(), 2, "nothing else is left there");
}

#[test]
fn keys_get_other_policies_and_sessions_are_previewed_with_them() {
    let upstream = Upstream::echo();
    let silver = json!({"id": "silver", "org_id": "org", "rate": 2, "per": 1, "access_rights": {"other": {}}});
    let gateway = with_folder(&upstream)
        .file("policies/g.json", gold().to_string())
        .file("policies/s.json", silver.to_string())
        .start();
    let preview = admin(
        &gateway,
        "POST",
        "/tyk/keys/preview",
        &session().to_string(),
    );
    assert_eq!(preview.json()["quota_max"], 3, "{preview:?}");
    let wrong = json!({"apply_policies": ["no"]}).to_string();
    let wrong = admin(&gateway, "POST", "/tyk/keys/preview", &wrong);
    refused(&wrong, 400, r#"policy not found: "no""#, "");
    assert_eq!(gateway.admin("/tyk/keys").json(), json!({"keys": []}));

    let key = create(&gateway, &session());
    let path = format!("/tyk/keys/policy/{key}");
    for body in [
        r#"{"policy": "silver"}"#,
        r#"{"apply_policies": ["silver"]}"#,
    ] {
        let response = admin(&gateway, "POST", &path, body);
        assert_eq!(
            response.text(),
            format!(r#"{{"key":"{key}","status":"ok","action":"updated"}}"#)
        );
        let now = stored(&gateway, &key);
        assert_eq!(now["apply_policies"], json!(["silver"]), "{now}");
        assert_eq!(now["rate"], 2, "{now}");
    }
    assert_eq!(gateway.send(&with_key("/other/", &key)).status, 200);
    assert_eq!(gateway.send(&with_key("/api/", &key)).status, 403);
    let unknown = admin(&gateway, "POST", &path, r#"{"policy": "no"}"#);
    refused(&unknown, 400, r#"policy not found: "no""#, "");
    let malformed = admin(&gateway, "POST", &path, r#"{"policy": 3}"#);
    refused(&malformed, 400, "Couldn't decode instruction", "policy");
    let nobody = admin(&gateway, "POST", "/tyk/keys/policy/nobody", "{}");
    refused(&nobody, 404, "There is no such key found", "");
}

#[test]
fn a_policy_lets_new_keys_end_and_belongs_to_one_organisation() {
    let upstream = Upstream::echo();
    let ending = json!({"id": "ending", "org_id": "org", "key_expires_in": 3600, "access_rights": {"api": {}}});
    let foreign = json!({"id": "foreign", "org_id": "another", "access_rights": {"api": {}}});
    let gateway = with_folder(&upstream)
        .file("policies/e.json", ending.to_string())
        .file("policies/f.json", foreign.to_string())
        .start();
    let with = |id: &str| json!({"org_id": "org", "apply_policies": [id]});
    let key = create(&gateway, &with("ending"));
    let before = stored(&gateway, &key)["expires"].as_i64().unwrap();
    assert!(before > 1_700_000_000, "{before}");
    let mut changed = with("ending");
    changed["expires"] = json!(1000);
    let path = format!("/tyk/keys/{key}");
    assert_eq!(
        admin(&gateway, "PUT", &path, &changed.to_string()).status,
        200
    );
    assert_eq!(stored(&gateway, &key)["expires"], 1000, "only new keys");
    let response = gateway.send(&with_key("/api/", &key));
    response.assert_error(401, "Key has expired, please renew");
    let refusal = admin(
        &gateway,
        "POST",
        "/tyk/keys/create",
        &with("foreign").to_string(),
    );
    let message = "Failed to create key - attempting to apply policy from different organisation \
                   to key, skipping";
    refused(&refusal, 500, message, "");
}

#[test]
fn policies_in_the_metadata_take_the_place_of_those_that_are_named() {
    let upstream = Upstream::echo();
    let gateway = with_folder(&upstream).start();
    put(&gateway, &gold());
    let key = |policies: Value| {
        let mut session = session();
        session["access_rights"] = json!({"api": {}, "other": {}});
        session["meta_data"] = json!({"policies": policies});
        let made = admin(&gateway, "POST", "/tyk/keys/create", &session.to_string());
        (made.status == 200).then(|| made.json()["key"].as_str().unwrap().to_owned())
    };
    let own = json!({"org_id": "org", "quota_max": 1, "access_rights": {"other": {}}});
    let made = key(json!([own])).unwrap();
    let other = gateway.send(&with_key("/other/", &made));
    assert_eq!(other.header("X-RateLimit-Limit"), Some("1"), "{other:?}");
    assert_eq!(gateway.send(&with_key("/api/", &made)).status, 403);
    assert!(stored(&gateway, &made)["meta_data"]["policies"].is_array());
    // What is no list of policies is metadata like any other.
    for text in [json!("[1]"), json!([]), json!("gold")] {
        let made = key(text.clone()).unwrap();
        let api = gateway.send(&with_key("/api/", &made));
        assert_eq!(
            api.header("X-RateLimit-Limit"),
            Some("3"),
            "{text}: {api:?}"
        );
    }
    // And what is one and cannot be used is not passed over.
    let foreign = json!([{"org_id": "elsewhere", "access_rights": {"api": {}}}]);
    let made = key(foreign).unwrap();
    assert_eq!(gateway.send(&with_key("/api/", &made)).status, 403);
    assert_eq!(key(json!([{"rate": "fast"}])), None);
}

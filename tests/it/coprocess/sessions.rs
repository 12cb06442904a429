//! The session that an `auth_check` hook makes: what it decides, and how it is kept.

use serde_json::{Value, json};
use test_harness::gateway::SECRET;
use test_harness::{Definition, Gateway, Request, Response, Upstream, wait};

use super::{Driver, Setup, start};
use crate::gateway;

/// Far away, and not never.
const FUTURE: i64 = 4_102_444_800;

pub(crate) fn checked(api: Definition) -> Definition {
    api.auth_check("Check").post_key_auth("Show")
}

/// A request with a token, whose session the plugin will fill as told.
pub(crate) fn call(token: &str, session: &Value) -> Request {
    Request::get("/api/")
        .header("X-Token", token)
        .header("X-Session", session.to_string())
}

pub(crate) fn admin(gateway: &Gateway, method: &str, path: &str) -> Response {
    gateway.send(&Request::new(method, path).header("X-Tyk-Authorization", SECRET))
}

/// The stored session, or nothing where there is none.
pub(crate) fn stored(gateway: &Gateway, token: &str) -> Option<Value> {
    let response = gateway.admin(&format!("/tyk/keys/{token}"));
    match response.status {
        200 => Some(response.json()),
        404 => {
            let body = json!({"status": "error", "message": "Key not found"});
            assert_eq!(response.json(), body);
            None
        }
        _ => panic!("{response:?}"),
    }
}

/// Every field that a plugin can set, as the fixture understands it.
pub(crate) fn every_field() -> Value {
    json!({
        "last_check": 1, "allowance": 2.5, "rate": 300, "per": 4.5, "expires": FUTURE,
        "quota_max": 100, "quota_renews": 7, "quota_remaining": 8, "quota_renewal_rate": 9,
        "access_rights": {"api": {"api_id": "api", "versions": ["Default"]}},
        "oauth_client_id": "client", "oauth_keys": {"a": "b"},
        "basic_auth_data": {"password": "pw", "hash": "bcrypt"},
        "jwt_data": {"secret": "sec"}, "hmac_enabled": true, "hmac_secret": "hmac",
        "data_expires": 10, "monitor": {"trigger_limits": [80, 99.5]},
        "enable_detailed_recording": true, "tags": ["red", "blue"], "alias": "a caller",
        "last_updated": "12", "id_extractor_deadline": FUTURE, "session_lifetime": 3600,
        "certificate": "cert", "max_query_depth": 5, "post_expiry_action": "retain",
        "post_expiry_grace_period": 60, "metadata": {"plan": "gold"},
    })
}

/// What later hooks see of it.
pub(crate) fn assert_shown(seen: &Value, token: &str, key_id: &str) {
    let mut expected = every_field();
    for (name, value) in [
        ("access_rights", json!({"api": "api"})),
        ("basic_auth_data", json!("pw/bcrypt")),
        ("jwt_data", json!("sec")),
        ("monitor", json!([80, 99.5])),
        ("metadata", json!({"plan": "gold", "token": token})),
        ("key_id", json!(key_id)),
        ("org_id", json!("org")),
    ] {
        expected[name] = value;
    }
    for (name, value) in expected.as_object().unwrap() {
        assert!(
            is_same(&seen[name], value),
            "{name}: {} is not {value}",
            seen[name]
        );
    }
}

/// Equal, where 1 and 1.0 are.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b))
        }
        (one, other) => one == other,
    }
}

pub(crate) fn names_to_show() -> String {
    let fields = every_field();
    let names: Vec<_> = fields.as_object().unwrap().keys().cloned().collect();
    format!("{},key_id,org_id", names.join(","))
}

pub(crate) fn every_field_is_shown_stored_and_listed(driver: Driver) {
    let setup = start(driver, "sessions", |api| {
        checked(api).response("ShowResponse")
    });
    let request = call("key-1", &every_field()).header("X-Show", names_to_show());
    for round in 0..2 {
        let response = setup.gateway.send(&request);
        assert_eq!(response.status, 200, "round {round}: {response:?}");
        assert_eq!(response.header("Saw-Alias"), Some("a caller"));
        let seen = setup.upstream.take_one();
        assert_eq!(seen.header("X-Checked"), Some("yes"));
        let seen = seen.header("Saw-Session").unwrap();
        assert_shown(&serde_json::from_str(seen).unwrap(), "key-1", "key-1");
    }
    let mut kept = stored(&setup.gateway, "key-1").unwrap();
    let renews = kept["quota_renews"].take().as_i64().unwrap();
    assert!(renews > 1_000_000_000, "{renews}");
    assert_eq!(
        Some(kept),
        Some(json!({
            "last_check": 1, "allowance": 2.5, "rate": 300, "per": 4.5, "expires": FUTURE,
            "quota_max": 100, "quota_renews": null, "quota_remaining": 98, "quota_renewal_rate": 9,
            "access_rights": {"api": {"api_id": "api", "versions": ["Default"]}},
            "org_id": "org", "oauth_client_id": "client", "oauth_keys": {"a": "b"},
            "basic_auth_data": {"password": "pw", "hash_type": "bcrypt"},
            "jwt_data": {"secret": "sec"}, "hmac_enabled": true, "hmac_string": "hmac",
            "data_expires": 10, "monitor": {"trigger_limits": [80, 99.5]},
            "enable_detailed_recording": true, "tags": ["red", "blue"], "alias": "a caller",
            "last_updated": "12", "id_extractor_deadline": FUTURE, "session_lifetime": 3600,
            "certificate": "cert", "max_query_depth": 5, "post_expiry_action": "retain",
            "post_expiry_grace_period": 60, "meta_data": {"plan": "gold", "token": "key-1"},
        }))
    );
    let listed = setup.gateway.admin("/tyk/keys");
    assert_eq!(listed.json(), json!({"keys": ["key-1"]}));
}

pub(crate) fn a_session_decides_whether_its_caller_may_pass(driver: Driver) {
    let setup = start(driver, "sessions", checked);
    let right = |id: &str| json!({"access_rights": {id: {"api_id": id, "versions": []}}});
    for (session, status, message) in [
        (json!({}), 200, ""),
        (json!({"expires": FUTURE}), 200, ""),
        (json!({"expires": -1}), 200, ""),
        (json!({"expires": 1}), 200, ""),
        (right("api"), 200, ""),
        (
            json!({"expires": 1000}),
            401,
            "Key has expired, please renew",
        ),
        (
            json!({"is_inactive": true}),
            403,
            "Key is inactive, please renew",
        ),
        (
            right("other"),
            403,
            "Access to this API has been disallowed",
        ),
        (json!({"apply_policies": ["gold"]}), 403, "Forbidden"),
        (json!({"apply_policy_id": "gold"}), 403, "Forbidden"),
    ] {
        let response = setup.gateway.send(&call("key-1", &session));
        if status == 200 {
            assert_eq!(response.status, 200, "{session}: {response:?}");
        } else {
            response.assert_error(status, message);
        }
    }
    let unnamed = Request::get("/api/").header("X-Session", r#"{"rate": 5}"#);
    setup.gateway.send(&unnamed).assert_error(403, "Forbidden");
}

pub(crate) fn edits_in_later_hooks_are_not_stored(driver: Driver) {
    let setup = start(driver, "sessions", |api| checked(api).post("ShowLate"));
    let request = call("key-1", &json!({"alias": "as made"}));
    assert_eq!(setup.gateway.send(&request).status, 200);
    let session = stored(&setup.gateway, "key-1").unwrap();
    assert_eq!(session["alias"], "as made");
}

/// What was made before for the same key is remembered, and must not stand for something else.
pub(crate) fn each_request_has_the_session_that_was_made_for_it(driver: Driver) {
    let setup = start(driver, "sessions", checked);
    let plan = |plan: &str| json!({"metadata": {"plan": plan}});
    let right =
        |version: &str| json!({"access_rights": {"api": {"api_id": "api", "versions": [version]}}});
    let sessions = [
        json!({"alias": "one"}),
        json!({"alias": "two"}),
        json!({"rate": 500, "per": 1}),
        plan("gold"),
        plan("iron"),
        right("Default"),
        json!({}),
    ];
    for round in 0..3 {
        for session in &sessions {
            for token in ["key-1", "key-2"] {
                // Twice, because a session is remembered when it comes again.
                for _ in 0..2 {
                    let request =
                        call(token, session).header("X-Show", "alias,rate,per,metadata,key_id");
                    assert_eq!(setup.gateway.send(&request).status, 200, "{session}");
                    let seen = setup.upstream.take_one();
                    let seen = serde_json::from_str(seen.header("Saw-Session").unwrap()).unwrap();
                    assert_made(&seen, token, session, round);
                }
            }
        }
    }
}

/// That what a later hook saw is the session as it was asked for, with nothing of another.
fn assert_made(seen: &Value, token: &str, session: &Value, round: usize) {
    let mut expected = json!({"alias": "", "rate": 0, "per": 0, "metadata": {}, "key_id": token});
    for name in ["alias", "rate", "per", "metadata"] {
        if let Some(value) = session.get(name) {
            expected[name] = value.clone();
        }
    }
    expected["metadata"]["token"] = json!(token);
    for (name, value) in expected.as_object().unwrap() {
        assert!(
            is_same(&seen[name], value),
            "round {round}, {session}: {name} is {}",
            seen[name]
        );
    }
}

pub(crate) fn a_quota_goes_on_although_the_session_is_made_anew(driver: Driver) {
    let setup = start(driver, "sessions", checked);
    let made = |max: i64| json!({"quota_max": max, "quota_renewal_rate": 3600, "alias": "made"});
    let first = setup.gateway.send(&call("key-1", &made(10)));
    assert_eq!(first.header("X-RateLimit-Remaining"), Some("9"));
    let anew = setup.gateway.send(&call("key-1", &made(20)));
    assert_eq!(anew.header("X-RateLimit-Limit"), Some("20"));
    assert_eq!(anew.header("X-RateLimit-Remaining"), Some("18"));
    let renews = anew.header("X-RateLimit-Reset").unwrap();
    let session = stored(&setup.gateway, "key-1").unwrap();
    assert_eq!(session["quota_remaining"], 18);
    assert_eq!(session["quota_renews"].to_string(), renews);
}

pub(crate) fn a_key_is_deleted_once(driver: Driver) {
    let setup = start(driver, "sessions", checked);
    let request = call(
        "key/1",
        &json!({"quota_max": 10, "quota_renewal_rate": 3600}),
    );
    for left in ["9", "8", "7"] {
        let response = setup.gateway.send(&request);
        assert_eq!(response.header("X-RateLimit-Remaining"), Some(left));
    }
    let delete = || admin(&setup.gateway, "DELETE", "/tyk/keys/key/1");
    let done = delete();
    assert_eq!(
        (done.status, done.text().as_str()),
        (200, r#"{"key":"key/1","status":"ok","action":"deleted"}"#)
    );
    let again = delete();
    assert_eq!(
        (again.status, again.json()),
        (
            404,
            json!({"status": "error", "message": "There is no such key found"})
        )
    );
    assert_eq!(stored(&setup.gateway, "key/1"), None);
    // The plugin still accepts the caller; the quota begins anew.
    let response = setup.gateway.send(&request);
    assert_eq!(response.header("X-RateLimit-Remaining"), Some("9"));
}

pub(crate) fn keys_are_listed_by_their_beginning(driver: Driver) {
    let setup = start(driver, "sessions", checked);
    for key in ["one-a", "one-b", "two"] {
        assert_eq!(setup.gateway.send(&call(key, &json!({}))).status, 200);
    }
    for (query, keys) in [
        ("", &["one-a", "one-b", "two"][..]),
        ("?filter=one", &["one-a", "one-b"]),
        ("?filter=one*", &["one-a", "one-b"]),
        ("?filter=three", &[]),
    ] {
        let response = setup.gateway.admin(&format!("/tyk/keys{query}"));
        assert_eq!(response.status, 200, "{query}");
        assert_eq!(response.json(), json!({"keys": keys}), "{query}");
    }
    assert_eq!(setup.gateway.get("/tyk/keys").status, 403);
    assert_eq!(setup.gateway.get("/tyk/keys/two").status, 403);
}

pub(crate) fn hashed_keys_are_found_by_key_and_by_hash(driver: Driver) {
    for (function, hash) in [
        ("", "248bfa47"),
        ("murmur32", "248bfa47"),
        ("murmur64", "cbd8a7b341bd9b02"),
        ("murmur128", "cbd8a7b341bd9b025b1e906a48ae1d19"),
        (
            "sha256",
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        ),
    ] {
        let (setup, gateway) = hashing(driver, function, true);
        let request = call("hello", &json!({"alias": "hashed"}));
        assert_eq!(gateway.send(&request).status, 200);
        let listed = gateway.admin("/tyk/keys").json();
        let key = listed["keys"][0].as_str().unwrap().to_owned();
        assert_eq!(key, hash, "{function}");
        let session = json!({"alias": "hashed", "org_id": "org"});
        assert_eq!(stored(&gateway, "hello"), Some(session.clone()));
        assert_eq!(stored(&gateway, &key), None, "a hash is not a key");
        let by_hash = gateway.admin(&format!("/tyk/keys/{key}?hashed=true"));
        assert_eq!(by_hash.json(), session);
        let deleted = admin(&gateway, "DELETE", &format!("/tyk/keys/{key}?hashed=true"));
        assert_eq!(deleted.json()["action"], "deleted");
        assert_eq!(stored(&gateway, "hello"), None);
        drop(setup);
    }
}

fn hashing(driver: Driver, function: &str, listing: bool) -> (Upstream, Gateway) {
    let upstream = Upstream::echo();
    let api = checked(Definition::new("api").driver(driver).upstream(&upstream));
    let conf = json!({
        "hash_keys": true, "hash_key_function": function, "enable_hashed_keys_listing": listing,
    });
    let gateway = gateway()
        .fixture("sessions", driver)
        .conf(conf)
        .api(api)
        .start();
    (upstream, gateway)
}

pub(crate) fn hashes_are_listed_and_asked_for_only_where_that_is_allowed(driver: Driver) {
    let (_upstream, gateway) = hashing(driver, "", false);
    let response = gateway.admin("/tyk/keys");
    let message = "Hashed key listing is disabled in config (enable_hashed_keys_listing)";
    assert_eq!(
        (response.status, response.json()),
        (404, json!({"status": "error", "message": message}))
    );
    let Setup { gateway, .. } = start(driver, "sessions", checked);
    let response = gateway.admin("/tyk/keys/key-1?hashed=true");
    let message = "Key requested by hash but key hashing is not enabled";
    assert_eq!(
        (response.status, response.json()),
        (400, json!({"status": "error", "message": message}))
    );
}

pub(crate) fn sessions_end_with_their_lifetime(driver: Driver) {
    let lasting = |conf: Value, api_seconds: i64, session: Value| {
        let upstream = Upstream::echo();
        let api = checked(Definition::new("api").driver(driver).upstream(&upstream))
            .set("/session_lifetime", api_seconds);
        let gateway = gateway()
            .fixture("sessions", driver)
            .conf(conf)
            .api(api)
            .start();
        let status = gateway.send(&call("brief", &session)).status;
        assert!(matches!(status, 200 | 401), "an expired key is stored too");
        assert_eq!(
            gateway
                .send(&call("other", &json!({"session_lifetime": 3600})))
                .status,
            200
        );
        (upstream, gateway)
    };
    let forced = json!({"force_global_session_lifetime": true, "global_session_lifetime": 1});
    for (conf, api_seconds, session) in [
        (json!({}), 0, json!({"session_lifetime": 1})),
        (json!({}), 1, json!({})),
        (
            json!({}),
            0,
            json!({"post_expiry_action": "delete", "expires": 1000}),
        ),
        (forced.clone(), 0, json!({"session_lifetime": 3600})),
    ] {
        let (_upstream, gateway) = lasting(conf.clone(), api_seconds, session.clone());
        wait::until("the session ends", || stored(&gateway, "brief").is_none());
        let other = stored(&gateway, "other").is_some();
        assert!(other || conf == forced, "{session}");
    }
}

pub(crate) fn another_identity_leaves_no_session(driver: Driver) {
    let setup = start(driver, "sessions", |api| {
        checked(api).set("/base_identity_provided_by", "jwt_claim")
    });
    let message = "Session state is missing or unset! Please make sure that auth headers are \
                   properly applied";
    setup
        .gateway
        .send(&call("key-1", &json!({})))
        .assert_error(400, message);
    assert_eq!(stored(&setup.gateway, "key-1"), None);
    let setup = start(driver, "sessions", |api| {
        checked(api).set("/base_identity_provided_by", "custom_auth")
    });
    assert_eq!(setup.gateway.send(&call("key-1", &json!({}))).status, 200);
}

/// By a kill once they are saved, and by an orderly end right behind the request.
pub(crate) fn sessions_survive_the_end_of_the_process(driver: Driver) {
    for signal in ["KILL", "TERM"] {
        let upstream = Upstream::echo();
        let begin = |file: &str| {
            let api = checked(Definition::new("api").driver(driver).upstream(&upstream));
            gateway()
                .fixture("sessions", driver)
                .conf(json!({"storage": {"path": file}}))
                .api(api)
                .start()
        };
        let mut first = begin("sessions.redb");
        let session = json!({"alias": "kept", "quota_max": 9, "quota_renewal_rate": 3600});
        assert_eq!(first.send(&call("key-1", &session)).status, 200);
        if signal == "KILL" {
            assert!(stored(&first, "key-1").is_some());
        }
        first.signal(signal);
        first.wait_for_exit();
        let file = first.folder().join("sessions.redb");
        let second = begin(file.to_str().unwrap());
        let kept = stored(&second, "key-1").unwrap_or_default();
        assert_eq!(kept["alias"], "kept", "after SIG{signal}");
        let response = second.send(&call("key-1", &session));
        assert_eq!(response.header("X-RateLimit-Remaining"), Some("7"));
    }
}

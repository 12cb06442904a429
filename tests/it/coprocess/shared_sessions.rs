//! Sessions in a store that others share, change, and take away.

use serde_json::{Value, json};
use test_harness::redis::Reply;
use test_harness::{Definition, Gateway, Redis, Upstream, wait};

use super::Driver;
use super::extractor::{FUTURE, ID, accepted, by_header, cached, known, was_asked};
use super::sessions::{admin, call, stored};
use crate::gateway;

fn begin(driver: Driver, redis: &Redis, upstream: &Upstream) -> Gateway {
    let api = by_header(Definition::new("api").driver(driver).upstream(upstream));
    gateway()
        .fixture("sessions", driver)
        .conf(redis.conf())
        .conf(json!({"local_session_cache": {"cached_session_timeout": 1}}))
        .api(api)
        .start()
}

pub(crate) fn gateways_share_sessions_and_their_end(driver: Driver) {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let one = begin(driver, &redis, &upstream);
    let other = begin(driver, &redis, &upstream);
    let mut session = cached();
    session["session_lifetime"] = json!(3600);
    // Until the gateway has its connection, nothing is saved.
    wait::until("the session is shared", || {
        let status = one.send(&accepted(known("abc"), &session)).status;
        assert_eq!(status, 200);
        stored(&one, ID).is_some()
    });
    drop(upstream.take());
    wait::until("the other gateway knows the caller", || {
        other.send(&known("abc")).status == 200
    });
    assert!(!was_asked(&upstream));
    let name = format!("apikey-{ID}");
    let Reply::Number(left) = redis.command(&["TTL", &name]) else {
        panic!("a time to live is a number");
    };
    assert!((3000..=3600).contains(&left), "{left}");
    let deleted = admin(&one, "DELETE", &format!("/tyk/keys/{ID}"));
    assert_eq!(deleted.json()["action"], "deleted");
    assert_eq!(redis.command(&["GET", &name]), Reply::Nil);
    one.send(&known("abc")).assert_error(403, "Forbidden");
    wait::until("the other gateway has forgotten", || {
        other.send(&known("abc")).status == 403
    });
}

pub(crate) fn a_store_that_is_away_is_told_and_keeps_nobody_out(driver: Driver) {
    let (mut redis, upstream) = (Redis::start(), Upstream::echo());
    let gateway = begin(driver, &redis, &upstream);
    redis.kill();
    for (method, path) in [
        ("GET", "/tyk/keys"),
        ("GET", "/tyk/keys/abc"),
        ("DELETE", "/tyk/keys/abc"),
    ] {
        let response = admin(&gateway, method, path);
        assert_eq!(response.status, 503, "{method} {path}: {response:?}");
        let body = response.json();
        assert_eq!(body["status"], "error");
        let message = body["message"].as_str().unwrap();
        assert!(
            message.starts_with("storage is not available: "),
            "{message}"
        );
    }
    let session = json!({"alias": "saved later", "id_extractor_deadline": FUTURE});
    let response = gateway.send(&accepted(known("abc"), &session));
    assert_eq!(response.status, 200, "the plugin accepts the caller");
    gateway.send(&known("abc")).assert_error(403, "Forbidden");
    redis.start_again();
    wait::until("a later request saves the session", || {
        let status = gateway.send(&accepted(known("abc"), &session)).status;
        assert_eq!(status, 200);
        let response = gateway.admin(&format!("/tyk/keys/{ID}"));
        response.status == 200 && response.json()["alias"] == "saved later"
    });
}

/// Puts a document into the store and waits until the gateway reads what is there.
fn put(redis: &Redis, gateway: &Gateway, document: &str) {
    let set = redis.command(&["SET", &format!("apikey-{ID}"), document]);
    assert_eq!(set, Reply::Text("OK".into()));
    wait::until("the gateway reads it", || {
        gateway.admin(&format!("/tyk/keys/{ID}")).status != 503
    });
}

pub(crate) fn a_stored_session_that_is_none_lets_nobody_in(driver: Driver) {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let gateway = begin(driver, &redis, &upstream);
    let with = |change: &str, value: Value| {
        let mut session = json!({"org_id": "org", "id_extractor_deadline": FUTURE});
        session[change] = value;
        session.to_string()
    };
    for document in [
        "[1]".to_owned(),
        with("access_rights", json!(["api"])),
        with("is_inactive", json!("no")),
    ] {
        put(&redis, &gateway, &document);
        gateway.send(&known("abc")).assert_error(403, "Forbidden");
        let response = gateway.admin(&format!("/tyk/keys/{ID}"));
        // A document whose parts are wrong is still one that can be shown.
        let expected = if document == "[1]" { 500 } else { 200 };
        assert_eq!(response.status, expected, "{document}: {response:?}");
    }
    for document in [
        with("org_id", json!("another")),
        with("apply_policies", json!(["gold"])),
        with("id_extractor_deadline", json!(1000)),
    ] {
        put(&redis, &gateway, &document);
        gateway.send(&known("abc")).assert_error(403, "Forbidden");
        // So that the next one is looked up.
        let deleted = admin(&gateway, "DELETE", &format!("/tyk/keys/{ID}"));
        assert_eq!(deleted.status, 200);
    }
    assert!(upstream.take().is_empty());
}

pub(crate) fn a_session_of_the_original_is_used(driver: Driver) {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let gateway = begin(driver, &redis, &upstream);
    let document = json!({
        "last_check": 0, "allowance": 0, "rate": 0, "per": 0, "expires": 0, "quota_max": -1,
        "quota_renews": 0, "quota_remaining": 0, "quota_renewal_rate": 0, "access_rights": null,
        "date_created": "0001-01-01T00:00:00Z", "org_id": "org", "oauth_keys": null,
        "basic_auth_data": {"password": "", "hash_type": ""}, "jwt_data": {"secret": ""},
        "monitor": {"trigger_limits": null}, "apply_policies": null, "tags": null,
        "meta_data": {"plan": {"name": "gold"}, "seats": 3}, "alias": "from elsewhere",
        "id_extractor_deadline": FUTURE, "session_lifetime": 0, "of_the_future": [1],
    });
    put(&redis, &gateway, &document.to_string());
    let request = known("abc").header("X-Show", "alias,metadata,quota_max,key_id");
    assert_eq!(gateway.send(&request).status, 200);
    let seen = upstream.take_one();
    let seen: Value = serde_json::from_str(seen.header("Saw-Session").unwrap()).unwrap();
    assert_eq!(seen["alias"], "from elsewhere");
    assert_eq!(seen["metadata"]["plan"], r#"{"name":"gold"}"#);
    assert_eq!(seen["metadata"]["seats"], "3");
    assert_eq!(seen["key_id"], ID);
    assert_eq!(stored(&gateway, ID), Some(document.clone()));
    // The plugin makes it anew: what it cannot know stays.
    put(
        &redis,
        &gateway,
        &json!({"of_the_future": [1], "org_id": "org"}).to_string(),
    );
    wait::until("what was remembered is looked up again", || {
        gateway.send(&known("abc")).status == 403
    });
    let session = json!({"alias": "anew"});
    assert_eq!(gateway.send(&accepted(known("abc"), &session)).status, 200);
    let kept = stored(&gateway, ID).unwrap();
    assert_eq!(kept["alias"], "anew");
    assert_eq!(kept["of_the_future"], json!([1]));
    let other = call("token-2", &json!({}));
    gateway
        .send(&other)
        .assert_error(400, "Authorization field missing");
}

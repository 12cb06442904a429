//! What a key opens, and where it is found.

use serde_json::json;
use test_harness::{Definition, Gateway, Redis, Request, Upstream};

use super::{admin, create, keyed, stored, with_key};
use crate::gateway;

const MISSING: &str = "Authorization field missing";
const UNKNOWN: &str = "Access to this API has been disallowed";

fn start(change: impl Fn(Definition) -> Definition) -> (Gateway, Upstream) {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .api(change(keyed("api", &upstream)))
        .api(keyed("other", &upstream))
        .start();
    (gateway, upstream)
}

#[test]
fn a_key_opens_its_api_until_it_is_deleted() {
    let (gateway, upstream) = start(|api| api);
    let key = create(
        &gateway,
        &json!({"org_id": "org", "access_rights": {"api": {"api_id": "api"}}}),
    );
    assert_eq!(key.len(), 3 + 32, "{key}");
    gateway.get("/api/").assert_error(401, MISSING);
    for value in ["no-such-key", "ab", "Bearer no-such-key"] {
        let response = gateway.send(&with_key("/api/", value));
        response.assert_error(403, UNKNOWN);
    }
    assert!(upstream.take().is_empty());
    for value in [&key, &format!("Bearer {key}"), &format!("bEARER {key}")] {
        let response = gateway.send(&with_key("/api/", value));
        assert_eq!(response.status, 200, "{value}: {response:?}");
        let seen = upstream.take_one();
        assert_eq!(seen.header("Authorization"), Some(value.as_str()));
    }
    let response = gateway.send(&with_key("/other/", &key));
    response.assert_error(403, UNKNOWN);
    let deleted = admin(&gateway, "DELETE", &format!("/tyk/keys/{key}"), "");
    assert_eq!(
        deleted.text(),
        format!(r#"{{"key":"{key}","status":"ok","action":"deleted"}}"#)
    );
    let response = gateway.send(&with_key("/api/", &key));
    response.assert_error(403, UNKNOWN);
}

#[test]
fn a_key_is_found_in_header_query_and_cookie_and_stripped_from_all() {
    let places = json!({
        "auth_header_name": "X-Key", "use_param": true, "param_name": "key",
        "use_cookie": true, "cookie_name": "sid",
    });
    let (gateway, upstream) = start(|api| {
        api.set("/auth", json!({"auth_header_name": "X-Not-This"}))
            .set("/auth_configs/authToken", places.clone())
            .set("/strip_auth_data", true)
    });
    let rights = json!({"org_id": "org", "access_rights": {"api": {}}});
    let key = create(&gateway, &rights);
    let bad = "bad-key";
    for (target, header, cookie, status) in [
        ("/api/p?a=%7E1".to_owned(), &*key, "x=y", 200),
        (format!("/api/p?key={key}&a=%7E1"), bad, "x=y", 200),
        (format!("/api/p?a=%7E1&key={bad}"), &*key, "x=y", 403),
        (
            format!("/api/p?a=%7E1&key={bad}"),
            bad,
            &*format!("x=y; sid={key}"),
            200,
        ),
        (
            format!("/api/p?a=%7E1&key={key}"),
            &*key,
            "sid=bad-key",
            403,
        ),
    ] {
        let request = Request::get(&target)
            .header("X-Key", header)
            .header("Cookie", cookie);
        let response = gateway.send(&request);
        assert_eq!(response.status, status, "{request:?}: {response:?}");
        if status == 200 {
            let seen = upstream.take_one();
            assert_eq!(seen.target, "/p?a=%7E1");
            assert_eq!(seen.header("X-Key"), None);
            assert_eq!(seen.header("Cookie"), Some("x=y"));
        }
    }
    let response = gateway.send(&with_key("/api/", &key));
    response.assert_error(401, MISSING);
}

#[test]
fn settings_of_a_credential_that_cannot_work_are_told_at_load() {
    let (gateway, _upstream) = start(|api| api.set("/auth/disable_header", true));
    assert_eq!(gateway.get("/api/").status, 404);
    let ready = gateway.get("/ready").text();
    assert!(ready.contains("auth.disable_header"), "{ready}");
}

#[test]
fn a_named_key_is_its_organisations() {
    let (gateway, upstream) = start(|api| api);
    let session = json!({"org_id": "org", "access_rights": {"api": {}}}).to_string();
    let added = admin(&gateway, "POST", "/tyk/keys/mine", &session);
    assert_eq!(
        added.text(),
        r#"{"key":"orgmine","status":"ok","action":"added"}"#
    );
    for key in ["mine", "orgmine"] {
        assert_eq!(gateway.send(&with_key("/api/", key)).status, 200, "{key}");
    }
    assert_eq!(upstream.take().len(), 2);
    for path in [
        "orgmine",
        "mine?org_id=org",
        "mine?username=true&org_id=org",
        "mine?api_id=api",
    ] {
        assert_eq!(stored(&gateway, path)["org_id"], "org", "{path}");
    }
    let short = admin(&gateway, "POST", "/tyk/keys/ab", &session);
    assert_eq!(short.status, 400, "{short:?}");
}

#[test]
fn an_expired_or_inactive_key_is_told_so() {
    let (gateway, _upstream) = start(|api| api);
    for (field, value, status, message) in [
        ("expires", json!(1000), 401, "Key has expired, please renew"),
        (
            "is_inactive",
            json!(true),
            403,
            "Key is inactive, please renew",
        ),
    ] {
        let mut session = json!({"org_id": "org", "access_rights": {"api": {}}});
        session[field] = value;
        let key = create(&gateway, &session);
        let response = gateway.send(&with_key("/api/", &key));
        response.assert_error(status, message);
    }
}

#[test]
fn a_master_key_is_for_its_organisation_and_only_where_that_is_allowed() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .conf(json!({"allow_master_keys": true}))
        .api(keyed("api", &upstream))
        .api(keyed("foreign", &upstream).set("/org_id", "another"))
        .start();
    let key = create(&gateway, &json!({"org_id": "org"}));
    assert_eq!(gateway.send(&with_key("/api/", &key)).status, 200);
    let response = gateway.send(&with_key("/foreign/", &key));
    response.assert_error(403, UNKNOWN);
    // A right that names an API is one, whoever it belongs to.
    let rights = json!({"org_id": "org", "access_rights": {"foreign": {}}});
    let key = create(&gateway, &rights);
    assert_eq!(gateway.send(&with_key("/foreign/", &key)).status, 200);
}

#[test]
fn hashed_keys_open_their_api_and_are_nowhere_in_the_clear() {
    let upstream = Upstream::echo();
    for function in ["", "murmur64", "sha256"] {
        let gateway = gateway()
            .conf(json!({
                "hash_keys": true, "hash_key_function": function,
                "enable_hashed_keys_listing": true,
            }))
            .api(keyed("api", &upstream))
            .start();
        let session = json!({"org_id": "org", "access_rights": {"api": {}}});
        let made = admin(&gateway, "POST", "/tyk/keys/create", &session.to_string());
        let json = made.json();
        let (key, hash) = (
            json["key"].as_str().unwrap(),
            json["key_hash"].as_str().unwrap(),
        );
        assert_eq!(
            made.text(),
            format!(r#"{{"key":"{key}","status":"ok","action":"added","key_hash":"{hash}"}}"#)
        );
        assert_eq!(gateway.send(&with_key("/api/", key)).status, 200);
        assert_eq!(gateway.admin("/tyk/keys").json(), json!({"keys": [hash]}));
        let again = admin(&gateway, "POST", "/tyk/keys/create/", &session.to_string());
        let again = again.json()["key"].as_str().unwrap().to_owned();
        let path = format!("/tyk/keys/{again}");
        assert_eq!(admin(&gateway, "DELETE", &path, "").status, 200);
        let path = format!("{hash}?hashed=1");
        assert_eq!(stored(&gateway, &path)["org_id"], "org");
        let changed = json!({"org_id": "org", "alias": "x", "access_rights": {"api": {}}});
        let changed = admin(
            &gateway,
            "PUT",
            &format!("/tyk/keys/{path}"),
            &changed.to_string(),
        );
        assert_eq!(
            changed.text(),
            format!(r#"{{"key":"{hash}","status":"ok","action":"modified"}}"#)
        );
        assert_eq!(
            gateway.send(&with_key("/api/", key)).status,
            200,
            "{function}"
        );
        let deleted = admin(&gateway, "DELETE", &format!("/tyk/keys/{path}"), "");
        assert_eq!(deleted.status, 200, "{deleted:?}");
        let response = gateway.send(&with_key("/api/", key));
        response.assert_error(403, UNKNOWN);
    }
}

#[test]
fn a_key_that_was_seen_passes_for_a_while_without_its_store() {
    let mut redis = Redis::start();
    let upstream = Upstream::echo();
    let gateway = gateway()
        .conf(redis.conf())
        .conf(json!({"local_session_cache": {"cached_session_timeout": 600}}))
        .api(keyed("api", &upstream))
        .start();
    let session = json!({"org_id": "org", "access_rights": {"api": {}}});
    let [seen, unseen] = [(); 2].map(|()| create(&gateway, &session));
    assert_eq!(gateway.send(&with_key("/api/", &seen)).status, 200);
    redis.kill();
    assert_eq!(gateway.send(&with_key("/api/", &seen)).status, 200);
    let response = gateway.send(&with_key("/api/", &unseen));
    response.assert_error(503, "Service temporarily unavailable.");
    for (method, path, body) in [
        ("POST", "/tyk/keys/create", session.to_string()),
        ("POST", "/tyk/keys/named", session.to_string()),
        ("GET", "/tyk/keys/named", String::new()),
        ("GET", "/tyk/keys", String::new()),
        ("DELETE", "/tyk/keys/named", String::new()),
        ("GET", "/tyk/org/keys", String::new()),
        ("GET", "/tyk/reload/group", String::new()),
    ] {
        let response = admin(&gateway, method, path, &body);
        assert_eq!(response.status, 503, "{method} {path}: {response:?}");
        assert_eq!(response.json()["status"], "error");
    }
    redis.start_again();
    test_harness::wait::until("the key is known again", || {
        gateway.send(&with_key("/api/", &unseen)).status == 200
    });
}

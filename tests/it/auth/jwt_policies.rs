//! Which policies a token stands for, and what becomes of its session.

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use test_harness::{Definition, Redis, Request, Response, Upstream};

use super::jwt::{hmac, signed};
use super::{guarded, quota, with_policies, with_sessions};

fn secret() -> EncodingKey {
    EncodingKey::from_secret(b"a shared secret of some length, as it should be")
}

fn get(gateway: &test_harness::Gateway, claims: &Value) -> Response {
    let token = signed(Algorithm::HS256, None, claims, &secret());
    gateway.send(&Request::get("/api/").header("Authorization", &token))
}

fn check(api: Definition, cases: &[(Value, Result<&str, &str>)]) {
    let policies = [("common", 7), ("gold", 70), ("more", 50)];
    let gateway = with_policies(&policies).api(api).start();
    for (claims, expected) in cases {
        let response = get(&gateway, claims);
        match expected {
            Ok(limit) => {
                assert_eq!(response.status, 200, "{claims}: {response:?}");
                assert_eq!(quota(&response), Some(*limit), "{claims}");
            }
            Err(message) => response.assert_error(403, message),
        }
    }
}

const NONE_FOUND: Result<&str, &str> = Err("key not authorized: no matching policy found");

#[test]
fn a_claim_names_the_policy_and_others_get_the_default() {
    let upstream = Upstream::echo();
    let api = || hmac(&upstream).set("/jwt_policy_field_name", "pol");
    check(
        api(),
        &[
            (json!({"sub": "a", "pol": "gold"}), Ok("70")),
            (json!({"sub": "b"}), Ok("7")),
            (json!({"sub": "b", "pol": "gold"}), Ok("70")),
            (json!({"sub": "b"}), Ok("7")),
            (
                json!({"sub": "b", "pol": "none"}),
                Err("key not authorized: no matching policy"),
            ),
        ],
    );
    check(
        api().set("/jwt_default_policies", json!([])),
        &[
            (json!({"pol": "gold"}), Ok("70")),
            (json!({}), NONE_FOUND),
            (json!({"pol": ""}), NONE_FOUND),
            (json!({"pol": ["gold"]}), NONE_FOUND),
        ],
    );
    check(
        hmac(&upstream).set("/jwt_default_policies", json!([])),
        &[(json!({"pol": "gold"}), NONE_FOUND)],
    );
}

#[test]
fn scopes_stand_for_policies() {
    let upstream = Upstream::echo();
    let api = || {
        hmac(&upstream).set(
            "/jwt_scope_to_policy_mapping",
            json!({"g": "gold", "m": "more"}),
        )
    };
    check(
        api(),
        &[
            (json!({"sub": "a", "scope": "m g"}), Ok("70")),
            (json!({"sub": "a", "scope": "m unknown"}), Ok("50")),
            (json!({"sub": "a"}), Ok("7")),
            (
                json!({"sub": "a", "scope": "unknown"}),
                Err("key not authorized: no matching policy found in scope claim"),
            ),
        ],
    );
    let newer = json!({"scope_claim_name": "x.y", "scope_to_policy": {"g": "gold"}});
    check(
        hmac(&upstream).set("/scopes/jwt", newer),
        &[(json!({"x": {"y": ["g"]}}), Ok("70"))],
    );
}

#[test]
fn a_policy_of_another_organisation_or_api_does_not_help() {
    let upstream = Upstream::echo();
    let foreign = json!({"p": {"id": "p", "org_id": "other", "access_rights": {}},
        "elsewhere": {"id": "elsewhere", "org_id": "org",
            "access_rights": {"another": {"api_id": "another"}}}});
    let api = hmac(&upstream).set("/jwt_policy_field_name", "pol");
    let gateway = with_policies(&[])
        .file("policies.json", foreign.to_string())
        .api(api)
        .start();
    get(&gateway, &json!({"pol": "p"})).assert_error(403, "key not authorized: no matching policy");
    get(&gateway, &json!({"pol": "elsewhere"}))
        .assert_error(403, "Access to this API has been disallowed");
    assert!(upstream.take().is_empty());
}

#[test]
fn the_session_is_stored_under_the_callers_name() {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let gateway = with_policies(&[("common", 7)])
        .conf(redis.conf())
        .api(hmac(&upstream))
        .start();
    assert_eq!(get(&gateway, &json!({"sub": "somebody"})).status, 200);
    // The MD5 of `somebody`, behind the organisation.
    let id = "org78b9d09661da64f0bc6c146c524bae4a";
    test_harness::wait::until("the session is stored", || {
        gateway.admin(&format!("/tyk/keys/{id}")).status == 200
    });
    let session = gateway.admin(&format!("/tyk/keys/{id}")).json();
    assert_eq!(session["alias"], "somebody");
    assert_eq!(session["apply_policies"], json!(["common"]));
    assert_eq!(session["meta_data"]["TykJWTSessionID"], id);
}

#[test]
fn without_a_source_each_caller_has_a_key_of_its_own() {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let session =
        |secret: &str| json!({"org_id": "org", "quota_max": 9, "jwt_data": {"secret": secret}});
    let api = guarded("api", &upstream).set("/enable_jwt", true);
    let gateway = with_sessions(
        &redis,
        &[
            (
                "orgmine",
                session("a shared secret of some length, as it should be"),
            ),
            ("orgother", session("another secret")),
            ("orgnone", json!({"org_id": "org"})),
        ],
    )
    .api(api)
    .start();
    let send = |kid: Option<&str>, claims: &Value| {
        let token = signed(Algorithm::HS256, kid, claims, &secret());
        gateway.send(&Request::get("/api/").header("Authorization", &token))
    };
    for (kid, sub) in [(Some("mine"), "x"), (Some("orgmine"), "x"), (None, "mine")] {
        let response = send(kid, &json!({ "sub": sub }));
        assert_eq!(
            (response.status, quota(&response)),
            (200, Some("9")),
            "{kid:?} {sub}"
        );
    }
    for kid in ["other", "none", "unknown", "", "x"] {
        send(Some(kid), &json!({"sub": "mine"})).assert_error(403, "Key not authorized");
    }
}

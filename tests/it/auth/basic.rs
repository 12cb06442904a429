//! User names and passwords.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use test_harness::{Definition, Gateway, Redis, Request, Response, Upstream};

use super::{guarded, put, quota, with_sessions};
use crate::gateway;

fn api(upstream: &Upstream) -> Definition {
    guarded("api", upstream)
        .set("/name", "An \"API\"")
        .set("/use_basic_auth", true)
}

fn session(password: &str, hash: &str) -> Value {
    json!({
        "org_id": "org", "quota_max": 9, "quota_remaining": 9, "quota_renewal_rate": 3600,
        "basic_auth_data": {"password": password, "hash_type": hash}
    })
}

/// With `user` and `slow`, whose password is `secret`.
fn start(redis: &Redis, api: Definition) -> Gateway {
    let bcrypt = bcrypt::hash("secret", 4).unwrap();
    let sessions = [
        ("orguser", session("secret", "")),
        ("orgslow", session(&bcrypt, "bcrypt")),
        ("orgempty", session("", "")),
        ("orgkey", json!({"org_id": "org"})),
        (
            "orgoff",
            json!({"org_id": "org", "is_inactive": true,
            "basic_auth_data": {"password": "secret"}}),
        ),
    ];
    with_sessions(redis, &sessions).api(api).start()
}

fn get(gateway: &Gateway, header: &str) -> Response {
    gateway.send(&Request::get("/api/").header("Authorization", header))
}

fn login(gateway: &Gateway, login: &str) -> Response {
    get(gateway, &format!("Basic {}", STANDARD.encode(login)))
}

#[track_caller]
fn challenged(response: &Response, message: &str) {
    response.assert_error(401, message);
    let challenge = response.header("WWW-Authenticate");
    assert_eq!(challenge, Some("Basic realm=\"An \\\"API\\\"\""));
}

#[test]
fn the_right_password_lets_its_user_in() {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let gateway = start(&redis, api(&upstream));
    for user in ["user", "slow"] {
        for _ in 0..2 {
            let response = login(&gateway, &format!("{user}:secret"));
            assert_eq!(
                (response.status, quota(&response)),
                (200, Some("9")),
                "{user}"
            );
        }
        for wrong in ["Secret", "", "secret ", "secretsecret"] {
            let response = login(&gateway, &format!("{user}:{wrong}"));
            challenged(&response, "User not authorised");
        }
    }
    for nobody in [
        "nobody:secret",
        "empty:",
        "key:",
        ":",
        "orguserx:secret",
        "api:x",
    ] {
        challenged(&login(&gateway, nobody), "User not authorised");
    }
    login(&gateway, "off:secret").assert_error(403, "Key is inactive, please renew");
    assert_eq!(upstream.take().len(), 4);
}

#[test]
fn headers_that_are_not_right_are_told_what_is_wrong() {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let gateway = start(&redis, api(&upstream));
    challenged(&gateway.get("/api/"), "Authorization field missing");
    let malformed = |part| format!("Attempted access with malformed header, {part}");
    for (header, part) in [
        ("secret", "header not in basic auth format"),
        ("Bearer dXNlcjpzZWNyZXQ=", "header not in basic auth format"),
        ("Basic a b", "header not in basic auth format"),
        ("Basic %%%", "auth data not encoded correctly"),
        ("Basic bm90aGluZw==", "values not in basic auth format"),
    ] {
        get(&gateway, header).assert_error(400, &malformed(part));
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn a_changed_password_counts_although_the_old_one_is_remembered() {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let gateway = with_sessions(&redis, &[])
        .conf(json!({"local_session_cache": {"disable_cached_session_state": true}}))
        .api(api(&upstream))
        .start();
    let hash = |password| session(&bcrypt::hash(password, 4).unwrap(), "bcrypt");
    put(&redis, "orguser", &hash("first"));
    assert_eq!(login(&gateway, "user:first").status, 200);
    put(&redis, "orguser", &hash("second"));
    assert_eq!(login(&gateway, "user:first").status, 401);
    assert_eq!(login(&gateway, "user:second").status, 200);
}

#[test]
fn credentials_are_found_in_a_body_too() {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let api = api(&upstream)
        .set("/basic_auth/extract_from_body", true)
        .set("/basic_auth/body_user_regexp", "<User>(.*)</User>")
        .set(
            "/basic_auth/body_password_regexp",
            "<Password>(.*)</Password>",
        );
    let gateway = start(&redis, api);
    let body = "<User>user</User><Password>secret</Password>";
    assert_eq!(gateway.post("/api/", body).status, 200);
    assert_eq!(upstream.take_one().body, body.as_bytes());
    assert_eq!(login(&gateway, "slow:secret").status, 200);
    for (body, status, message) in [
        (
            "<User>user</User><Password>x</Password>",
            401,
            "User not authorised",
        ),
        (
            "<Password>secret</Password>",
            400,
            "Body do not contain username",
        ),
        ("<User>user</User>", 400, "Body do not contain password"),
    ] {
        gateway.post("/api/", body).assert_error(status, message);
    }
}

#[test]
fn settings_that_cannot_work_keep_the_api_out() {
    let upstream = Upstream::echo();
    for (user, part) in [
        ("", "needs an expression"),
        ("(", "body_user_regexp"),
        ("user", "has no group"),
    ] {
        let api = api(&upstream)
            .set("/basic_auth/extract_from_body", true)
            .set("/basic_auth/body_user_regexp", user)
            .set("/basic_auth/body_password_regexp", "(p)");
        let gateway = gateway().api(api).start();
        gateway.wait_for_log_with(&["ERROR", "API `api`: basic_auth", part]);
        assert_eq!(gateway.get("/api/").status, 404);
    }
}

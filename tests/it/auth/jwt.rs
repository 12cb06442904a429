//! JSON Web Tokens with a shared secret, and everything that is wrong with some of them.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use test_harness::{Definition, Request, Response, Upstream};

use super::{guarded, quota, with_policies};

const SECRET: &[u8] = b"a shared secret of some length, as it should be";

pub(super) fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(now.unwrap().as_secs()).unwrap()
}

/// A token of these claims that is valid for a while.
pub(super) fn signed(
    algorithm: Algorithm,
    kid: Option<&str>,
    claims: &Value,
    key: &EncodingKey,
) -> String {
    let mut all = json!({"exp": now() + 600, "sub": "somebody"});
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    jsonwebtoken::encode(&header, &all, key).unwrap()
}

fn token(claims: &Value) -> String {
    signed(
        Algorithm::HS256,
        None,
        claims,
        &EncodingKey::from_secret(SECRET),
    )
}

/// A token with any header and any signature.
fn forged(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(claims))
}

/// An API whose tokens are signed with [`SECRET`].
pub(super) fn hmac(upstream: &Upstream) -> Definition {
    guarded("api", upstream)
        .set("/enable_jwt", true)
        .set("/jwt_signing_method", "hmac")
        .set("/jwt_source", STANDARD.encode(SECRET))
        .set("/jwt_default_policies", json!(["common"]))
}

fn get(gateway: &test_harness::Gateway, token: &str) -> Response {
    gateway.send(&Request::get("/api/").header("Authorization", token))
}

#[test]
fn a_valid_token_lets_its_caller_in() {
    let upstream = Upstream::echo();
    let gateway = with_policies(&[("common", 7)]).api(hmac(&upstream)).start();
    for prefix in ["", "Bearer ", "bearer "] {
        let response = get(&gateway, &format!("{prefix}{}", token(&json!({}))));
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(quota(&response), Some("7"));
    }
    let response = get(
        &gateway,
        &token(&json!({"exp": now() + 60, "nbf": now() - 5, "iat": now() - 5})),
    );
    assert_eq!(response.status, 200);
    let missing = gateway.get("/api/");
    missing.assert_error(400, "Authorization field missing");
}

#[test]
fn a_token_that_is_not_right_lets_nobody_in() {
    let upstream = Upstream::echo();
    let gateway = with_policies(&[("common", 7)]).api(hmac(&upstream)).start();
    let good = token(&json!({}));
    let claims = json!({"sub": "somebody", "exp": now() + 600});
    let other = EncodingKey::from_secret(b"another secret");
    let mut parts: Vec<&str> = good.split('.').collect();
    let richer = URL_SAFE_NO_PAD.encode(json!({"sub": "root", "exp": now() + 600}).to_string());
    parts[1] = &richer;
    let swapped = parts.join(".");
    for (what, token) in [
        ("nonsense", "x".to_owned()),
        ("no signature", good.rsplit_once('.').unwrap().0.to_owned()),
        (
            "empty signature",
            format!("{}.", good.rsplit_once('.').unwrap().0),
        ),
        ("four parts", format!("{good}.x")),
        ("other claims", swapped),
        ("cut short", good[..good.len() - 4].to_owned()),
        (
            "another secret",
            signed(Algorithm::HS256, None, &json!({}), &other),
        ),
        (
            "an extension",
            forged(&json!({"alg": "HS256", "crit": ["b64"]}), &claims, "AA"),
        ),
        (
            "not JSON",
            format!("{}.e30.AA", URL_SAFE_NO_PAD.encode("{")),
        ),
        (
            "claims that are no object",
            forged(&json!({"alg": "HS256"}), &json!([]), "AA"),
        ),
        ("too long", format!("{good}{}", "A".repeat(20_000))),
    ] {
        let response = get(&gateway, &token);
        assert_eq!(response.status, 403, "{what}: {response:?}");
        response.assert_error(403, "Key not authorized");
    }
    for alg in ["none", "None", "NONE", "nOnE", "", "HS255"] {
        for signature in ["", "AA"] {
            let response = get(&gateway, &forged(&json!({"alg": alg}), &claims, signature));
            response.assert_error(403, "Key not authorized: Unexpected signing method");
        }
    }
    assert!(upstream.take().is_empty());
}

#[test]
fn times_of_a_token_are_checked_with_their_skew() {
    let upstream = Upstream::echo();
    let skewed = hmac(&upstream)
        .set("/jwt_expires_at_validation_skew", 100)
        .set("/jwt_issued_at_validation_skew", 100)
        .set("/jwt_not_before_validation_skew", 100);
    let strict = with_policies(&[("common", 7)]).api(hmac(&upstream)).start();
    let lenient = with_policies(&[("common", 7)]).api(skewed).start();
    for (claim, by, message) in [
        ("exp", -50, "token has expired"),
        ("iat", 50, "token used before issued"),
        ("nbf", 50, "token is not valid yet"),
    ] {
        let token = token(&json!({ claim: now() + by }));
        let message = format!("Key not authorized: {message}");
        get(&strict, &token).assert_error(401, &message);
        assert_eq!(get(&lenient, &token).status, 200, "{claim}");
        let far = self::token(&json!({ claim: now() + by * 10 }));
        get(&lenient, &far).assert_error(401, &message);
    }
}

#[test]
fn issuers_and_audiences_count_where_they_are_named() {
    let upstream = Upstream::echo();
    let api = hmac(&upstream)
        .set("/jwt_allowed_issuers", json!(["issuer"]))
        .set("/jwt_allowed_audiences", json!(["me"]));
    let gateway = with_policies(&[("common", 7)]).api(api).start();
    for (claims, status) in [
        (json!({"iss": "issuer", "aud": ["you", "me"]}), 200),
        (json!({"iss": "issuer", "aud": "you"}), 403),
        (json!({"iss": "other", "aud": "me"}), 403),
        (json!({}), 403),
    ] {
        assert_eq!(get(&gateway, &token(&claims)).status, status, "{claims}");
    }
}

#[test]
fn a_token_is_found_where_its_settings_say() {
    let upstream = Upstream::echo();
    let api = hmac(&upstream)
        .set("/auth_configs/jwt/auth_header_name", "X-Token")
        .set("/auth_configs/jwt/use_param", true)
        .set("/auth_configs/jwt/param_name", "token")
        .set("/strip_auth_data", true);
    let gateway = with_policies(&[("common", 7)]).api(api).start();
    let token = token(&json!({}));
    assert_eq!(get(&gateway, &token).status, 400, "not in Authorization");
    let response = gateway.send(&Request::get("/api/").header("X-Token", &token));
    assert_eq!(response.status, 200);
    assert_eq!(gateway.get(&format!("/api/?token={token}&x=1")).status, 200);
    let received = upstream.take();
    assert_eq!(received[0].header("X-Token"), None);
    assert_eq!(received[1].target, "/?x=1");
}

#[test]
fn an_identity_is_needed() {
    let upstream = Upstream::echo();
    let api = hmac(&upstream).set("/jwt_identity_base_field", "user");
    let gateway = with_policies(&[("common", 7)]).api(api).start();
    assert_eq!(get(&gateway, &token(&json!({"user": "u"}))).status, 200);
    assert_eq!(
        get(&gateway, &token(&json!({}))).status,
        200,
        "sub stands in"
    );
    get(&gateway, &token(&json!({"user": ""}))).assert_error(
        403,
        "found an empty user ID in predefined base field claim user",
    );
    get(&gateway, &token(&json!({"sub": ""})))
        .assert_error(403, "found an empty user ID in sub claim");
    get(&gateway, &token(&json!({"sub": 7})))
        .assert_error(403, "no suitable claims for user ID were found");
}

#[test]
fn settings_that_cannot_work_keep_the_api_out() {
    let upstream = Upstream::echo();
    for (key, value, part) in [
        (
            "/jwt_signing_method",
            "rot13",
            "jwt_signing_method: `rot13`",
        ),
        ("/jwt_source", "%%%", "jwt_source: it is no http"),
        ("/jwt_source", "http://", "jwt_source: `http://`"),
        ("/jwt_source", " ", "jwt_source"),
    ] {
        let gateway = with_policies(&[])
            .api(hmac(&upstream).set(key, value))
            .start();
        gateway.wait_for_log_with(&["ERROR", "API `api`", part]);
        assert_eq!(gateway.get("/api/").status, 404);
    }
    let api = hmac(&upstream).set("/jwt_signing_method", "rsa");
    let gateway = with_policies(&[]).api(api).start();
    gateway.wait_for_log_with(&["ERROR", "API `api`", "no public key of the kind Rsa"]);
}

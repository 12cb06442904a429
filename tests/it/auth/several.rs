//! Several mechanisms on one API: all of them have to pass, and one says who the caller is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;
use test_harness::{Definition, Gateway, Redis, Request, Upstream};

use super::jwt::{hmac, signed};
use super::{put, quota, with_policies};

/// Basic authentication, tokens and keys, each with credentials and a quota of its own.
fn api(upstream: &Upstream, identity: &str) -> Definition {
    hmac(upstream)
        .set("/use_basic_auth", true)
        .set("/use_standard_auth", true)
        .set("/auth_configs/authToken/auth_header_name", "X-Key")
        .set("/auth_configs/jwt/auth_header_name", "X-Token")
        .set("/auth_configs/basic/auth_header_name", "Authorization")
        .set("/base_identity_provided_by", identity)
}

fn start(redis: &Redis, api: Definition) -> Gateway {
    let session = |quota: u32| {
        json!({"org_id": "org", "quota_max": quota, "quota_remaining": quota,
            "quota_renewal_rate": 3600, "basic_auth_data": {"password": "secret"}})
    };
    put(redis, "orguser", &session(20));
    put(redis, "orgkey1", &session(30));
    with_policies(&[("common", 10)])
        .conf(redis.conf())
        .api(api)
        .start()
}

const ALL: [&str; 3] = ["basic", "token", "key"];

fn request(with: &[&str]) -> Request {
    let key = EncodingKey::from_secret(b"a shared secret of some length, as it should be");
    let mut request = Request::get("/api/");
    for what in with {
        request = match *what {
            "basic" => request.header(
                "Authorization",
                format!("Basic {}", STANDARD.encode("user:secret")),
            ),
            "token" => request.header("X-Token", signed(Algorithm::HS256, None, &json!({}), &key)),
            _ => request.header("X-Key", "key1"),
        };
    }
    request
}

#[test]
fn the_base_identity_is_the_requests() {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    for (identity, expected) in [
        ("basic_auth_user", "20"),
        ("jwt_claim", "10"),
        ("auth_token", "30"),
        ("", "30"),
    ] {
        let gateway = start(&redis, api(&upstream, identity));
        let response = gateway.send(&request(&ALL));
        assert_eq!(
            (response.status, quota(&response)),
            (200, Some(expected)),
            "{identity}"
        );
    }
}

#[test]
fn all_of_them_have_to_pass_in_their_order() {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let gateway = start(&redis, api(&upstream, "auth_token"));
    for (without, status) in [("basic", 401), ("token", 400), ("key", 401)] {
        let with: Vec<_> = ALL.into_iter().filter(|what| *what != without).collect();
        let response = gateway.send(&request(&with));
        response.assert_error(status, "Authorization field missing");
        let asks = response.header("WWW-Authenticate").is_some();
        assert_eq!(asks, without == "basic");
    }
    assert_eq!(gateway.send(&request(&[])).status, 401, "basic comes first");
    assert!(upstream.take().is_empty());
}

#[test]
fn an_identity_that_nothing_provides_lets_nobody_in() {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let gateway = start(&redis, api(&upstream, "oidc_user"));
    gateway.wait_for_log_with(&["WARN", "base_identity_provided_by", "oidc_user"]);
    assert_eq!(gateway.send(&request(&ALL)).status, 400);
    assert!(upstream.take().is_empty());
}

#[test]
fn a_mechanism_stands_in_for_keys_unless_both_are_asked_for() {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let alone = api(&upstream, "").set("/use_standard_auth", false);
    let gateway = start(&redis, alone);
    assert_eq!(gateway.send(&request(&["basic", "token"])).status, 200);
}

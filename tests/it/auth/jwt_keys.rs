//! Tokens with key pairs: from the definition and from key sets, and keys that are taken for
//! others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};
use test_harness::upstream::response;
use test_harness::{Definition, Gateway, Request, Response, Upstream, wait};

use super::jwt::signed;
use super::{guarded, with_policies};

/// Made once: it takes a while.
static RSA: LazyLock<KeyPair> = LazyLock::new(|| {
    KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap()
});

fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_pem(RSA.serialize_pem().as_bytes()).unwrap()
}

fn elliptic(pair: &KeyPair) -> EncodingKey {
    EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap()
}

/// A public key in PEM.
fn public(pair: &KeyPair) -> String {
    let body = STANDARD.encode(pair.subject_public_key_info());
    format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
}

fn api(upstream: &Upstream, method: &str, source: &str) -> Definition {
    guarded("api", upstream)
        .set("/enable_jwt", true)
        .set("/jwt_signing_method", method)
        .set("/jwt_source", source)
        .set("/jwt_default_policies", json!(["common"]))
}

fn start(api: Definition) -> Gateway {
    with_policies(&[("common", 7)]).api(api).start()
}

fn get(gateway: &Gateway, token: &str) -> Response {
    gateway.send(&Request::get("/api/").header("Authorization", token))
}

#[test]
fn public_keys_and_certificates_of_every_kind_are_taken() {
    let upstream = Upstream::echo();
    let (p256, p384, ed) = (
        KeyPair::generate().unwrap(),
        KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap(),
        KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(),
    );
    let of_ed = EncodingKey::from_ed_pem(ed.serialize_pem().as_bytes()).unwrap();
    let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap();
    let certificate = certificate.self_signed(&*RSA).unwrap().pem();
    for (method, pem, algorithm, key) in [
        ("rsa", public(&RSA), Algorithm::RS256, rsa()),
        ("rsa", public(&RSA), Algorithm::PS512, rsa()),
        ("rsa", certificate, Algorithm::RS512, rsa()),
        ("ecdsa", public(&p256), Algorithm::ES256, elliptic(&p256)),
        ("ecdsa", public(&p384), Algorithm::ES384, elliptic(&p384)),
        ("eddsa", public(&ed), Algorithm::EdDSA, of_ed),
    ] {
        let gateway = start(api(&upstream, method, &STANDARD.encode(&pem)));
        let token = signed(algorithm, None, &json!({}), &key);
        assert_eq!(get(&gateway, &token).status, 200, "{algorithm:?}");
        let broken = format!("{}AAAA", &token[..token.len() - 4]);
        get(&gateway, &broken).assert_error(403, "Key not authorized");
    }
}

#[test]
fn a_public_key_is_never_taken_for_a_secret() {
    let upstream = Upstream::echo();
    let pem = public(&RSA);
    let gateway = start(api(&upstream, "rsa", &STANDARD.encode(&pem)));
    let unexpected = "Key not authorized: Unexpected signing method";
    for secret in [&pem, pem.trim_end(), &RSA.serialize_pem()] {
        let key = EncodingKey::from_secret(secret.as_bytes());
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let token = signed(algorithm, None, &json!({}), &key);
            get(&gateway, &token).assert_error(403, unexpected);
        }
    }
    let pair = KeyPair::generate().unwrap();
    let token = signed(Algorithm::ES256, None, &json!({}), &elliptic(&pair));
    get(&gateway, &token).assert_error(403, unexpected);
    let gateway = start(api(&upstream, "hmac", &STANDARD.encode("secret")));
    get(
        &gateway,
        &signed(Algorithm::RS256, None, &json!({}), &rsa()),
    )
    .assert_error(403, unexpected);
    assert!(upstream.take().is_empty());
}

/// A server with a key set that can change, which counts how often it is asked.
struct KeyServer {
    upstream: Upstream,
    answer: Arc<Mutex<Vec<u8>>>,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    fn start() -> Self {
        let answer = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::new(AtomicUsize::new(0));
        let (given, counted) = (Arc::clone(&answer), Arc::clone(&asked));
        let upstream = Upstream::answering(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            given.lock().unwrap().clone()
        });
        Self {
            upstream,
            answer,
            asked,
        }
    }

    fn give(&self, keys: &[Value]) {
        let set = json!({ "keys": keys }).to_string();
        self.answer_with(response(200, "application/json", set.as_bytes()));
    }

    fn answer_with(&self, bytes: Vec<u8>) {
        *self.answer.lock().unwrap() = bytes;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn jwk(key: &EncodingKey, algorithm: Algorithm, kid: &str) -> Value {
    let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm).unwrap()).unwrap();
    jwk["kid"] = kid.into();
    jwk
}

#[test]
fn keys_come_from_a_set_and_change_with_it() {
    let (server, upstream) = (KeyServer::start(), Upstream::echo());
    let (first, second) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let of_first = jwk(&elliptic(&first), Algorithm::ES256, "first");
    server.give(&[json!({"kty": "unknown"}), of_first]);
    let url = STANDARD.encode(server.upstream.url("/keys"));
    let gateway = start(api(&upstream, "ecdsa", &url));
    let token = |pair: &KeyPair, kid| signed(Algorithm::ES256, kid, &json!({}), &elliptic(pair));
    for _ in 0..5 {
        assert_eq!(get(&gateway, &token(&first, Some("first"))).status, 200);
    }
    assert_eq!(server.asked(), 1, "it is remembered");
    // A name that is not there, another's key, no name.
    for token in [
        token(&second, Some("second")),
        token(&second, Some("first")),
        token(&first, None),
    ] {
        get(&gateway, &token).assert_error(403, "Key not authorized");
    }
    server.give(&[jwk(&elliptic(&second), Algorithm::ES256, "second")]);
    wait::until("the new key is known", || {
        get(&gateway, &token(&second, Some("second"))).status == 200
    });
    assert_eq!(
        get(&gateway, &token(&first, Some("first"))).status,
        403,
        "it has gone"
    );
}

#[test]
fn unknown_keys_and_a_server_that_fails_do_not_cost_a_request_each() {
    let (server, upstream) = (KeyServer::start(), Upstream::echo());
    let pair = KeyPair::generate().unwrap();
    let gateway = start(api(&upstream, "ecdsa", &server.upstream.url("/keys")));
    let token = |kid: &str| signed(Algorithm::ES256, Some(kid), &json!({}), &elliptic(&pair));
    for answer in [
        response(500, "text/plain", b"not today"),
        response(200, "application/json", b"{\"keys\": 1}"),
        b"nonsense".to_vec(),
    ] {
        server.answer_with(answer);
        get(&gateway, &token("k")).assert_error(403, "Key not authorized");
    }
    gateway.wait_for_log_with(&["WARN", "Key set cannot be fetched", "/keys"]);
    for number in 0..30 {
        get(&gateway, &token(&format!("k{number}"))).assert_error(403, "Key not authorized");
    }
    assert!(server.asked() <= 15, "{}", server.asked());
    server.give(&[jwk(&elliptic(&pair), Algorithm::ES256, "k")]);
    wait::until("the server is back", || {
        get(&gateway, &token("k")).status == 200
    });
}

#[test]
fn keys_of_a_set_are_only_used_for_what_they_are() {
    let (server, upstream) = (KeyServer::start(), Upstream::echo());
    let mut for_encryption = jwk(&rsa(), Algorithm::RS256, "encryption");
    for_encryption["use"] = "enc".into();
    let secret = json!({"kty": "oct", "kid": "secret", "k": STANDARD.encode("secret")});
    server.give(&[
        jwk(&rsa(), Algorithm::RS256, "good"),
        for_encryption,
        secret,
    ]);
    let gateway = start(api(&upstream, "rsa", &server.upstream.url("/keys")));
    let token = |algorithm, kid, key: &EncodingKey| signed(algorithm, Some(kid), &json!({}), key);
    assert_eq!(
        get(&gateway, &token(Algorithm::RS256, "good", &rsa())).status,
        200
    );
    let of_secret = EncodingKey::from_secret(b"secret");
    for (algorithm, kid, key) in [
        (Algorithm::RS512, "good", rsa()),
        (Algorithm::RS256, "encryption", rsa()),
        (Algorithm::RS256, "secret", rsa()),
        (Algorithm::HS256, "secret", of_secret),
    ] {
        assert_eq!(
            get(&gateway, &token(algorithm, kid, &key)).status,
            403,
            "{kid} {algorithm:?}"
        );
    }
}

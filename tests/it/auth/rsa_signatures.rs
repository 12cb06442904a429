//! Requests that are signed with a private key, whose public key the certificate store has.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use test_harness::{Gateway, Request, Response, Upstream};

use super::{guarded, quota};
use crate::gateway;
use crate::keys::{admin, create};

static KEY: LazyLock<KeyPair> = LazyLock::new(|| {
    KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap()
});

fn store(gateway: &Gateway, text: &str) -> String {
    let response = admin(gateway, "POST", "/tyk/certs?org_id=org", text);
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["id"].as_str().unwrap().to_owned()
}

fn key_of(gateway: &Gateway, change: &Value) -> String {
    let mut session = json!({
        "org_id": "org", "quota_max": 9, "quota_renewal_rate": 3600,
        "enable_http_signature_validation": true,
        "access_rights": {"api": {"api_id": "api", "versions": ["Default"]}},
    });
    for (name, value) in change.as_object().unwrap() {
        session[name] = value.clone();
    }
    create(gateway, &session)
}

fn send(gateway: &Gateway, key: &str, name: &str, how: &'static dyn RsaEncoding) -> Response {
    let date = jiff::Timestamp::now()
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    let pair = RsaKeyPair::from_pkcs8(&KEY.serialize_der()).unwrap();
    let mut signature = vec![0; pair.public_modulus_len()];
    let text = format!("date: {date}");
    pair.sign(how, &SystemRandom::new(), text.as_bytes(), &mut signature)
        .unwrap();
    let signature = STANDARD
        .encode(signature)
        .replace('+', "%2B")
        .replace('=', "%3D");
    let header =
        format!("Signature keyId=\"{key}\",algorithm=\"{name}\",signature=\"{signature}\"");
    let request = Request::get("/api/").header("Date", date);
    gateway.send(&request.header("Authorization", header))
}

#[test]
fn a_private_key_signs_where_the_session_names_its_public_key() {
    let upstream = Upstream::echo();
    let api = guarded("api", &upstream).set("/enable_signature_checking", true);
    let gateway = gateway().api(api).start();
    let certificate = CertificateParams::new(Vec::new())
        .unwrap()
        .self_signed(&*KEY)
        .unwrap();
    let public = store(&gateway, &KEY.public_key_pem());
    let of_certificate = store(&gateway, &certificate.pem());
    for id in [&public, &of_certificate] {
        let key = key_of(&gateway, &json!({"rsa_certificate_id": id}));
        let shown = gateway.admin(&format!("/tyk/keys/{key}")).json();
        assert_eq!(shown["rsa_certificate_id"], json!(id));
        for (name, how) in [
            ("rsa-sha256", &RSA_PKCS1_SHA256 as &'static dyn RsaEncoding),
            ("rsa-sha512", &RSA_PKCS1_SHA512),
        ] {
            let response = send(&gateway, &key, name, how);
            assert_eq!(
                (response.status, quota(&response)),
                (200, Some("9")),
                "{name}"
            );
        }
        let said = "Authorization field missing, malformed or invalid";
        send(&gateway, &key, "rsa-sha256", &RSA_PKCS1_SHA512).assert_error(400, said);
        send(&gateway, &key, "hmac-sha256", &RSA_PKCS1_SHA256).assert_error(400, said);
    }
}

#[test]
fn without_its_public_key_a_signature_is_worth_nothing() {
    let upstream = Upstream::echo();
    let api = guarded("api", &upstream).set("/enable_signature_checking", true);
    let gateway = gateway().api(api).start();
    let other = KeyPair::generate().unwrap();
    let of_other = store(&gateway, &other.public_key_pem());
    let right = store(&gateway, &KEY.public_key_pem());
    let path = "/etc/passwd";
    for change in [
        json!({}),
        json!({"rsa_certificate_id": of_other}),
        json!({"rsa_certificate_id": right.replace("org", "nobody")}),
        json!({"rsa_certificate_id": path}),
        json!({"rsa_certificate_id": right, "enable_http_signature_validation": false}),
    ] {
        let key = key_of(&gateway, &change);
        let response = send(&gateway, &key, "rsa-sha256", &RSA_PKCS1_SHA256);
        response.assert_error(400, "Authorization field missing, malformed or invalid");
    }
    assert!(upstream.take().is_empty());
    let key = key_of(&gateway, &json!({"rsa_certificate_id": right}));
    assert_eq!(
        send(&gateway, &key, "rsa-sha256", &RSA_PKCS1_SHA256).status,
        200
    );
    assert_eq!(
        admin(&gateway, "DELETE", &format!("/tyk/certs/{right}"), "").status,
        200
    );
    assert_eq!(
        send(&gateway, &key, "rsa-sha256", &RSA_PKCS1_SHA256).status,
        400
    );
}

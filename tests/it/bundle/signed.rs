//! Signatures. Keys and signatures of the fixtures are made by openssl:
//! `openssl dgst -sha256 -sign key.pem`, over the one file of the bundle.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use test_harness::{Bundle, BundleServer};

use super::{api, assert_loaded, assert_not_loaded};
use crate::gateway;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/fixtures/bundles"
    ))
    .join(name)
}

fn bundle() -> Bundle {
    Bundle::new("cobol")
        .file("middleware.cob", "signed by openssl")
        .pre("Hook")
}

fn signed_with(signature: &str) -> Vec<u8> {
    let mut manifest = bundle().manifest();
    manifest["signature"] = Value::from(signature);
    bundle().zip_with(&manifest)
}

fn signature(name: &str) -> String {
    fs::read_to_string(fixture(name)).unwrap()
}

/// The outcome of a bundle under a key: `None` when it is loaded, else what `/ready` says.
#[track_caller]
fn load(zip: Vec<u8>, key: &str) -> Option<String> {
    let server = BundleServer::start();
    server.put("b.zip", zip);
    let gateway = gateway()
        .with_plugins()
        .conf(server.conf())
        .conf(json!({"public_key_path": fixture(key)}))
        .api(api("a", "b.zip"))
        .start();
    let ready = gateway.get("/ready").text();
    if gateway.get("/a/").status == 404 {
        assert_not_loaded(&gateway, "a");
        return Some(ready);
    }
    assert_loaded(&gateway, "a");
    None
}

#[test]
fn signatures_of_openssl_are_accepted() {
    for (key, signed) in [
        ("public_2048.pem", "signature_2048.txt"),
        ("rsa_public_2048.pem", "signature_2048.txt"),
        ("public_1024.pem", "signature_1024.txt"),
    ] {
        assert_eq!(load(signed_with(&signature(signed)), key), None, "{key}");
    }
}

#[test]
fn what_is_not_signed_by_the_key_is_refused() {
    let good = signature("signature_2048.txt");
    let other_file = {
        let bundle = Bundle::new("cobol").file("x.cob", "other").pre("Hook");
        let mut manifest = bundle.manifest();
        manifest["signature"] = Value::from(good.clone());
        bundle.zip_with(&manifest)
    };
    for (zip, key, told) in [
        (bundle().zip(), "public_2048.pem", "Bundle isn't signed"),
        (signed_with("not base64!"), "public_2048.pem", "Base64"),
        (signed_with("AAAA"), "public_2048.pem", "signature"),
        (signed_with(&good), "public_1024.pem", "another key"),
        (
            signed_with(&signature("pss_signature_2048.txt")),
            "public_2048.pem",
            "another key",
        ),
        (other_file, "public_2048.pem", "other files"),
        (signed_with(&good), "ec_public.pem", "RSA"),
        (signed_with(&good), "signature_2048.txt", "PUBLIC KEY"),
        (signed_with(&good), "absent.pem", "absent.pem"),
    ] {
        let said = load(zip, key).unwrap_or_else(|| panic!("loaded, although: {told}"));
        assert!(said.contains(told), "`{told}` is missing in {said}");
    }
}

#[test]
fn without_a_key_signatures_are_not_looked_at() {
    let server = BundleServer::start();
    server.put("b.zip", signed_with("not even Base64"));
    let gateway = gateway()
        .with_plugins()
        .conf(server.conf())
        .api(api("a", "b.zip"))
        .start();
    assert_loaded(&gateway, "a");
}

//! Certificates for clients: which one is shown, when it changes, and files that cannot be used.

use serde_json::json;
use test_harness::{Client, Definition, Gateway, Request, Upstream, wait};

use super::grpc::run;
use super::termination::with_certificate;
use super::{Authority, ClientSide, Identity};
use crate::gateway;

/// The certificate that a client is shown which asks for `name`.
pub(super) fn shown(
    gateway: &Gateway,
    authority: &Authority,
    name: &'static str,
) -> Result<Vec<u8>, String> {
    let side = ClientSide {
        server_name: name,
        ..ClientSide::of(authority)
    };
    let stream = run(side.connect(gateway.address())).map_err(|error| error.to_string())?;
    let (_, tls) = stream.get_ref();
    Ok(tls.peer_certificates().unwrap()[0].to_vec())
}

fn der(identity: &Identity) -> Vec<u8> {
    identity.chain()[0].to_vec()
}

#[test]
fn clients_are_shown_the_certificate_of_the_name_they_ask_for() {
    let authority = Authority::new();
    let first = authority.issue(&["first.example"]);
    let wild = authority.issue(&["*.wild.example"]);
    let exact = authority.issue(&["exact.wild.example", "two.example"]);
    let gateway = gateway()
        .file("first.pem", &first.certificate)
        .file("first.key", &first.key)
        .file("wild.pem", wild.together())
        .file("exact.pem", &exact.certificate)
        .file("exact.key", &exact.key)
        .conf(json!({"http_server_options": {
            "use_ssl": true,
            "certificates": [
                {"domain_name": "first.example", "cert_file": "first.pem", "key_file": "first.key"},
                {"cert_file": "exact.pem", "key_file": "exact.key"}
            ],
            "ssl_certificates": ["wild.pem"]
        }}))
        .start();
    for (name, expected) in [
        ("first.example", &first),
        ("a.wild.example", &wild),
        ("exact.wild.example", &exact),
        ("TWO.example", &exact),
    ] {
        assert_eq!(
            shown(&gateway, &authority, name),
            Ok(der(expected)),
            "{name}"
        );
    }
    // Another name, or one level too many, gets the first one and does not take it.
    for name in ["other.example", "a.b.wild.example"] {
        let said = shown(&gateway, &authority, name).unwrap_err();
        assert!(said.contains("first.example"), "{said}");
    }
}

#[test]
fn a_reload_brings_new_certificates_and_keeps_those_of_before_when_they_are_broken() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let api = Definition::new("api").upstream(&upstream);
    let gateway = with_certificate(&authority).api(api).start();
    let mut before = Client::connect(ClientSide::of(&authority).tunnel(gateway.address()));
    assert_eq!(before.request(&Request::get("/api/")).status, 200);
    let old = shown(&gateway, &authority, "localhost").unwrap();

    let identity = authority.issue(&["localhost"]);
    gateway.write("localhost.pem", identity.together());
    gateway.hang_up();
    assert_ne!(old, der(&identity));
    assert_eq!(shown(&gateway, &authority, "localhost"), Ok(der(&identity)));
    assert_eq!(before.request(&Request::get("/api/")).status, 200);

    let other = authority.issue(&["localhost"]);
    gateway.write(
        "localhost.pem",
        format!("{}{}", other.certificate, identity.key),
    );
    gateway.hang_up();
    gateway.wait_for_log_with(&["ERROR", "those of before", "localhost.pem", "not the key"]);
    assert_eq!(shown(&gateway, &authority, "localhost"), Ok(der(&identity)));
    let ready = before.request(&Request::get("/ready"));
    assert_eq!(
        (ready.status, &ready.json()["status"]),
        (200, &json!("warn"))
    );
    assert!(ready.text().contains("localhost.pem"), "{}", ready.text());

    gateway.write("localhost.pem", other.together());
    gateway.hang_up();
    wait::until("the mended certificate is shown", || {
        shown(&gateway, &authority, "localhost") == Ok(der(&other))
    });
}

#[test]
fn files_that_cannot_be_used_are_told_at_the_start() {
    let authority = Authority::new();
    let (one, two) = (authority.issue(&["a"]), authority.issue(&["b"]));
    let pair = |certificate: &str, key: &str| json!({"certificates": [{"cert_file": certificate, "key_file": key}]});
    for (options, parts) in [
        (json!({}), &["use_ssl", "empty"][..]),
        (pair("none.pem", "one.key"), &["cannot read none.pem"]),
        (pair("one.pem", "none.key"), &["cannot read none.key"]),
        (pair("one.key", "one.key"), &["one.key", "no certificate"]),
        (
            pair("one.pem", "one.pem"),
            &["one.pem", "no usable private key"],
        ),
        (
            pair("one.pem", "two.key"),
            &["two.key", "not the key", "one.pem"],
        ),
        (
            json!({"ssl_certificates": ["both.pem"], "max_version": 770}),
            &["max_version 770", "no version"],
        ),
        (
            json!({"ssl_certificates": ["both.pem"], "ssl_ciphers": ["NULL"]}),
            &["none of the ciphers NULL"],
        ),
    ] {
        let ended = gateway()
            .file("one.pem", &one.certificate)
            .file("one.key", &one.key)
            .file("two.key", &two.key)
            .file("both.pem", one.together())
            .conf(json!({"http_server_options": {"use_ssl": true}}))
            .conf(json!({"http_server_options": options}))
            .start_expecting_failure();
        assert!(!ended.status.success(), "{parts:?}");
        for part in parts {
            assert!(ended.log.contains(part), "{part}: {}", ended.log);
        }
    }
}

#[test]
fn certificates_without_tls_are_told_to_have_no_effect() {
    let gateway = gateway()
        .conf(json!({"http_server_options": {"ssl_certificates": ["none.pem"]}}))
        .start();
    gateway.wait_for_log_with(&["WARN", "use_ssl is off"]);
}

//! Upstreams that must have a certain public key.

use serde_json::{Value, json};
use test_harness::{Definition, Gateway, GatewayBuilder, Upstream};

use super::store::add;
use super::{Authority, Front, Identity, ServerSide};
use crate::gateway;

const SKIP: &str = "/proxy/transport/ssl_insecure_skip_verify";

fn api(front: &Front, pins: Value) -> Definition {
    Definition::new("api")
        .target(&front.url())
        .set("/proxy/transport/ssl_ca_file", "ca.pem")
        .set("/pinned_public_keys", pins)
}

fn with(authority: &Authority) -> GatewayBuilder {
    gateway().file("ca.pem", &authority.pem)
}

fn front(upstream: &Upstream, identity: &Identity) -> Front {
    Front::start(ServerSide::of(identity.clone()), upstream.address())
}

#[track_caller]
fn refused(gateway: &Gateway) {
    let response = gateway.get("/api/");
    response.assert_error(500, "There was a problem proxying the request");
    let said = "certificate public key pinning error. Public keys do not match.";
    gateway.wait_for_log_with(&["WARN", "TLS with localhost", said]);
}

#[test]
fn an_upstream_with_the_pinned_key_is_reached_and_another_is_not() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let (right, wrong) = (
        authority.issue(&["localhost"]),
        authority.issue(&["localhost"]),
    );
    let front = front(&upstream, &right);
    for (pin, works) in [
        (right.key_fingerprint(), true),
        (format!("org{}", right.key_fingerprint()), true),
        (
            format!("{}, {}", wrong.key_fingerprint(), right.key_fingerprint()),
            true,
        ),
        ("right.pem".to_owned(), true),
        ("right.pub".to_owned(), true),
        (wrong.key_fingerprint(), false),
        (right.fingerprint(), false),
        ("wrong.pem".to_owned(), false),
    ] {
        let gateway = with(&authority)
            .file("right.pem", &right.certificate)
            .file("right.pub", right.public_key())
            .file("wrong.pem", &wrong.certificate)
            .api(api(&front, json!({"localhost": pin})))
            .start();
        if works {
            assert_eq!(gateway.get("/api/").status, 200, "{pin}");
            assert_eq!(upstream.take().len(), 1);
        } else {
            refused(&gateway);
            assert!(upstream.take().is_empty(), "{pin}");
        }
    }
}

#[test]
fn what_is_in_the_store_can_be_pinned() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let (right, wrong) = (
        authority.issue(&["localhost"]),
        authority.issue(&["localhost"]),
    );
    let front = front(&upstream, &right);
    let gateway = with(&authority).start();
    for (text, works) in [
        (&right.certificate, true),
        (&right.public_key(), true),
        (&wrong.certificate, false),
    ] {
        let id = add(&gateway, text);
        gateway.write_api(&api(&front, json!({"*": id})));
        gateway.reload();
        match works {
            true => assert_eq!(gateway.get("/api/").status, 200),
            false => refused(&gateway),
        }
    }
}

#[test]
fn pins_of_the_definition_come_before_those_of_the_configuration() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let (right, wrong) = (
        authority.issue(&["localhost"]),
        authority.issue(&["localhost"]),
    );
    let front = front(&upstream, &right);
    let conf = |pin: String| json!({"security": {"pinned_public_keys": {"*": pin}}});
    let start = |api: Definition| {
        let builder = with(&authority).conf(conf(wrong.key_fingerprint()));
        builder.api(api).start()
    };
    let own = json!({"localhost": right.key_fingerprint()});
    assert_eq!(start(api(&front, own.clone())).get("/api/").status, 200);
    refused(&start(api(&front, json!({}))));
    refused(&start(api(
        &front,
        json!({"other.example": right.key_fingerprint()}),
    )));
    let off = api(&front, own).set("/certificate_pinning_disabled", true);
    refused(&start(off));
}

#[test]
fn a_pin_is_checked_beside_the_authorities_unless_these_are_left_aside() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let stranger = Authority::new().issue(&["localhost"]);
    let front = front(&upstream, &stranger);
    let pins = json!({"localhost": stranger.key_fingerprint()});
    let gateway = with(&authority).api(api(&front, pins.clone())).start();
    assert_eq!(gateway.get("/api/").status, 500);
    gateway.wait_for_log_with(&["WARN", "TLS with localhost", "UnknownIssuer"]);
    gateway.write_api(&api(&front, pins).set(SKIP, true));
    gateway.reload();
    assert_eq!(gateway.get("/api/").status, 200);
    // A connection that an API without this pin may use must not serve one with it.
    let other = json!({"localhost": authority.issue(&["x"]).key_fingerprint()});
    gateway.write_api(&api(&front, other).set(SKIP, true));
    gateway.reload();
    refused(&gateway);
}

#[test]
fn pins_that_cannot_work_are_told() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let right = authority.issue(&["localhost"]);
    let front = front(&upstream, &right);
    for (pin, part) in [
        ("none.pem", "none.pem"),
        (" , ", "names no key"),
        ("ca.key", "ca.key"),
    ] {
        let gateway = with(&authority)
            .file("ca.key", &right.key)
            .api(api(&front, json!({"*": pin})))
            .start();
        gateway.wait_for_log_with(&["ERROR", "API `api`", "pinned_public_keys", part]);
        assert_eq!(gateway.get("/api/").status, 404);
    }
    let plain = Definition::new("api")
        .upstream(&upstream)
        .set("/pinned_public_keys", json!({"*": right.key_fingerprint()}));
    let gateway = with(&authority).api(plain).start();
    gateway.wait_for_log_with(&["WARN", "pinned_public_keys has no effect"]);
}

//! Mutual TLS: whose certificate an API takes, and keys that are certificates.

use serde_json::json;
use test_harness::{Client, Definition, Gateway, Redis, Request, Response, Upstream};

use super::termination::with_certificate;
use super::{Authority, ClientSide, Identity};
use crate::gateway;

/// An API that takes the certificates of this list.
pub(super) fn mutual(id: &str, upstream: &Upstream, accepted: &[&str]) -> Definition {
    Definition::new(id)
        .upstream(upstream)
        .set("/use_mutual_tls_auth", true)
        .set("/client_certificates", accepted)
}

pub(super) fn send(
    gateway: &Gateway,
    authority: &Authority,
    identity: Option<&Identity>,
    request: &Request,
) -> Response {
    let side = ClientSide {
        identity: identity.cloned(),
        ..ClientSide::of(authority)
    };
    Client::connect(side.tunnel(gateway.address())).request(request)
}

pub(super) fn get(
    gateway: &Gateway,
    authority: &Authority,
    identity: Option<&Identity>,
) -> Response {
    send(gateway, authority, identity, &Request::get("/api/"))
}

#[test]
fn certificates_of_the_list_are_taken_and_others_are_not() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let (company, stranger) = (Authority::new(), Authority::new());
    let by_file = stranger.issue(&["by file"]);
    let expired = stranger.issue_expired(&["expired"]);
    let accepted = ["file.pem", "company.pem", "expired.pem"];
    let gateway = with_certificate(&authority)
        .file("file.pem", &by_file.certificate)
        .file("company.pem", &company.pem)
        .file("expired.pem", &expired.certificate)
        .api(mutual("api", &upstream, &accepted))
        .api(Definition::new("open").upstream(&upstream))
        .start();
    for identity in [&by_file, &company.issue(&["of the company"])] {
        for _ in 0..2 {
            assert_eq!(get(&gateway, &authority, Some(identity)).status, 200);
        }
    }
    assert_eq!(upstream.take().len(), 4);

    let other = stranger.issue(&["somebody"]);
    let message = format!(
        "Certificate with SHA256 {} not allowed",
        other.fingerprint()
    );
    get(&gateway, &authority, Some(&other)).assert_error(403, &message);
    // A certificate that is taken, behind one's own: its key is not shown to be there.
    let borrowed = Identity {
        certificate: format!("{}{}", other.certificate, by_file.certificate),
        key: other.key.clone(),
    };
    get(&gateway, &authority, Some(&borrowed)).assert_error(403, &message);
    let late = company.issue_expired(&["of the company, once"]);
    let message = format!("Certificate with SHA256 {} not allowed", late.fingerprint());
    get(&gateway, &authority, Some(&late)).assert_error(403, &message);
    get(&gateway, &authority, Some(&expired)).assert_error(403, "Certificate has expired");
    get(&gateway, &authority, None).assert_error(403, "Client TLS certificate is required");
    assert!(upstream.take().is_empty());
    let open = send(&gateway, &authority, None, &Request::get("/open/"));
    assert_eq!(open.status, 200, "other APIs need none");
}

#[test]
fn clients_are_asked_from_the_reload_on_that_brings_the_api() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let identity = authority.issue(&["somebody"]);
    let gateway = with_certificate(&authority)
        .file("ca.pem", &authority.pem)
        .conf(json!({"security": {"certificates": {"apis": ["ca.pem"]}}}))
        .start();
    assert_eq!(get(&gateway, &authority, Some(&identity)).status, 404);
    gateway.write_api(&mutual("api", &upstream, &[]));
    gateway.hang_up();
    assert_eq!(get(&gateway, &authority, Some(&identity)).status, 200);
}

#[test]
fn what_cannot_work_is_told_and_lets_nobody_in() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .file("text.pem", "hello")
        .api(mutual("api", &upstream, &[]))
        .api(mutual("missing", &upstream, &["none.pem"]))
        .api(mutual("text", &upstream, &["text.pem"]))
        .start();
    gateway.wait_for_log_with(&["WARN", "clients do not speak TLS"]);
    gateway.wait_for_log_with(&["WARN", "client_certificates names none"]);
    gateway.wait_for_log_with(&["ERROR", "API `missing`: client_certificates", "none.pem"]);
    gateway.wait_for_log_with(&["ERROR", "API `text`: client_certificates", "text.pem"]);
    gateway.get("/api/").assert_error(403, "TLS not enabled");
    assert_eq!(gateway.get("/missing/").status, 404);
}

#[test]
fn a_certificate_stands_for_a_key_where_that_is_on() {
    let (redis, authority, upstream) = (Redis::start(), Authority::new(), Upstream::echo());
    let (known, unknown) = (authority.issue(&["known"]), authority.issue(&["unknown"]));
    let store = |id: &str, session: serde_json::Value| {
        let _ = redis.command(&["SET", &format!("apikey-{id}"), &session.to_string()]);
    };
    store(
        &format!("org{}", known.fingerprint()),
        json!({"org_id": "org"}),
    );
    let bound = format!("org{}", known.fingerprint());
    store("orgbound", json!({"org_id": "org", "certificate": bound}));
    store("orgfree", json!({"org_id": "org"}));
    let api = Definition::new("api")
        .upstream(&upstream)
        .set("/use_keyless", false)
        .set("/auth/use_certificate", true);
    let gateway = with_certificate(&authority)
        .conf(redis.conf())
        .api(api)
        .start();
    assert_eq!(get(&gateway, &authority, Some(&known)).status, 200);
    let disallowed = "Access to this API has been disallowed";
    get(&gateway, &authority, Some(&unknown)).assert_error(403, disallowed);
    get(&gateway, &authority, None).assert_error(401, "Authorization field missing");

    let with_key = |key, identity| {
        let request = Request::get("/api/").header("Authorization", key);
        send(&gateway, &authority, identity, &request)
    };
    assert_eq!(with_key("bound", Some(&known)).status, 200);
    for identity in [Some(&unknown), None] {
        with_key("bound", identity).assert_error(403, disallowed);
        assert_eq!(with_key("free", identity).status, 200);
    }
}

//! The certificate store: what the admin API says of it, and what its entries are used for.

use serde_json::{Value, json};
use test_harness::gateway::SECRET;
use test_harness::redis::Reply;
use test_harness::{Client, Definition, Gateway, Redis, Request, Response, Upstream, wait};

use super::certificate_files::shown;
use super::client_certificates::{get, mutual, send};
use super::termination::with_certificate;
use super::{Authority, ClientSide, Front, Identity, ServerSide};
use crate::gateway;

fn admin(method: &str, path: &str, body: &str) -> Request {
    let request = Request::new(method, path).header("X-Tyk-Authorization", SECRET);
    request.body(body)
}

/// Adds a certificate on a plain port; returns its id.
#[track_caller]
pub(super) fn add(gateway: &Gateway, text: &str) -> String {
    added(&gateway.send(&admin("POST", "/tyk/certs?org_id=org", text)))
}

/// The same on a port of TLS.
#[track_caller]
fn add_through(authority: &Authority, gateway: &Gateway, text: &str) -> String {
    let request = admin("POST", "/tyk/certs?org_id=org", text);
    added(&send(gateway, authority, None, &request))
}

#[track_caller]
fn added(response: &Response) -> String {
    assert_eq!(response.status, 200, "{response:?}");
    response.json()["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn refused(response: &Response, status: u16, message: &str) {
    let text = json!(message);
    let body = format!(r#"{{"status":"error","message":{text}}}"#);
    assert_eq!((response.status, response.text()), (status, body));
}

#[test]
fn certificates_are_added_listed_shown_and_deleted() {
    let authority = Authority::new();
    let gateway = gateway().start();
    let call = |method: &str, path: &str, body: &str| gateway.send(&admin(method, path, body));
    let list = |query: &str| call("GET", &format!("/tyk/certs{query}"), "").text();
    assert_eq!(list(""), r#"{"certs":null}"#);

    let one = authority.issue(&["one.example"]);
    let id = format!("org{}", one.fingerprint());
    let response = call("POST", "/tyk/certs?org_id=org", &one.together());
    let body = format!(r#"{{"id":"{id}","status":"ok","message":"Certificate added"}}"#);
    assert_eq!((response.status, response.text()), (200, body));
    let again = call("POST", "/tyk/certs?org_id=org", &one.certificate);
    refused(
        &again,
        403,
        &format!("Certificate with {id} id already exists"),
    );
    // The same one of another organisation, whose id begins with the first one's.
    let others = call("POST", "/tyk/certs?org_id=org2", &one.certificate);
    assert_eq!(
        others.json()["id"],
        json!(format!("org2{}", one.fingerprint()))
    );
    assert_eq!(list("?org_id=org"), json!({"certs": [id]}).to_string());
    assert_eq!(
        call("GET", "/tyk/certs", "").json()["certs"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let both = call("GET", &format!("/tyk/certs/{id},nobody"), "").json();
    assert_eq!((&both[0]["id"], &both[1]), (&json!(id), &Value::Null));

    let deleted = call("DELETE", &format!("/tyk/certs/{id}"), "");
    let body = r#"{"status":"ok","message":"removed"}"#;
    assert_eq!((deleted.status, &*deleted.text()), (200, body));
    let gone = call("GET", &format!("/tyk/certs/{id}"), "");
    refused(
        &gone,
        404,
        "Certificate with given SHA256 fingerprint not found",
    );
}

#[test]
fn a_certificate_is_shown_with_its_names_and_times_and_without_its_key() {
    let authority = Authority::new();
    let gateway = gateway().start();
    let call = |method: &str, path: &str, body: &str| gateway.send(&admin(method, path, body));
    let one = authority.issue(&["one.example", "*.one.example"]);
    let id = add(&gateway, &one.together());
    let text = call("GET", &format!("/tyk/certs/{id}"), "").text();
    let begins = format!(
        r#"{{"id":"{id}","fingerprint":"{}","has_private":true,"issuer":{{"Country":null,"#,
        one.fingerprint()
    );
    assert!(text.starts_with(&begins), "{text}");
    let meta: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(meta["subject"]["CommonName"], json!("one.example"));
    let name = json!([{"Type": [2, 5, 4, 3], "Value": "one.example"}]);
    assert_eq!(meta["subject"]["Names"], name);
    assert_eq!(meta["dns_names"], json!(["one.example", "*.one.example"]));
    assert_eq!(meta["not_before"], json!("1975-01-01T00:00:00Z"));
    assert_eq!(meta["is_ca"], json!(false));
    assert!(
        !text.contains("PRIVATE") && !text.contains("BEGIN"),
        "{text}"
    );
    let detailed = call("GET", "/tyk/certs?org_id=org&mode=detailed", "").json();
    let basics = &detailed["certs"][0];
    assert_eq!(basics["subject_cn"], json!("one.example"));
    assert_eq!(basics["has_private"], json!(true));
}

#[test]
fn what_is_no_certificate_is_not_stored() {
    let authority = Authority::new();
    let gateway = gateway().start();
    let (one, two) = (authority.issue(&["one"]), authority.issue(&["two"]));
    let expired = authority.issue_expired(&["late"]).certificate;
    let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let sealed =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let undecodable = "Failed to decode certificate. It should be PEM encoded.";
    for (text, message) in [
        ("", undecodable),
        ("hello", undecodable),
        (&*one.key, undecodable),
        (&expired, "certificate is expired"),
        (broken, "Error while parsing certificate: "),
        (
            &format!("{}{public}", one.certificate),
            "Public keys can't be combined with certificates",
        ),
        (
            &format!("{}{}", one.certificate, two.key),
            "tls: private key does not match public key",
        ),
        (
            &format!("{}{}", one.together(), one.key),
            "Found multiple private keys",
        ),
        (
            &format!("{}{sealed}", one.certificate),
            "tls: failed to parse private key: it is encrypted",
        ),
    ] {
        let response = gateway.send(&admin("POST", "/tyk/certs", text));
        assert_eq!(response.status, 403, "{response:?}");
        let told = response.json()["message"].as_str().unwrap().to_owned();
        assert!(told.starts_with(message), "{told}, not {message}");
    }
    let ids = gateway.send(&admin("GET", "/tyk/certs", "")).json();
    assert_eq!(ids["certs"], Value::Null);
    let without = gateway.get("/tyk/certs");
    assert_eq!(without.status, 403, "{without:?}");
}

#[test]
fn an_added_certificate_is_shown_to_clients_without_a_restart() {
    let (redis, authority, upstream) = (Redis::start(), Authority::new(), Upstream::echo());
    let own = authority.issue(&["own.example"]);
    let id = format!("org{}", own.fingerprint());
    let api = Definition::new("api")
        .upstream(&upstream)
        .set("/certificates", json!([id]));
    let start = || with_certificate(&authority).conf(redis.conf()).start();
    let (gateway, other) = (start(), start());
    other.wait_for_log("Listening for notices to reload.");
    for gateway in [&gateway, &other] {
        gateway.write_api(&api);
        gateway.hang_up();
        gateway.wait_for_log_with(&["ERROR", "API `api`: certificates", &id, "/tyk/certs"]);
        assert!(shown(gateway, &authority, "own.example").is_err());
    }
    assert_eq!(add_through(&authority, &gateway, &own.together()), id);
    for gateway in [&gateway, &other] {
        wait::until("the certificate is shown", || {
            shown(gateway, &authority, "own.example") == Ok(own.chain()[0].to_vec())
        });
        assert!(shown(gateway, &authority, "localhost").is_ok());
    }
    let Reply::Bytes(kept) = redis.command(&["GET", &format!("cert-raw-{id}")]) else {
        panic!("it is kept under the original's name");
    };
    let kept = String::from_utf8(kept).unwrap();
    assert!(kept.contains("4,ENCRYPTED"), "{kept}");
    let secret = own.key.lines().nth(1).unwrap();
    assert!(!kept.contains(secret), "{kept}");
}

#[test]
fn configured_ids_may_come_after_the_start() {
    let authority = Authority::new();
    let late = authority.issue(&["late.example"]);
    let id = format!("org{}", late.fingerprint());
    let gateway = with_certificate(&authority)
        .conf(json!({"http_server_options": {"ssl_certificates": ["localhost.pem", id]}}))
        .start();
    gateway.wait_for_log_with(&["ERROR", "http_server_options", &id, "/tyk/certs"]);
    add_through(&authority, &gateway, &late.together());
    wait::until("the certificate is shown", || {
        shown(&gateway, &authority, "late.example") == Ok(late.chain()[0].to_vec())
    });
}

#[test]
fn a_stored_certificate_opens_an_api_until_it_is_deleted() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let (company, stranger) = (Authority::new(), Authority::new());
    let (known, member) = (stranger.issue(&["known"]), company.issue(&["member"]));
    let with_chain = format!("{}{}", known.certificate, stranger.pem);
    let gateway = with_certificate(&authority).start();
    let id = add_through(&authority, &gateway, &with_chain);
    let company_id = add_through(&authority, &gateway, &company.pem);
    gateway.write_api(&mutual("api", &upstream, &[&id, &company_id]));
    gateway.hang_up();
    for identity in [&known, &member] {
        // What was added a moment ago is still about to make it reload.
        wait::until("the certificate is taken", || {
            get(&gateway, &authority, Some(identity)).status == 200
        });
    }
    // The authority behind the certificate is not what was let in.
    let sibling = stranger.issue(&["sibling"]);
    let message = |identity: &Identity| {
        format!(
            "Certificate with SHA256 {} not allowed",
            identity.fingerprint()
        )
    };
    get(&gateway, &authority, Some(&sibling)).assert_error(403, &message(&sibling));
    let request = admin("DELETE", &format!("/tyk/certs/{id}"), "");
    assert_eq!(send(&gateway, &authority, None, &request).status, 200);
    wait::until("the certificate is not taken any more", || {
        get(&gateway, &authority, Some(&known)).status == 403
    });
    get(&gateway, &authority, Some(&known)).assert_error(403, &message(&known));
    assert_eq!(get(&gateway, &authority, Some(&member)).status, 200);
    gateway.wait_for_log_with(&["WARN", "not in the store", &id]);
}

#[test]
fn a_stored_certificate_is_shown_to_upstreams_also_while_the_store_is_away() {
    let (mut redis, authority, upstream) = (Redis::start(), Authority::new(), Upstream::echo());
    let side = ServerSide {
        client_roots: Some(authority.roots()),
        ..ServerSide::of(authority.issue(&["localhost"]))
    };
    let front = Front::start(side, upstream.address());
    let api = |id: &str| {
        Definition::new("api")
            .target(&front.url())
            .set("/proxy/transport/ssl_ca_file", "ca.pem")
            .set("/upstream_certificates", json!({"localhost": id}))
    };
    let gateway = gateway()
        .file("ca.pem", &authority.pem)
        .conf(redis.conf())
        .start();
    let id = add(&gateway, &authority.issue(&["gateway"]).together());
    gateway.write_api(&api(&id));
    gateway.reload();
    assert_eq!(gateway.get("/api/").status, 200);
    redis.kill();
    gateway.hang_up();
    gateway.wait_for_log_with(&["WARN", "as it was last seen", &id]);
    assert_eq!(gateway.get("/api/").status, 200);
    // What was never seen cannot be used.
    let unseen = id.replace("org", "other");
    gateway.write_api(&api(&unseen));
    gateway.hang_up();
    gateway.wait_for_log_with(&["ERROR", "API `api`: TLS to its upstream", &unseen]);
    assert_eq!(gateway.get("/api/").status, 404);
}

#[test]
fn a_certificate_names_the_key_that_is_made_for_it() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let api = Definition::new("api")
        .upstream(&upstream)
        .set("/use_keyless", false)
        .set("/auth/use_certificate", true);
    let gateway = with_certificate(&authority).api(api).start();
    let (known, unknown) = (authority.issue(&["known"]), authority.issue(&["unknown"]));
    let id = add_through(&authority, &gateway, &known.certificate);
    let session = json!({
        "org_id": "org", "certificate": id,
        "access_rights": {"api": {"api_id": "api", "versions": ["Default"]}},
    });
    let request = admin("POST", "/tyk/keys/create", &session.to_string());
    let made = send(&gateway, &authority, None, &request);
    assert_eq!(made.json()["key"], json!(id), "{made:?}");
    assert_eq!(get(&gateway, &authority, Some(&known)).status, 200);
    let disallowed = "Access to this API has been disallowed";
    get(&gateway, &authority, Some(&unknown)).assert_error(403, disallowed);
    // The key alone is not enough.
    let mut client = Client::connect(ClientSide::of(&authority).tunnel(gateway.address()));
    let request = Request::get("/api/").header("Authorization", &id);
    client.request(&request).assert_error(403, disallowed);
}

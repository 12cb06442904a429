//! What a hook sees of the client's certificate.

use test_harness::{Client, Definition, Request, Upstream};

use super::Driver;
use crate::tls::{Authority, ClientSide, Identity, with_certificate};

pub(crate) fn a_hook_sees_the_clients_certificate(driver: Driver) {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let api = |id: &str| {
        let api = Definition::new(id).driver(driver).upstream(&upstream);
        api.pre("Describe").post("Describe")
    };
    let mutual = api("mutual")
        .set("/use_mutual_tls_auth", true)
        .set("/client_certificates", vec!["ca.pem"]);
    let gateway = with_certificate(&authority)
        .file("ca.pem", &authority.pem)
        .fixture("view", driver)
        .api(mutual)
        .api(api("open"))
        .start();
    let see = |identity: Option<&Identity>, path: &str| {
        let side = ClientSide {
            identity: identity.cloned(),
            ..ClientSide::of(&authority)
        };
        let mut client = Client::connect(side.tunnel(gateway.address()));
        let response = client.request(&Request::get(path));
        assert_eq!(response.status, 200, "{response:?}");
        upstream.take_one()
    };
    let identity = authority.issue(&["me.example", "other.example"]);
    for path in ["/mutual/", "/open/"] {
        let seen = see(Some(&identity), path);
        let print = identity.fingerprint();
        let pem = identity
            .certificate
            .replace("\r\n", "\n")
            .replace('\n', "|");
        for (name, expected) in [
            ("Saw-Subject", "CN=me.example"),
            ("Saw-Names", r#"["DNS:me.example","DNS:other.example"]"#),
            ("Saw-Fingerprint", &*print),
            ("Saw-Pem", &*pem),
            ("Saw-Scheme", "https"),
        ] {
            assert_eq!(seen.header(name), Some(expected), "{name}");
        }
    }
    let seen = see(None, "/open/");
    assert_eq!(seen.header("Saw-Subject"), Some("none"));
    assert_eq!(seen.header("Saw-Pem"), Some(""));
}

//! Events about certificates that end.

use serde_json::json;
use test_harness::{Definition, Receiver, Upstream, wait};

use super::certificate_files::shown;
use super::{Authority, with_certificate};
use crate::gateway;

const SOON: &str = "CertificateExpiringSoon";
const OVER: &str = "CertificateExpired";

#[test]
fn certificates_that_end_are_told_once_to_api_and_operator() {
    let (authority, upstream) = (Authority::new(), Upstream::echo());
    let hook = Receiver::start();
    let soon = authority.issue_for_days(&["soon"], 7);
    let later = authority.issue_for_days(&["later"], 90);
    let over = authority.issue_expired(&["over"]);
    let log = |prefix: &str| json!([{"handler_name": "eh_log_handler", "handler_meta": {"prefix": prefix}}]);
    let api = Definition::new("api")
        .upstream(&upstream)
        .set("/use_mutual_tls_auth", true)
        .set(
            "/client_certificates",
            json!(["soon.pem", "later.pem", "over.pem"]),
        )
        .set(
            "/event_handlers/events",
            json!({SOON: log("own"), OVER: log("own")}),
        );
    let gateway = gateway()
        .file("soon.pem", &soon.certificate)
        .file("later.pem", &later.certificate)
        .file("over.pem", &over.certificate)
        .conf(hook.handlers(SOON, "operator"))
        .api(api)
        .start();
    gateway.wait_for_log("own:CertificateExpiringSoon");
    gateway.wait_for_log("own:CertificateExpired");
    let _told = hook.wait_for("the event", |received| {
        let text = String::from_utf8_lossy(&received.body);
        text.contains("Certificate soon is expiring in 7 days")
    });
    gateway.wait_for_log_with(&[
        "WARN",
        "Certificate ends.",
        OVER,
        "api",
        &over.fingerprint(),
    ]);
    gateway.reload();
    // The line of another one that was told after the reload would come after this.
    gateway.write(
        "later.pem",
        &authority.issue_for_days(&["nearer"], 3).certificate,
    );
    gateway.reload();
    gateway.wait_for_log_with(&["WARN", "Certificate ends.", SOON, "nearer"]);
    let lines = gateway.log().text();
    assert_eq!(
        lines.matches("own:CertificateExpired").count(),
        1,
        "{lines}"
    );
}

#[test]
fn certificates_of_the_configuration_are_the_operators_alone() {
    let authority = Authority::new();
    let own = authority.issue_for_days(&["localhost"], 1);
    let gateway = with_certificate(&authority)
        .file("localhost.pem", own.together())
        .conf(json!({"event_handlers": {"events": {SOON: [
            {"handler_name": "eh_log_handler", "handler_meta": {"prefix": "operator"}}
        ]}}}))
        .start();
    gateway.wait_for_log("operator:CertificateExpiringSoon");
    wait::until("it serves with it", || {
        shown(&gateway, &authority, "localhost") == Ok(own.chain()[0].to_vec())
    });
}

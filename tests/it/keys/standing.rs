//! How limits stand, and what became of requests.

use serde_json::{Value, json};
use test_harness::{Definition, Redis, Upstream};

use super::{admin, create, keyed, refused, with_key};
use crate::gateway;

const ASK: &str = "/api/tyk/rate-limits/";

fn limited() -> Value {
    json!({
        "org_id": "org", "rate": 100, "per": 2.5, "quota_max": 5, "quota_renewal_rate": 3600,
        "access_rights": {"api": {"allowed_urls": [{"url": "^/api/x$", "methods": ["GET"]}]}},
    })
}

fn callers_are_told(conf: Value) {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .conf(conf)
        .api(keyed("api", &upstream))
        .api(keyed("other", &upstream))
        .api(Definition::new("open").upstream(&upstream))
        .start();
    let key = create(&gateway, &limited());
    let ask = |path: &str| gateway.send(&with_key(path, &key));
    let told = ask(ASK);
    assert_eq!(
        (told.status, told.header("Content-Type")),
        (200, Some("application/json"))
    );
    let begins = r#"{"quota":{"quota_max":5,"quota_remaining":5,"quota_renews":"#;
    assert!(told.text().starts_with(begins), "{told:?}");
    let ends = r#"},"rate_limit":{"requests":100,"per_unit":2.5}}"#;
    assert!(told.text().ends_with(ends), "{told:?}");
    for _ in 0..2 {
        assert_eq!(ask("/api/x").status, 200);
    }
    let renews = ask("/api/x")
        .header("X-RateLimit-Reset")
        .unwrap()
        .to_owned();
    // Asking is not counted, whichever way it is written.
    for path in [ASK, "/api/tyk/rate-limits"] {
        let mut told = ask(path).json();
        // The store's clock and the gateway's may be in different seconds.
        let quota_renews = told["quota"]["quota_renews"].take().as_i64().unwrap();
        let expected = renews.parse::<i64>().unwrap();
        assert!(
            (expected - quota_renews).abs() <= 1,
            "{quota_renews}, not {expected}"
        );
        let expected = json!({"quota_max": 5, "quota_remaining": 2, "quota_renews": null});
        assert_eq!(told["quota"], expected);
    }
    assert_eq!(upstream.take().len(), 3);
    gateway
        .get(ASK)
        .assert_error(401, "Authorization field missing");
    let response = ask("/other/tyk/rate-limits/");
    response.assert_error(403, "Access to this API has been disallowed");
    let response = ask("/api/x/tyk/rate-limits/");
    response.assert_error(403, "Access to this resource has been disallowed");
    assert!(upstream.take().is_empty());
    // Who has no keys has nobody to tell.
    assert_eq!(ask("/open/tyk/rate-limits/").status, 200);
    assert_eq!(upstream.take_one().target, "/tyk/rate-limits/");
}

#[test]
fn callers_are_told_how_their_limits_stand() {
    callers_are_told(json!({"storage": {"type": "memory"}}));
}

#[test]
fn callers_are_told_how_shared_limits_stand() {
    let redis = Redis::start();
    callers_are_told(redis.conf());
}

#[test]
fn counters_tell_what_became_of_requests() {
    let upstream = Upstream::echo();
    let counting = gateway()
        .conf(json!({"health_check": {
            "enable_health_checks": true, "health_check_value_timeouts": 100,
        }}))
        .api(keyed("api", &upstream))
        .api(Definition::new("open").upstream(&upstream))
        .start();
    let counted = |api: &str| admin(&counting, "GET", &format!("/tyk/health?api_id={api}"), "");
    let nothing = concat!(
        r#"{"throttle_reqests_per_second":0,"quota_violations_per_second":0,"#,
        r#""key_failures_per_second":0,"average_upstream_latency":0,"#,
        r#""average_requests_per_second":0}"#
    );
    assert_eq!(counted("open").text(), nothing);
    let session = |limit: Value| {
        let mut session = json!({"org_id": "org", "access_rights": {"api": {}}});
        session
            .as_object_mut()
            .unwrap()
            .extend(limit.as_object().unwrap().clone());
        create(&counting, &session)
    };
    let brief = session(json!({"rate": 2, "per": 3600}));
    let scarce = session(json!({"quota_max": 1, "quota_renewal_rate": 3600}));
    for (key, times) in [(&*brief, 3), (&*scarce, 3), ("unknown", 4)] {
        for _ in 0..times {
            counting.send(&with_key("/api/", key));
        }
    }
    counting.reload();
    let told = counted("api").json();
    for (name, expected) in [
        ("throttle_reqests_per_second", 0.01),
        ("quota_violations_per_second", 0.02),
        ("key_failures_per_second", 0.04),
        ("average_requests_per_second", 0.03),
    ] {
        assert_eq!(told[name], json!(expected), "{name}: {told}");
    }
    assert!(told["average_upstream_latency"].is_number(), "{told}");
    assert_eq!(counted("open").text(), nothing);
    refused(&counted(""), 400, "missing api_id parameter", "");
    refused(&counted("nobody"), 404, "API ID not found", "");
    let silent = gateway().start();
    let off = admin(&silent, "GET", "/tyk/health?api_id=a", "");
    refused(&off, 400, "Health checks are not enabled for this node", "");
}

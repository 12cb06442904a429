//! Policies that an `auth_check` hook gives its session.

use serde_json::{Value, json};
use test_harness::{Definition, Gateway, Upstream};

use super::Driver;
use super::sessions::{call, checked, stored};
use crate::gateway;

fn start(driver: Driver, change: impl Fn(Definition) -> Definition) -> (Gateway, Upstream) {
    let upstream = Upstream::echo();
    let api = Definition::new("api").driver(driver).upstream(&upstream);
    let log = json!([{"handler_name": "eh_log_handler", "handler_meta": {"prefix": "TOLD"}}]);
    let policies = json!({
        "gold": {
            "org_id": "org", "quota_max": 2, "quota_renewal_rate": 3600, "tags": ["golden"],
            "access_rights": {"api": {"api_id": "api"}}, "meta_data": {"plan": "gold"},
        },
        "elsewhere": {"org_id": "org", "access_rights": {"other": {}}},
        "foreign": {"org_id": "another", "access_rights": {"api": {}}},
    });
    let gateway = gateway()
        .fixture("sessions", driver)
        .conf(json!({"policies": {"policy_source": "file", "policy_record_name": "p.json"}}))
        .file("p.json", policies.to_string())
        .api(change(checked(api)).set("/event_handlers/events/AuthFailure", log))
        .start();
    (gateway, upstream)
}

pub(crate) fn a_session_is_that_of_its_policies(driver: Driver) {
    let (gateway, upstream) = start(driver, |api| api);
    let session = json!({"apply_policies": ["gold"], "quota_max": 100, "is_inactive": true});
    let request = call("key", &session).header("X-Show", "quota_max,tags,metadata,is_inactive");
    for left in ["1", "0"] {
        let response = gateway.send(&request);
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(response.header("X-RateLimit-Limit"), Some("2"));
        assert_eq!(response.header("X-RateLimit-Remaining"), Some(left));
        let seen = upstream.take_one();
        let seen: Value = serde_json::from_str(seen.header("Saw-Session").unwrap()).unwrap();
        assert_eq!(seen["quota_max"].as_f64(), Some(2.0), "{seen}");
        assert_eq!(seen["tags"], json!(["golden"]), "{seen}");
        assert_eq!(seen["metadata"]["plan"], "gold", "{seen}");
        assert_eq!(seen["is_inactive"], false, "{seen}");
    }
    gateway.send(&request).assert_error(403, "Quota exceeded");
    let kept = stored(&gateway, "key").unwrap();
    assert_eq!(kept["quota_max"], 2, "{kept}");
    assert_eq!(kept["apply_policies"], json!(["gold"]), "{kept}");
}

pub(crate) fn policies_that_cannot_be_applied_refuse_the_caller(driver: Driver) {
    let (gateway, upstream) = start(driver, |api| api);
    for (session, message) in [
        (json!({"apply_policies": ["no"]}), "Forbidden"),
        (json!({"apply_policy_id": "no"}), "Forbidden"),
        (json!({"apply_policies": ["no", "neither"]}), "Forbidden"),
        (json!({"apply_policies": ["gold", "foreign"]}), "Forbidden"),
        (
            json!({"apply_policies": ["elsewhere"]}),
            "Access to this API has been disallowed",
        ),
    ] {
        let mark = gateway.log().mark();
        gateway
            .send(&call("key", &session))
            .assert_error(403, message);
        let told = gateway.log().find_after(mark, &["TOLD:AuthFailure"]);
        assert!(told.is_some(), "{session}");
    }
    assert!(upstream.take().is_empty());
    let response = gateway.send(&call("key", &json!({"apply_policies": ["no", "gold"]})));
    assert_eq!(response.status, 200, "one that is there is enough");
}

pub(crate) fn a_key_may_be_asked_for_beside_the_plugin(driver: Driver) {
    let (gateway, upstream) = start(driver, |api| {
        api.set("/use_standard_auth", true)
            .set("/base_identity_provided_by", "custom_auth")
    });
    let session = json!({"org_id": "org", "alias": "of the key", "access_rights": {"api": {}}});
    let made = gateway.send(
        &test_harness::Request::post("/tyk/keys/create", session.to_string())
            .header("X-Tyk-Authorization", test_harness::gateway::SECRET),
    );
    let key = made.json()["key"].as_str().unwrap().to_owned();
    let accepted = || call("token", &json!({"alias": "of the plugin"}));
    gateway
        .send(&accepted())
        .assert_error(401, "Authorization field missing");
    let wrong = accepted().header("Authorization", "no-such-key");
    gateway
        .send(&wrong)
        .assert_error(403, "Access to this API has been disallowed");
    let only_key = test_harness::Request::get("/api/").header("Authorization", &key);
    gateway.send(&only_key).assert_error(403, "Forbidden");
    let both = accepted()
        .header("Authorization", &key)
        .header("X-Show", "alias");
    assert_eq!(gateway.send(&both).status, 200);
    let seen = upstream.take_one();
    let shown = seen.header("Saw-Session").unwrap();
    assert!(shown.contains("of the plugin"), "{shown}");
}

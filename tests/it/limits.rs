//! The limits of an API without keys. Those of keys are scenarios of plugins.

use std::thread;

use serde_json::{Value, json};
use test_harness::gateway::SECRET;
use test_harness::{Definition, Request, Upstream, wait};

use crate::gateway;

#[test]
fn the_rate_of_an_api_holds_on_all_threads() {
    let upstream = Upstream::echo();
    let api = |id: &str| Definition::new(id).upstream(&upstream);
    let limit = json!({"rate": 50, "per": 3600});
    let off = json!({"rate": 1, "per": 3600, "disabled": true});
    let gateway = gateway()
        .api(api("limited").set("/global_rate_limit", limit.clone()))
        .api(api("off").set("/global_rate_limit", off))
        .api(
            api("switched")
                .set("/global_rate_limit", limit)
                .set("/disable_rate_limit", true),
        )
        .start();
    let passed = |path: &'static str| -> usize {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let mut client = gateway.connect();
                        let responses = (0..20).map(|_| client.request(&Request::get(path)));
                        responses.filter(|one| one.status == 200).count()
                    })
                })
                .collect();
            clients.into_iter().map(|one| one.join().unwrap()).sum()
        })
    };
    assert_eq!(passed("/limited/"), 50);
    let refused = gateway.get("/limited/");
    refused.assert_error(429, "API Rate Limit Exceeded");
    assert_eq!(refused.header("X-RateLimit-Limit"), None);
    assert_eq!(passed("/off/"), 80);
    assert_eq!(passed("/switched/"), 80);
    let proxied = gateway.get("/off/");
    assert_eq!(proxied.header("X-RateLimit-Limit"), Some("0"));
}

#[test]
fn a_limit_that_makes_no_sense_takes_its_api_out() {
    let upstream = Upstream::echo();
    let api = |id: &str| Definition::new(id).upstream(&upstream);
    let gateway = gateway()
        .api(api("well"))
        .api(api("bad").set("/global_rate_limit", json!({"rate": 5, "per": 0})))
        .start();
    gateway.wait_for_log_with(&["API `bad`: global_rate_limit.per: 0 is no time"]);
    assert_eq!(gateway.get("/bad/").status, 404);
    assert_eq!(gateway.get("/well/").status, 200);
}

#[test]
fn settings_that_nobody_knows_are_refused() {
    for (key, value) in [
        ("rate_limit_response_headers", "all"),
        ("rate_limit_mode", "sloppy"),
    ] {
        let ended = gateway()
            .conf(json!({key: value}))
            .start_expecting_failure();
        assert!(!ended.status.success(), "{key}");
        for part in [key, value] {
            assert!(ended.log.contains(part), "{part}: {}", ended.log);
        }
    }
}

#[test]
fn an_organisation_is_held_to_its_session() {
    let upstream = Upstream::echo();
    let api = |id: &str, org: &str| {
        let handler = json!([{"handler_name": "eh_log_handler", "handler_meta": {"prefix": "T"}}]);
        Definition::new(id)
            .upstream(&upstream)
            .set("/org_id", org)
            .set("/event_handlers/events/OrgQuotaExceeded", handler)
    };
    let gateway = gateway()
        .conf(json!({
            "enforce_org_quotas": true, "local_session_cache": {"cached_session_timeout": 1},
        }))
        .api(api("one", "red"))
        .api(api("two", "red"))
        .api(api("other", "blue"))
        .start();
    let put = |session: Value| {
        let request = Request::post("/tyk/org/keys/red", session.to_string())
            .header("X-Tyk-Authorization", SECRET);
        let response = gateway.send(&request);
        assert_eq!(response.status, 200, "{response:?}");
    };
    let contact = "please contact your API administrator";
    for (session, message) in [
        (
            json!({"rate": 2, "per": 3600}),
            format!("This organisation rate limit has been exceeded, {contact}"),
        ),
        (
            json!({"quota_max": 3, "quota_renewal_rate": 3600}),
            format!("This organisation quota has been exceeded, {contact}"),
        ),
        (
            json!({"is_inactive": true}),
            format!("this organisation access has been disabled, {contact}"),
        ),
    ] {
        put(session.clone());
        // Each of its APIs sees it a moment later.
        for path in ["/one/", "/two/"] {
            wait::until("the limit holds", || {
                let response = gateway.get(path);
                response.status == 403 && response.json()["error"] == json!(message)
            });
        }
        assert_eq!(gateway.get("/other/").status, 200, "{session}");
    }
    gateway.wait_for_log_with(&["T:OrgQuotaExceeded"]);
}

#[test]
fn the_quota_of_an_organisation_begins_anew_when_that_is_asked_for() {
    let upstream = Upstream::echo();
    let gateway = gateway()
        .conf(json!({"enforce_org_quotas": true}))
        .api(Definition::new("one").upstream(&upstream))
        .start();
    let session = json!({"quota_max": 2, "quota_renewal_rate": 3600}).to_string();
    let put = |query: &str| {
        let path = format!("/tyk/org/keys/org{query}");
        let request = Request::new("PUT", &path).header("X-Tyk-Authorization", SECRET);
        let response = gateway.send(&request.body(session.clone()));
        assert_eq!(response.status, 200, "{response:?}");
    };
    let left = || gateway.admin("/tyk/org/keys/org").json()["quota_remaining"].clone();
    put("");
    gateway.get("/one/");
    assert_eq!(left(), json!(1));
    put("?reset_quota=0");
    assert_eq!(left(), json!(1));
    put("?reset_quota=1");
    assert_eq!(left(), json!(2));
}

//! Rates of single paths, and requests that wait until their rate allows them.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use test_harness::{Definition, Redis, Upstream};

use super::{admin, create, keyed, with_key};
use crate::gateway;

const NO_RATE: &str = "Rate Limit Exceeded";

fn session(limits: &Value) -> Value {
    let mut session = json!({"org_id": "org", "access_rights": {"api": {}}});
    let limits = limits.as_object().unwrap().clone();
    session.as_object_mut().unwrap().extend(limits);
    session
}

#[test]
fn a_request_over_its_rate_waits_until_it_is_allowed() {
    let upstream = Upstream::echo();
    let gateway = gateway().api(keyed("api", &upstream)).start();
    let throttle = json!({"throttle_interval": 0.05, "throttle_retry_limit": 1000});
    let mut patient = session(&json!({"rate": 1, "per": 0.3}));
    let mut apart = session(&json!({}));
    apart["access_rights"]["api"]["limit"] = patient.clone();
    for (name, value) in throttle.as_object().unwrap() {
        patient[name] = value.clone();
        apart["access_rights"]["api"]["limit"][name] = value.clone();
    }
    for session in [patient, apart] {
        let key = create(&gateway, &session);
        let began = Instant::now();
        for _ in 0..3 {
            let response = gateway.send(&with_key("/api/", &key));
            assert_eq!(response.status, 200, "{response:?}");
        }
        assert!(began.elapsed() >= Duration::from_millis(600));
    }
    let hasty =
        json!({"rate": 1, "per": 3600, "throttle_interval": 0.02, "throttle_retry_limit": 2});
    let key = create(&gateway, &session(&hasty));
    assert_eq!(gateway.send(&with_key("/api/", &key)).status, 200);
    gateway
        .send(&with_key("/api/", &key))
        .assert_error(429, NO_RATE);
    assert_eq!(upstream.take().len(), 7);
}

#[test]
fn a_waiting_request_ends_with_its_client() {
    let upstream = Upstream::echo();
    let gateway = gateway().api(keyed("api", &upstream)).start();
    let long = json!({"rate": 1, "per": 3600, "throttle_interval": 20, "throttle_retry_limit": 3});
    let key = create(&gateway, &session(&long));
    let request = with_key("/api/", &key);
    assert_eq!(gateway.send(&request).status, 200);
    let mut client = gateway.connect();
    client.send(request.bytes());
    gateway.wait_for_log_with(&["Request waits until its rate allows it."]);
    drop(client);
    // It would wait for longer than the gateway waits for it at its end.
    assert!(gateway.stop().success());
    assert_eq!(upstream.take().len(), 1);
}

fn paths_of_a_key(conf: Value) {
    let upstream = Upstream::echo();
    let gateway = gateway().conf(conf).api(keyed("api", &upstream)).start();
    let rate = |rate: u32| json!({"rate": rate, "per": 3600});
    let mut limited = session(&json!({
        "rate": 3, "per": 3600, "quota_max": 7, "quota_renewal_rate": 3600,
    }));
    limited["access_rights"]["api"]["endpoints"] = json!([
        {"path": "^/few$", "methods": [{"name": "GET", "limit": rate(1)}]},
        {"path": "/item/{id}", "methods": [{"name": "GET", "limit": rate(2)}]},
    ]);
    let key = create(&gateway, &limited);
    let passed = |path: &str, times: usize| {
        let outcomes = (0..times).map(|_| gateway.send(&with_key(path, &key)));
        outcomes
            .filter(|response| match response.status {
                200 => true,
                _ => {
                    response.assert_error(429, NO_RATE);
                    false
                }
            })
            .count()
    };
    assert_eq!(passed("/api/few", 3), 1);
    assert_eq!(passed("/api/item/1", 2) + passed("/api/item/2", 2), 2);
    // All others share the rate of the key, and all of them together the quota.
    assert_eq!(passed("/api/x", 2) + passed("/api/y", 3), 3);
    let told = gateway
        .send(&with_key("/api/tyk/rate-limits/", &key))
        .json();
    assert_eq!(told["quota"]["quota_remaining"], 1, "{told}");
    limited["access_rights"]["api"]["endpoints"][0]["path"] = json!("/(");
    let wrong = admin(&gateway, "POST", "/tyk/keys/other", &limited.to_string());
    assert_eq!(wrong.status, 400, "{wrong:?}");
    assert!(
        wrong.text().contains("access_rights.api.endpoints[0].path"),
        "{wrong:?}"
    );
}

#[test]
fn paths_of_a_key_have_rates_of_their_own() {
    paths_of_a_key(json!({"storage": {"type": "memory"}}));
}

#[test]
fn paths_of_a_key_have_shared_rates_of_their_own() {
    let redis = Redis::start();
    paths_of_a_key(redis.conf());
}

#[test]
fn paths_of_a_definition_have_rates_of_their_own() {
    let upstream = Upstream::echo();
    let rates = json!({"rate_limit": [
        {"path": "/few", "method": "GET", "rate": 2, "per": 3600},
        {"path": "/many", "method": "GET", "rate": 1, "per": 3600, "disabled": true},
    ]});
    let with_paths = |id: &str, rates: &Value| {
        Definition::new(id)
            .upstream(&upstream)
            .set("/version_data/versions/Default/use_extended_paths", true)
            .set(
                "/version_data/versions/Default/extended_paths",
                rates.clone(),
            )
    };
    let limit = json!({"rate": 3, "per": 3600});
    let wrong = json!({"rate_limit": [{"path": "/few", "rate": 1, "per": 0}]});
    let gateway = gateway()
        .api(with_paths("api", &rates).set("/global_rate_limit", limit))
        .api(with_paths("alone", &rates))
        .api(with_paths("wrong", &wrong))
        .start();
    let passed = |path: &str| {
        let outcomes = (0..5).map(|_| gateway.get(path));
        outcomes.filter(|response| response.status == 200).count()
    };
    assert_eq!(passed("/api/few"), 2);
    gateway
        .get("/api/few")
        .assert_error(429, "API Rate Limit Exceeded");
    assert_eq!(passed("/api/many"), 3);
    assert_eq!((passed("/alone/few"), passed("/alone/many")), (2, 5));
    gateway.wait_for_log_with(&["extended_paths.rate_limit[0]: 1 in 0 seconds is no rate"]);
    assert_eq!(gateway.get("/wrong/").status, 404);
}

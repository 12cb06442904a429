//! Rates, quotas and rights of the sessions that an `auth_check` hook makes.

use std::thread;

use serde_json::{Value, json};
use test_harness::{Client, Definition, Gateway, Redis, Request, Response, Upstream, wait};

use super::sessions::{call, checked, stored};
use super::{Driver, start};
use crate::gateway;

const NO_RATE: &str = "Rate Limit Exceeded";
const NO_QUOTA: &str = "Quota exceeded";

fn hour(rate: u32) -> Value {
    json!({"rate": rate, "per": 3600})
}

fn quota(max: u32) -> Value {
    json!({"quota_max": max, "quota_renewal_rate": 3600})
}

fn logged(api: Definition, event: &str) -> Definition {
    let handler = json!([{"handler_name": "eh_log_handler", "handler_meta": {"prefix": "TOLD"}}]);
    api.set(&format!("/event_handlers/events/{event}"), handler)
}

fn limit_headers(response: &Response) -> [Option<i64>; 3] {
    ["Limit", "Remaining", "Reset"].map(|name| {
        let value = response.header(&format!("X-RateLimit-{name}"))?;
        Some(value.parse().unwrap())
    })
}

/// How many of `count` requests on one connection pass; the others are refused as told.
#[track_caller]
fn passed(client: &mut Client, request: &Request, count: usize, message: &str) -> usize {
    let mut passed = 0;
    for _ in 0..count {
        let response = client.request(request);
        match response.status {
            200 => passed += 1,
            status => response.assert_error(status, message),
        }
    }
    passed
}

pub(crate) fn a_rate_holds_and_a_client_that_knocks_gets_in_again(driver: Driver) {
    let setup = start(driver, "sessions", |api| {
        logged(checked(api), "RatelimitExceeded")
    });
    let mut client = setup.gateway.connect();
    let request = call("key-1", &hour(3));
    assert_eq!(passed(&mut client, &request, 8, NO_RATE), 3);
    let refused = client.request(&request);
    refused.assert_error(429, NO_RATE);
    assert_eq!(limit_headers(&refused), [None; 3]);
    setup
        .gateway
        .wait_for_log_with(&["TOLD:RatelimitExceeded", "key-1"]);
    // Another key is not held up, and the refused requests do not keep this one out.
    assert_eq!(client.request(&call("key-2", &hour(3))).status, 200);
    let brief = call("key-3", &json!({"rate": 1, "per": 0.3}));
    assert_eq!(client.request(&brief).status, 200);
    wait::until("the window allows another one", || {
        client.request(&brief).status == 200
    });
}

pub(crate) fn a_quota_is_told_and_ends_with_its_own_text(driver: Driver) {
    let setup = start(driver, "sessions", |api| {
        logged(checked(api).post("Show"), "QuotaExceeded")
    });
    let request = call("key-1", &quota(2)).header("X-Show", "quota_remaining,quota_renews");
    let first = setup.gateway.send(&request);
    let [limit, remaining, renews] = limit_headers(&first).map(Option::unwrap);
    assert_eq!((limit, remaining), (2, 1));
    let seen = setup.upstream.take_one();
    let seen: Value = serde_json::from_str(seen.header("Saw-Session").unwrap()).unwrap();
    assert_eq!(seen["quota_remaining"].as_f64(), Some(1.0), "{seen}");
    assert_eq!(seen["quota_renews"].as_f64(), Some(renews as f64), "{seen}");
    let second = setup.gateway.send(&request);
    assert_eq!(limit_headers(&second), [Some(2), Some(0), Some(renews)]);
    let third = setup.gateway.send(&request);
    third.assert_error(403, NO_QUOTA);
    assert_eq!(limit_headers(&third), [None; 3]);
    setup
        .gateway
        .wait_for_log_with(&["TOLD:QuotaExceeded", "key-1"]);
    let session = stored(&setup.gateway, "key-1").unwrap();
    assert_eq!(session.get("quota_remaining"), None, "zeros are left out");
    assert_eq!(session["quota_renews"], renews);
    for unlimited in [0, -1] {
        let session = json!({"quota_max": unlimited});
        let response = setup.gateway.send(&call("key-2", &session));
        assert_eq!(
            limit_headers(&response),
            [Some(unlimited), Some(0), Some(0)]
        );
    }
    let brief = call("key-3", &json!({"quota_max": 1, "quota_renewal_rate": 1}));
    assert_eq!(setup.gateway.send(&brief).status, 200);
    wait::until("the quota begins anew", || {
        setup.gateway.send(&brief).status == 200
    });
}

/// The plugin cannot set them, so they are put into the stored session.
pub(crate) fn limits_of_one_api_are_counted_by_themselves(driver: Driver) {
    let redis = Redis::start();
    let upstream = Upstream::echo();
    let api = |id: &str| {
        let api = Definition::new(id).driver(driver).upstream(&upstream);
        checked(api)
    };
    let gateway = gateway()
        .fixture("sessions", driver)
        .conf(redis.conf())
        .api(api("api"))
        .api(api("other"))
        .start();
    let right = |scope: &str, limit: Value| json!({"api_id": "x", "limit": limit, "allowance_scope": scope});
    let document = json!({
        "org_id": "org", "rate": 4, "per": 3600,
        "access_rights": {
            "api": right("one", json!({"rate": 2, "per": 3600, "quota_max": 50})),
            "other": right("", json!({"quota_max": 1, "quota_renewal_rate": 3600})),
        },
    });
    let set = redis.command(&["SET", "apikey-key-1", &document.to_string()]);
    assert_eq!(set, test_harness::redis::Reply::Text("OK".into()));
    let session = json!({
        "rate": 4, "per": 3600,
        "access_rights": {"api": {"api_id": "x"}, "other": {"api_id": "x"}},
    });
    let to = |path: &str| {
        Request::get(path)
            .header("X-Token", "key-1")
            .header("X-Session", session.to_string())
    };
    let mut client = gateway.connect();
    assert_eq!(passed(&mut client, &to("/api/"), 5, NO_RATE), 2);
    assert_eq!(passed(&mut client, &to("/other/"), 3, NO_QUOTA), 1);
    let shown = stored(&gateway, "key-1").unwrap();
    let limits = |id: &str| &shown["access_rights"][id]["limit"];
    assert_eq!(limits("api")["quota_remaining"], 48);
    assert_eq!(limits("other").get("quota_remaining"), None);
}

pub(crate) fn switches_turn_limits_off(driver: Driver) {
    let both = json!({
        "rate": 1, "per": 3600, "quota_max": 2, "quota_renewal_rate": 3600
    });
    for (switch, message, expected) in [
        ("/disable_rate_limit", NO_QUOTA, 2),
        ("/disable_quota", NO_RATE, 1),
    ] {
        let setup = start(driver, "sessions", |api| checked(api).set(switch, true));
        let mut client = setup.gateway.connect();
        let count = passed(&mut client, &call("key-1", &both), 4, message);
        assert_eq!(count, expected, "{switch}");
    }
}

pub(crate) fn a_pattern_says_who_is_counted_together(driver: Driver) {
    let setup = start(driver, "sessions", checked);
    let by = |token: &str, pattern: &str, team: &str| {
        let session = json!({
            "rate": 1, "per": 3600, "metadata": {"rate_limit_pattern": pattern, "plan": "gold"},
        });
        let request = call(token, &session).header("X-Team", team);
        setup.gateway.send(&request).status
    };
    assert_eq!(by("a", "$tyk_meta.plan", ""), 200);
    assert_eq!(by("b", "$tyk_meta.plan", ""), 429);
    let team = "$tyk_meta.plan-$tyk_context.headers_X_Team";
    assert_eq!(by("c", team, "one"), 200);
    assert_eq!(by("d", team, "two"), 200);
    assert_eq!(by("e", team, "two"), 429);
    // Where nothing is left of it, the key counts.
    assert_eq!(by("f", "$tyk_meta.none", ""), 200);
    assert_eq!(by("g", "$tyk_meta.none", ""), 200);
    assert_eq!(by("g", "$tyk_meta.none", ""), 429);
}

pub(crate) fn the_rate_of_an_api_holds_for_all_its_keys(driver: Driver) {
    let setup = start(driver, "sessions", |api| {
        checked(api).set("/global_rate_limit", hour(3))
    });
    let statuses = ["a", "b", "a", "b"].map(|key| setup.gateway.send(&call(key, &json!({}))));
    for response in &statuses[..3] {
        assert_eq!(response.status, 200);
    }
    statuses[3].assert_error(429, "API Rate Limit Exceeded");
}

pub(crate) fn only_allowed_urls_pass(driver: Driver) {
    let setup = start(driver, "sessions", checked);
    let session = |url: &str| {
        json!({"access_rights": {"api": {
            "api_id": "api", "allowed_urls": [{"url": url, "methods": ["GET"]}],
        }}})
    };
    let send = |method: &str, path: &str, url: &str| {
        let request = Request::new(method, path)
            .header("X-Token", "key-1")
            .header("X-Session", session(url).to_string());
        setup.gateway.send(&request)
    };
    assert_eq!(send("GET", "/api/open/1", "^/api/open/").status, 200);
    for (method, path, url) in [
        ("GET", "/api/closed", "^/api/open/"),
        ("DELETE", "/api/open/1", "^/api/open/"),
        ("GET", "/api/open/1", "("),
    ] {
        let refused = send(method, path, url);
        refused.assert_error(403, "Access to this resource has been disallowed");
    }
    setup.gateway.wait_for_log_with(&["not a usable pattern"]);
}

pub(crate) fn only_versions_of_the_key_pass(driver: Driver) {
    let version = |name: &str| json!({"name": name, "expires": "", "use_extended_paths": true});
    let ignoring = {
        let mut version = version("v2");
        version["extended_paths"] = json!({"ignored": [{"path": "/open", "method": ""}]});
        version
    };
    let setup = start(driver, "sessions", |api| {
        checked(api)
            .set(
                "/definition",
                json!({"location": "header", "key": "X-Version"}),
            )
            .set("/version_data/not_versioned", false)
            .set(
                "/version_data/versions",
                json!({"v1": version("v1"), "v2": ignoring}),
            )
            .set("/global_rate_limit", hour(3))
    });
    let session = |versions: Value| json!({"access_rights": {"api": {"api_id": "api", "versions": versions}}});
    let send = |wanted: &str, versions: Value| {
        setup
            .gateway
            .send(&call("key-1", &session(versions)).header("X-Version", wanted))
    };
    assert_eq!(send("v1", json!(["v1"])).status, 200);
    assert_eq!(send("v2", json!(["v1", "v2"])).status, 200);
    for (wanted, versions) in [
        ("v2", json!(["v1"])),
        ("v1", json!(["v2"])),
        ("v1", json!([])),
    ] {
        send(wanted, versions).assert_error(403, "Access to this API has been disallowed");
    }
    // What is not authenticated has no key, and the API's rate all the same.
    let open = Request::get("/api/open").header("X-Version", "v2");
    assert_eq!(setup.gateway.send(&open).status, 200);
    setup
        .gateway
        .send(&open)
        .assert_error(429, "API Rate Limit Exceeded");
}

pub(crate) fn clients_are_told_their_rate_where_that_is_asked_for(driver: Driver) {
    let upstream = Upstream::echo();
    let api = checked(Definition::new("api").driver(driver).upstream(&upstream));
    let gateway = gateway()
        .fixture("sessions", driver)
        .conf(json!({"rate_limit_response_headers": "rate_limits"}))
        .api(api)
        .start();
    let request = call("key-1", &hour(2));
    for remaining in [1, 0] {
        let told = limit_headers(&gateway.send(&request)).map(Option::unwrap);
        assert_eq!(told[..2], [2, remaining]);
        assert!((3590..=3600).contains(&told[2]), "{told:?}");
    }
    let refused = gateway.send(&request);
    assert_eq!(refused.status, 429);
    assert_eq!(limit_headers(&refused)[..2], [Some(2), Some(0)]);
}

fn sharing(driver: Driver, redis: &Redis, upstream: &Upstream, conf: Value) -> Gateway {
    let api = checked(Definition::new("api").driver(driver).upstream(upstream))
        .set("/global_rate_limit", hour(100_000));
    let gateway = gateway()
        .fixture("sessions", driver)
        .conf(redis.conf())
        .conf(conf)
        .api(api)
        .start();
    wait::until("the store is there", || gateway.get("/ready").status == 200);
    gateway
}

pub(crate) fn gateways_with_one_store_admit_exactly_what_there_is(driver: Driver) {
    let (redis, upstream) = (Redis::start(), Upstream::echo());
    let gateways = [(); 2].map(|()| sharing(driver, &redis, &upstream, json!({})));
    // More than notes of one window, so that they share.
    for (key, session, limit, message) in [
        ("few", hour(150), 150, NO_RATE),
        ("many", hour(300), 300, NO_RATE),
        ("quota", quota(150), 150, NO_QUOTA),
    ] {
        let request = call(key, &session);
        let total: usize = thread::scope(|scope| {
            let clients: Vec<_> = (0..6)
                .map(|number| {
                    let (gateway, request) = (&gateways[number % 2], &request);
                    scope.spawn(move || passed(&mut gateway.connect(), request, 70, message))
                })
                .collect();
            clients.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(total, limit, "{key}");
    }
    let shown = stored(&gateways[1], "quota").unwrap();
    assert_eq!(shown.get("quota_remaining"), None);
    assert!(shown["quota_renews"].as_i64() > Some(0), "{shown}");
}

pub(crate) fn limits_hold_locally_while_the_store_is_away(driver: Driver) {
    // What it has answered has to survive its end.
    let mut redis = Redis::start_with(&["--appendfsync", "always"]);
    let upstream = Upstream::echo();
    let gateway = sharing(driver, &redis, &upstream, json!({}));
    let mut client = gateway.connect();
    let request = call("key-1", &hour(3));
    assert_eq!(passed(&mut client, &request, 5, NO_RATE), 3);
    redis.kill();
    gateway.wait_for_log("Storage cannot be reached");
    let away = passed(&mut client, &call("key-2", &hour(4)), 9, NO_RATE);
    assert_eq!(away, 4);
    gateway.wait_for_log("Limits are counted by each gateway alone");
    redis.start_again();
    wait::until("limits are shared again", || {
        client.request(&call("key-3", &hour(1000)));
        gateway.log().text().contains("Limits are shared again")
    });
    assert_eq!(
        passed(&mut client, &request, 3, NO_RATE),
        0,
        "the server remembers"
    );
    drop(upstream);
}

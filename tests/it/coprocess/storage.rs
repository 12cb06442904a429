//! What plugins store: where it is kept, and for how long.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use test_harness::redis::Reply;
use test_harness::{Definition, Gateway, Redis, Request, Upstream, wait};

use super::Driver;
use crate::gateway;

/// A gateway where `/store/` stores, `/fetch/` reads, and `/without/` has no hook.
fn start(driver: Driver, upstream: &Upstream, storage: &Value) -> Gateway {
    let api = |id: &str, function: &str| {
        Definition::new(id)
            .driver(driver)
            .upstream(upstream)
            .pre(function)
    };
    gateway()
        .fixture("events", driver)
        .conf(storage.clone())
        // A call for data may wait for nearly as long as a hook may run in one go, and on a
        // busy machine the two meet.
        .conf(json!({"coprocess_options": {"lua_burst_ms": 2000}}))
        .api(api("store", "Store"))
        .api(api("fetch", "Fetch"))
        .api(Definition::new("without").upstream(upstream))
        .start()
}

fn store(gateway: &Gateway, key: &str, value: &str, ttl: i64) {
    let request = Request::get("/store/")
        .header("X-Key", key)
        .header("X-Value", value)
        .header("X-Ttl", ttl.to_string());
    assert_eq!(gateway.send(&request).status, 200);
}

/// Waits until a plugin reads `value` under `key`. With Redis, a call of a plugin waits for
/// little, and that a loaded machine may take longer is nobody's mistake.
fn wait_for(gateway: &Gateway, upstream: &Upstream, key: &str, value: &str) {
    wait::until(&format!("`{key}` reads `{value}`"), || {
        fetch(gateway, upstream, key) == value
    });
}

/// Stores until a plugin reads it there.
fn store_surely(gateway: &Gateway, upstream: &Upstream, key: &str, value: &str, ttl: i64) {
    wait::until(&format!("`{key}` is stored"), || {
        store(gateway, key, value, ttl);
        fetch(gateway, upstream, key) == value
    });
}

/// What a plugin reads under `key`.
fn fetch(gateway: &Gateway, upstream: &Upstream, key: &str) -> String {
    drop(upstream.take());
    let request = Request::get("/fetch/").header("X-Key", key);
    assert_eq!(gateway.send(&request).status, 200);
    let seen = upstream.take_one();
    seen.header("X-Found").unwrap().to_owned()
}

pub(crate) fn stored_data_survives_a_restart(driver: Driver) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let storage = json!({"storage": {"path": path.to_str().unwrap()}});
    let upstream = Upstream::echo();
    let gateway = start(driver, &upstream, &storage);
    store(&gateway, "endless", "v1", 0);
    store(&gateway, "long", "v2", 3600);
    store(&gateway, "endless", "v3", 0);
    assert_eq!(fetch(&gateway, &upstream, "endless"), "v3");
    assert!(gateway.stop().success());
    let gateway = start(driver, &upstream, &storage);
    assert_eq!(fetch(&gateway, &upstream, "endless"), "v3");
    assert_eq!(fetch(&gateway, &upstream, "long"), "v2");
    assert_eq!(fetch(&gateway, &upstream, "other"), "nothing");
}

/// Kills it in the middle of requests that store; what an orderly end has saved stays.
pub(crate) fn a_gateway_that_is_killed_starts_again_with_its_data(driver: Driver) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let storage = json!({"storage": {"path": path.to_str().unwrap()}});
    let upstream = Upstream::echo();
    let gateway = start(driver, &upstream, &storage);
    store(&gateway, "saved", "v", 0);
    assert!(gateway.stop().success());
    for round in 0..5 {
        let mut gateway = start(driver, &upstream, &storage);
        for number in 0..round * 10 {
            store(&gateway, &format!("k{number}"), "v", number % 2 * 60);
        }
        gateway.signal("KILL");
        assert!(!gateway.wait_for_exit().success());
    }
    let gateway = start(driver, &upstream, &storage);
    assert_eq!(gateway.get("/ready").status, 200);
    assert_eq!(fetch(&gateway, &upstream, "saved"), "v");
}

pub(crate) fn a_full_store_refuses_and_names_the_key_to_raise(driver: Driver) {
    let upstream = Upstream::echo();
    let storage = json!({"storage": {"max_bytes": 1024 * 1024}});
    let gateway = start(driver, &upstream, &storage);
    let value = "v".repeat(40_000);
    for number in 0..40 {
        store(&gateway, &format!("k{number}"), &value, 0);
    }
    gateway.wait_for_log_with(&["ERROR", "storage refused", "storage.max_bytes"]);
    assert_eq!(fetch(&gateway, &upstream, "k0"), value);
    assert_eq!(fetch(&gateway, &upstream, "k39"), "nothing");
}

pub(crate) fn gateways_share_what_is_stored_in_redis(driver: Driver) {
    let redis = Redis::start();
    let upstream = Upstream::echo();
    let [first, second] = [(); 2].map(|()| start(driver, &upstream, &redis.conf()));
    store_surely(&first, &upstream, "endless", "v1", 0);
    store_surely(&second, &upstream, "ends", "v2", 600);
    wait_for(&second, &upstream, "endless", "v1");
    wait_for(&first, &upstream, "ends", "v2");
    let ttl = |key: &str| redis.command(&["TTL", key]);
    assert_eq!(ttl("coprocess-data:endless"), Reply::Number(-1));
    assert!(matches!(
        ttl("coprocess-data:ends"),
        Reply::Number(400..=600)
    ));
    store_surely(&second, &upstream, "endless", "v3", 0);
    wait_for(&first, &upstream, "endless", "v3");
    drop(redis.command(&["SET", "coprocess-data:raw", "v4"]));
    wait_for(&first, &upstream, "raw", "v4");
}

pub(crate) fn a_time_to_live_below_nothing_is_an_error_in_the_log(driver: Driver) {
    let upstream = Upstream::echo();
    let gateway = start(driver, &upstream, &json!({}));
    store(&gateway, "kept", "before", 0);
    store(&gateway, "kept", "after", -5);
    gateway.wait_for_log_with(&["ERROR", "kept", "ttl is -5"]);
    assert_eq!(fetch(&gateway, &upstream, "kept"), "before");
}

pub(crate) fn a_value_that_is_too_long_is_an_error_in_the_log(driver: Driver) {
    let upstream = Upstream::echo();
    let redis = Redis::start();
    for storage in [json!({}), redis.conf()] {
        let gateway = start(driver, &upstream, &storage);
        let key = "k".repeat(5000);
        store(&gateway, &key, "v", 0);
        gateway.wait_for_log_with(&["ERROR", "storage refused: the key has 5015 bytes"]);
        assert_eq!(fetch(&gateway, &upstream, &key), "nothing");
    }
}

pub(crate) fn requests_go_on_while_redis_is_away(driver: Driver) {
    let mut redis = Redis::start();
    let upstream = Upstream::echo();
    let gateway = start(driver, &upstream, &redis.conf());
    store_surely(&gateway, &upstream, "k", "v", 0);
    for _ in 0..2 {
        redis.kill();
        wait::until("the gateway knows", || gateway.get("/ready").status == 503);
        for _ in 0..20 {
            store(&gateway, "other", "v", 0);
            assert_eq!(fetch(&gateway, &upstream, "k"), "nothing");
            assert_eq!(gateway.get("/without/").status, 200);
        }
        gateway.wait_for_log_with(&["ERROR", "storage is not available", "127.0.0.1"]);
        redis.start_again();
        wait::until("the gateway is ready", || {
            gateway.get("/ready").status == 200
        });
        wait_for(&gateway, &upstream, "k", "v");
    }
}

/// The same with a server that takes connections and does not answer.
pub(crate) fn requests_go_on_while_redis_hangs(driver: Driver) {
    let redis = Redis::start();
    let upstream = Upstream::echo();
    let gateway = start(driver, &upstream, &redis.conf());
    store_surely(&gateway, &upstream, "k", "v", 0);
    redis.signal("STOP");
    // A call waits for less than a tenth of a second, and once that is known for nothing.
    let began = Instant::now();
    for _ in 0..30 {
        assert_eq!(fetch(&gateway, &upstream, "k"), "nothing");
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(10), "30 requests took {took:?}");
    wait::until("the gateway knows", || gateway.get("/ready").status == 503);
    redis.signal("CONT");
    wait::until("the gateway is ready", || {
        gateway.get("/ready").status == 200
    });
    wait_for(&gateway, &upstream, "k", "v");
}

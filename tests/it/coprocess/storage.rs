//! What plugins store: where it is kept, and for how long.

use serde_json::{Value, json};
use test_harness::{Definition, Gateway, Request, Upstream};

use super::Driver;
use crate::gateway;

/// A gateway where `/store/` stores and `/fetch/` reads.
fn start(driver: Driver, upstream: &Upstream, storage: &Value) -> Gateway {
    let api = |id: &str, function: &str| {
        Definition::new(id)
            .driver(driver)
            .upstream(upstream)
            .pre(function)
    };
    gateway()
        .fixture("events", driver)
        .conf(json!({ "storage": storage }))
        .api(api("store", "Store"))
        .api(api("fetch", "Fetch"))
        .start()
}

fn store(gateway: &Gateway, key: &str, value: &str, ttl: u64) {
    let request = Request::get("/store/")
        .header("X-Key", key)
        .header("X-Value", value)
        .header("X-Ttl", ttl.to_string());
    assert_eq!(gateway.send(&request).status, 200);
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
    let storage = json!({"path": path.to_str().unwrap()});
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

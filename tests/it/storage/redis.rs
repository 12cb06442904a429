//! A Redis that several gateways share.

use serde_json::json;
use test_harness::{Definition, Redis, Upstream, wait};

use crate::gateway;

#[test]
fn a_gateway_starts_without_its_redis_and_recovers() {
    let mut redis = Redis::start();
    redis.kill();
    let upstream = Upstream::echo();
    let gateway = gateway()
        .conf(redis.conf())
        .api(Definition::new("api").upstream(&upstream))
        .start();
    gateway.wait_for_log_with(&["ERROR", "Storage cannot be reached", "refused"]);
    assert!(!gateway.folder().join("gateway.redb").exists());
    for _ in 0..2 {
        let ready = gateway.get("/ready");
        assert_eq!(ready.status, 503, "{ready:?}");
        assert!(ready.text().contains("Redis at 127.0.0.1"), "{ready:?}");
        let hello = gateway.get("/hello");
        assert_eq!(hello.status, 200, "the process lives");
        let hello = hello.json();
        assert_eq!(hello["status"], "fail", "{hello}");
        assert_eq!(hello["details"]["redis"]["status"], "fail", "{hello}");
        assert_eq!(hello["details"]["redis"]["componentType"], "datastore");
        assert_eq!(gateway.get("/api/").status, 200, "no hook, no storage");
        redis.start_again();
        wait::until("the gateway is ready", || {
            gateway.get("/ready").status == 200
        });
        let hello = gateway.get("/hello").json();
        assert_eq!(hello["details"]["redis"]["status"], "pass", "{hello}");
        redis.kill();
        wait::until("the gateway knows", || gateway.get("/ready").status == 503);
    }
}

#[test]
fn an_address_in_a_variable_is_enough() {
    let redis = Redis::start();
    let gateway = gateway()
        .env("TYK_GW_STORAGE_HOST", "127.0.0.1")
        .env("TYK_GW_STORAGE_PORT", redis.port().to_string())
        .start();
    let hello = gateway.get("/hello").json();
    assert_eq!(hello["details"]["redis"]["status"], "pass", "{hello}");
}

#[test]
fn what_makes_no_sense_is_refused_and_not_ignored() {
    for (storage, key) in [
        (json!({"addrs": ["a:1", "b:1"]}), "storage.addrs"),
        (
            json!({"use_ssl": true, "ca_file": "nowhere.pem"}),
            "storage.ca_file",
        ),
    ] {
        let ended = gateway()
            .conf(json!({"storage": {"type": "redis"}}))
            .conf(json!({ "storage": storage }))
            .start_expecting_failure();
        assert!(!ended.status.success(), "{storage}");
        assert!(ended.log.contains(key), "{key}: {}", ended.log);
    }
}

#[test]
fn a_key_of_another_store_is_named() {
    let gateway = gateway()
        .conf(json!({"storage": {"type": "memory", "password": "the-secret"}}))
        .start();
    let line = gateway.wait_for_log("storage.password: has no effect");
    assert!(!line.contains("the-secret"), "{line}");
}

#[test]
fn a_check_asks_no_server() {
    let builder = gateway().conf(json!({"storage": {"host": "192.0.2.1", "timeout": 30}}));
    let ended = builder.run(&["check", "--conf", "tyk.conf"]);
    assert!(ended.status.success(), "{}", ended.log);
}

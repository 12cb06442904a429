//! Servers that belong together, and encryption.

use std::path::PathBuf;

use test_harness::redis::Redis;
use test_harness::{RedisCluster, RedisSentinel, ports, wait};

use super::tests::{options, runtime};
use super::*;
use crate::config::{RedisTls, StorageOptions};
use crate::storage::counters::{Ask, Refused, SharedQuota, SharedRate};
use crate::storage::tests::{check, run};

/// What a configuration says of its store.
fn of_conf(conf: &serde_json::Value) -> RedisOptions {
    let storage: StorageOptions = serde_json::from_value(conf["storage"].clone()).expect("it fits");
    storage.redis()
}

#[test]
fn a_cluster_keeps_every_promise() {
    let cluster = RedisCluster::start();
    let runtime = runtime();
    check(|| {
        for node in &cluster.nodes {
            node.command(&["FLUSHALL"]);
        }
        Box::new(RedisStore::start(
            of_conf(&cluster.conf()),
            runtime.handle(),
        ))
    });
}

#[test]
fn a_cluster_counts_a_key_in_one_place_and_its_api_in_another() {
    let cluster = RedisCluster::start();
    let runtime = runtime();
    let store = RedisStore::start(of_conf(&cluster.conf()), runtime.handle());
    let shared = |name: String, count| SharedRate {
        name,
        count,
        window: 3_600_000_000,
        width: 0,
    };
    for key in 0..9 {
        let ask = Ask {
            rate: Some(shared(format!("coprocess-rate-{{quota-{key}}}"), 2)),
            quota: Some(SharedQuota {
                name: format!("quota-{key}"),
                max: 10,
                renewal: 60,
            }),
            api: Some(shared("coprocess-rate-{api-a}".into(), 7)),
        };
        let count = || run(store.count(ask.clone())).expect("it counts").refused;
        let outcomes = [count(), count(), count()];
        let expected = match key {
            0..3 => [None, None, Some(Refused::Rate)],
            3 => [None, Some(Refused::Api), Some(Refused::Api)],
            _ => [Some(Refused::Api); 3],
        };
        assert_eq!(outcomes, expected, "{key}");
        // What the API has refused is counted for no key.
        let used = run(store.quota(&format!("quota-{key}"))).expect("it is there");
        let passed = [2, 2, 2, 1, 0, 0, 0, 0, 0][key];
        assert_eq!(used.map(|(used, _)| used), Some(passed), "{key}");
    }
}

#[test]
fn a_store_follows_its_master_when_sentinels_make_another_one() {
    let mut group = RedisSentinel::start();
    let runtime = runtime();
    let store = RedisStore::start(of_conf(&group.conf()), runtime.handle());
    run(store.set("before", "1".into(), None)).expect("kept");
    wait::until("the replica has it", || {
        let replica = RedisOptions {
            password: "pw".into(),
            ..options(&group.replica)
        };
        let replica = RedisStore::start(replica, runtime.handle());
        run(replica.get("before")) == Ok(Some("1".into()))
    });
    group.master.kill();
    wait::until("the other one is written", || {
        run(store.set("after", "2".into(), None)).is_ok()
    });
    assert_eq!(run(store.get("before")), Ok(Some("1".into())));
    assert_eq!(store.health(), Ok(()));
}

fn fixture(name: &str) -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests");
    tests.join("fixtures/tls").join(name)
}

#[test]
fn a_server_is_reached_by_tls_and_only_when_it_is_trusted() {
    let port = ports::reserve();
    let (certificate, key) = (fixture("localhost.pem"), fixture("localhost.key"));
    let file = |path: &PathBuf| path.to_str().expect("text").to_owned();
    let _redis = Redis::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &file(&certificate),
        "--tls-key-file",
        &file(&key),
        "--tls-ca-cert-file",
        &file(&certificate),
        "--tls-auth-clients",
        "yes",
        "--requirepass",
        "pw",
    ]);
    let runtime = runtime();
    let known = RedisTls {
        ca_file: certificate.clone(),
        cert_file: certificate.clone(),
        key_file: key.clone(),
        ..RedisTls::default()
    };
    let blind = RedisTls {
        insecure_skip_verify: true,
        ca_file: PathBuf::new(),
        ..known.clone()
    };
    let wary = RedisTls {
        ca_file: PathBuf::new(),
        ..known.clone()
    };
    let anonymous = RedisTls {
        ca_file: certificate,
        ..RedisTls::default()
    };
    for (tls, works) in [
        (known, true),
        (blind, true),
        (wary, false),
        (anonymous, false),
    ] {
        let options = RedisOptions {
            addresses: vec![("localhost".into(), port)],
            topology: crate::config::Topology::Single,
            username: String::new(),
            password: "pw".into(),
            database: 0,
            timeout: Duration::from_secs(20),
            tls: Some(tls.clone()),
        };
        let store = RedisStore::start(options, runtime.handle());
        let outcome = run(store.set("k", "v".into(), None));
        assert_eq!(outcome.is_ok(), works, "{tls:?}: {outcome:?}");
    }
}

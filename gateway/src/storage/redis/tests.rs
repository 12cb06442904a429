//! A real server: what it keeps, and what happens while it is away.

use std::time::Instant;

use test_harness::redis::{Redis, Reply};
use tokio::runtime::Runtime;

use super::*;
use crate::storage::tests::{check, run};

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build();
    runtime.expect("a runtime")
}

fn options(redis: &Redis) -> RedisOptions {
    RedisOptions {
        host: "127.0.0.1".into(),
        port: redis.port(),
        username: String::new(),
        password: String::new(),
        database: 0,
        timeout: Duration::from_secs(20),
    }
}

fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    test_harness::wait::until(what, condition);
}

#[test]
fn a_server_keeps_every_promise() {
    let redis = Redis::start();
    let runtime = runtime();
    let count = std::cell::Cell::new(0);
    check(|| {
        count.set(count.get() + 1);
        let options = RedisOptions {
            database: count.get(),
            ..options(&redis)
        };
        Box::new(RedisStore::start(options, runtime.handle()))
    });
}

#[test]
fn names_values_and_ends_are_the_servers_own() {
    let redis = Redis::start();
    let runtime = runtime();
    let store = RedisStore::start(options(&redis), runtime.handle());
    run(store.set("endless", "v1".into(), None)).expect("kept");
    run(store.set("ends", "v2".into(), Some(Duration::from_secs(600)))).expect("kept");
    assert_eq!(
        redis.command(&["GET", "endless"]),
        Reply::Bytes("v1".into())
    );
    assert_eq!(redis.command(&["TTL", "endless"]), Reply::Number(-1));
    let Reply::Number(ttl) = redis.command(&["TTL", "ends"]) else {
        panic!("no number");
    };
    assert!((500..=600).contains(&ttl), "{ttl}");
    redis.command(&["SET", "theirs", "v3"]);
    assert_eq!(run(store.get("theirs")), Ok(Some("v3".into())));
    redis.command(&["RPUSH", "list", "v"]);
    let refused = run(store.get("list")).expect_err("it is no value");
    assert!(matches!(refused, StoreError::Refused(_)), "{refused}");
    assert_eq!(store.health(), Ok(()), "the server has answered");
}

#[test]
fn one_connection_serves_every_call() {
    let redis = Redis::start();
    let runtime = runtime();
    let store = RedisStore::start(options(&redis), runtime.handle());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..100 {
                    let key = format!("{thread}-{number}");
                    run(store.set(&key, key.clone().into(), None)).expect("kept");
                    assert_eq!(run(store.get(&key)), Ok(Some(key.into())));
                }
            });
        }
    });
    let Reply::Bytes(info) = redis.command(&["INFO", "stats"]) else {
        panic!("no bytes");
    };
    let info = String::from_utf8_lossy(&info);
    let received = info
        .lines()
        .find_map(|line| line.strip_prefix("total_connections_received:"));
    // The harness has asked whether the server is there, perhaps more than once, and now.
    let received: u32 = received.expect("a line").trim().parse().expect("a number");
    let Reply::Bytes(clients) = redis.command(&["CLIENT", "LIST"]) else {
        panic!("no bytes");
    };
    let clients = String::from_utf8_lossy(&clients).lines().count();
    assert!(
        clients <= 3 && received < 20,
        "{clients} clients, {received} connections"
    );
}

#[test]
fn a_server_that_is_away_is_told_and_comes_back() {
    let mut redis = Redis::start();
    let runtime = runtime();
    redis.kill();
    let store = RedisStore::start(options(&redis), runtime.handle());
    let began = Instant::now();
    let error = run(store.get("k")).expect_err("nobody answers").to_string();
    assert!(
        error.contains("127.0.0.1") && error.contains("refused"),
        "{error}"
    );
    for _ in 0..100 {
        assert!(run(store.set("k", "v".into(), None)).is_err());
    }
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "calls wait for an absent server"
    );
    for _ in 0..3 {
        redis.start_again();
        wait_until("the store is back", || store.health().is_ok());
        run(store.set("k", "v".into(), None)).expect("kept");
        redis.kill();
        wait_until("the store knows", || store.health().is_err());
    }
}

#[test]
fn a_server_that_hangs_holds_nobody_up_for_long() {
    let redis = Redis::start();
    let runtime = runtime();
    let options = RedisOptions {
        timeout: Duration::from_millis(700),
        ..options(&redis)
    };
    let store = RedisStore::start(options, runtime.handle());
    run(store.set("k", "v".into(), None)).expect("kept");
    redis.signal("STOP");
    let error = run(store.get("k")).expect_err("it hangs").to_string();
    assert!(error.contains("no answer"), "{error}");
    wait_until("the store knows", || store.health().is_err());
    let began = Instant::now();
    assert!(run(store.get("k")).is_err());
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "{:?}",
        began.elapsed()
    );
    redis.signal("CONT");
    wait_until("the store is back", || store.health().is_ok());
    assert_eq!(run(store.get("k")), Ok(Some("v".into())));
}

#[test]
fn a_password_is_sent_and_a_wrong_one_is_told() {
    let redis = Redis::start_with(&["--requirepass", "the-secret"]);
    let runtime = runtime();
    let with = |password: &str| RedisOptions {
        password: password.into(),
        ..options(&redis)
    };
    let store = RedisStore::start(with("the-secret"), runtime.handle());
    run(store.set("k", "v".into(), None)).expect("kept");
    for password in ["", "wrong"] {
        let store = RedisStore::start(with(password), runtime.handle());
        let error = run(store.get("k")).expect_err("not without it").to_string();
        let told = ["NOAUTH", "WRONGPASS", "uthentication"];
        assert!(
            told.iter().any(|word| error.contains(word)),
            "{password:?}: {error}"
        );
        assert!(!error.contains("the-secret"));
    }
}

#[test]
fn what_waits_for_an_answer_is_bounded() {
    let redis = Redis::start();
    let runtime = runtime();
    let store = RedisStore::start(options(&redis), runtime.handle());
    redis.signal("STOP");
    let value = Bytes::from(vec![0; 8 * 1024 * 1024]);
    let calls: Vec<_> = (0..20)
        .map(|_| store.set("k", value.clone(), None))
        .collect();
    let refused = calls.into_iter().filter_map(|call| {
        let outcome = blocking::wait(call, Duration::ZERO);
        outcome
            .err()
            .filter(|error| error.to_string().contains("too many calls"))
    });
    assert!(refused.count() >= 10);
    redis.signal("CONT");
}

//! A real server: what it keeps, and what happens while it is away.

use std::time::Instant;

use test_harness::redis::{Redis, Reply};
use tokio::runtime::Runtime;

use super::*;
use crate::config::Topology;
use crate::storage::tests::{check, run};

pub(super) fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build();
    runtime.expect("a runtime")
}

pub(super) fn options(redis: &Redis) -> RedisOptions {
    RedisOptions {
        addresses: vec![("127.0.0.1".into(), redis.port())],
        topology: Topology::Single,
        username: String::new(),
        password: String::new(),
        database: 0,
        timeout: Duration::from_secs(20),
        tls: None,
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

#[test]
fn a_value_that_others_made_too_large_is_refused_unread() {
    let redis = Redis::start();
    let runtime = runtime();
    let store = RedisStore::start(options(&redis), runtime.handle());
    let length = |bytes: usize| bytes.to_string();
    // The server fills up with zeros.
    redis.command(&["SETRANGE", "most", &length(MAX_VALUE - 1), "x"]);
    redis.command(&["SETRANGE", "more", &length(MAX_VALUE), "x"]);
    redis.command(&["SETRANGE", "small", &length(SMALL), "x"]);
    redis.command(&["SET", "empty", ""]);
    let read = |key: &str| run(store.get(key)).map(|value| value.map(|value| value.len()));
    assert_eq!(read("most"), Ok(Some(MAX_VALUE)));
    assert_eq!(read("small"), Ok(Some(SMALL + 1)));
    assert_eq!(read("empty"), Ok(Some(0)));
    assert_eq!(read("missing"), Ok(None));
    redis.command(&["CONFIG", "RESETSTAT"]);
    let error = read("more").expect_err("too large").to_string();
    assert!(
        error.contains("16777217 bytes; 16777216 are possible"),
        "{error}"
    );
    let Reply::Bytes(info) = redis.command(&["INFO", "stats"]) else {
        panic!("no bytes");
    };
    let info = String::from_utf8_lossy(&info);
    let sent = info
        .lines()
        .find_map(|line| line.strip_prefix("total_net_output_bytes:"));
    let sent: usize = sent.expect("a line").trim().parse().expect("a number");
    assert!(sent < 1 << 20, "{sent} bytes were sent");
    assert_eq!(store.health(), Ok(()));
}

#[test]
fn large_answers_have_a_place_kept_for_them() {
    let redis = Redis::start();
    let runtime = runtime();
    let store = RedisStore::start(options(&redis), runtime.handle());
    let begin = || store.caller.link.begin(MAX_VALUE);
    let room: Vec<_> = std::iter::from_fn(|| begin().ok()).collect();
    assert_eq!(room.len(), 3);
    redis.command(&["SETRANGE", "most", &(MAX_VALUE - 1).to_string(), "x"]);
    let error = run(store.get("most")).expect_err("no room").to_string();
    assert!(error.contains("too many calls"), "{error}");
    drop(room);
    assert!(run(store.get("most")).is_ok());
}

#[test]
fn what_is_late_keeps_its_place_until_the_connection_is_given_up() {
    let redis = Redis::start();
    let runtime = runtime();
    let options = RedisOptions {
        timeout: Duration::from_millis(300),
        ..options(&redis)
    };
    let store = RedisStore::start(options, runtime.handle());
    redis.signal("STOP");
    let value = Bytes::from(vec![0; MAX_VALUE]);
    let error = run(store.set("k", value, None)).expect_err("it hangs");
    assert!(error.to_string().contains("no answer"), "{error}");
    assert!(
        store.caller.link.under_way() > 0 || store.health().is_err(),
        "the connection still holds the command"
    );
    wait_until("the place is given back", || {
        store.caller.link.under_way() == 0
    });
    assert!(store.health().is_err());
    redis.signal("CONT");
}

/// Answers what is asked of it while connecting, and closes.
fn fickle(listener: &std::net::TcpListener) {
    use std::io::{Read as _, Write as _};
    let Ok((mut client, _)) = listener.accept() else {
        return;
    };
    let mut asked = Vec::new();
    let mut part = [0; 4096];
    while let Ok(length @ 1..) = client.read(&mut part) {
        asked.extend_from_slice(&part[..length]);
        let text = String::from_utf8_lossy(&asked).to_uppercase();
        if text.contains("PING\r\n") {
            let _ = client.write_all(b"+PONG\r\n");
            return;
        }
        for _ in text.matches("SETINFO\r\n") {
            let _ = client.write_all(b"+OK\r\n");
        }
        asked.clear();
    }
}

#[test]
fn a_connection_that_fails_at_once_is_not_made_at_once_again() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (sender, times) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        loop {
            fickle(&listener);
            if sender.send(Instant::now()).is_err() {
                return;
            }
        }
    });
    let runtime = runtime();
    let options = RedisOptions {
        addresses: vec![("127.0.0.1".into(), port)],
        topology: Topology::Single,
        tls: None,
        username: String::new(),
        password: String::new(),
        database: 0,
        timeout: Duration::from_secs(20),
    };
    let store = RedisStore::start(options, runtime.handle());
    let mut made = Vec::new();
    wait_until("it is made several times", || {
        // A call that fails makes the connection doubtful.
        let _ = run(store.get("k"));
        made.extend(times.try_iter());
        made.len() >= 5
    });
    let took = made[4] - made[0];
    // Pauses of 50, 100, 200 and 400 ms.
    assert!(took >= Duration::from_millis(700), "{took:?}");
}

//! Counters on a real server: exact, atomic, and the original's where it reads them.

use test_harness::redis::{Redis, Reply};

use super::tests::{options, runtime};
use super::*;
use crate::storage::counters::{Answer, Ask, Refused, SharedQuota, SharedRate};
use crate::storage::tests::run;

const HOUR: u64 = 3_600_000_000;

fn rate(name: &str, count: u32, window: u64) -> Option<SharedRate> {
    Some(SharedRate {
        name: name.into(),
        count,
        window,
        width: if count > 256 { window / 256 } else { 0 },
    })
}

fn quota(name: &str, max: i64, renewal: i64) -> Option<SharedQuota> {
    Some(SharedQuota {
        name: name.into(),
        max,
        renewal,
    })
}

fn count(store: &RedisStore, ask: &Ask) -> Answer {
    run(store.count(ask.clone())).expect("the server counts")
}

/// How many of `times` requests are counted.
fn passed(store: &RedisStore, ask: &Ask, times: usize) -> usize {
    let answers = (0..times).map(|_| count(store, ask));
    answers.filter(|answer| answer.refused.is_none()).count()
}

#[test]
fn each_limit_holds_and_what_is_refused_is_counted_nowhere() {
    let (redis, runtime) = (Redis::start(), runtime());
    let store = RedisStore::start(options(&redis), runtime.handle());
    let ask = Ask {
        rate: rate("r", 3, HOUR),
        quota: quota("q", 5, 3600),
        api: rate("a", 4, HOUR),
    };
    assert_eq!(passed(&store, &ask, 5), 3);
    let refused = count(&store, &ask);
    assert_eq!(refused.refused, Some(Refused::Rate));
    assert_eq!(
        (refused.rate_remaining, refused.used, refused.api_remaining),
        (0, 3, 1)
    );
    assert!(
        (HOUR - 30_000_000..=HOUR).contains(&refused.rate_reset),
        "{refused:?}"
    );
    let other = Ask {
        rate: rate("r2", 9, HOUR),
        ..ask.clone()
    };
    assert_eq!(passed(&store, &other, 5), 1);
    assert_eq!(count(&store, &other).refused, Some(Refused::Api));
    let third = Ask { api: None, ..other };
    assert_eq!(passed(&store, &third, 5), 1, "the quota is shared");
    let last = count(&store, &third);
    assert_eq!(last.refused, Some(Refused::Quota));
    assert_eq!((last.rate_remaining, last.used), (7, 5));
    // As the original has it: a number that ends.
    assert_eq!(redis.command(&["GET", "q"]), Reply::Bytes("5".into()));
    let Reply::Number(left) = redis.command(&["TTL", "q"]) else {
        panic!("no number");
    };
    assert!((3500..=3600).contains(&left), "{left}");
    let stands = run(store.quota("q")).expect("it is there");
    assert_eq!(stands.map(|(used, _)| used), Some(5));
    assert!((last.renews - stands.unwrap().1).abs() <= 2);
    assert_eq!(run(store.quota("none")), Ok(None));
}

#[test]
fn a_window_admits_again_and_ends_with_its_entry() {
    let (redis, runtime) = (Redis::start(), runtime());
    let store = RedisStore::start(options(&redis), runtime.handle());
    for limit in [2, 1000] {
        let name = format!("r{limit}");
        let ask = Ask {
            rate: rate(&name, limit, 1_000_000),
            ..Ask::default()
        };
        let began = std::time::Instant::now();
        let first = passed(&store, &ask, limit as usize + 5);
        let is_within = began.elapsed() < Duration::from_millis(900);
        assert!(first == limit as usize || !is_within, "{first} of {limit}");
        test_harness::wait::until("the window admits again", || passed(&store, &ask, 1) == 1);
        assert!(began.elapsed() >= Duration::from_millis(990));
        let Reply::Number(notes) = redis.command(&["HLEN", &name]) else {
            panic!("no number");
        };
        assert!(notes <= 4 + 258, "{notes}");
        test_harness::wait::until("nothing is left of it", || {
            redis.command(&["EXISTS", &name]) == Reply::Number(0)
        });
    }
}

#[test]
fn a_quota_without_renewal_has_no_end_and_the_originals_counts() {
    let (redis, runtime) = (Redis::start(), runtime());
    let store = RedisStore::start(options(&redis), runtime.handle());
    redis.command(&["SET", "q", "7"]);
    let ask = Ask {
        quota: quota("q", 9, 0),
        ..Ask::default()
    };
    assert_eq!(passed(&store, &ask, 5), 2);
    assert_eq!(redis.command(&["TTL", "q"]), Reply::Number(-1));
    assert_eq!(count(&store, &ask).renews, 0);
}

#[test]
fn a_server_that_has_forgotten_the_script_is_told_it_again() {
    let (redis, runtime) = (Redis::start(), runtime());
    let store = RedisStore::start(options(&redis), runtime.handle());
    let ask = Ask {
        rate: rate("r", 10, HOUR),
        ..Ask::default()
    };
    assert_eq!(passed(&store, &ask, 2), 2);
    redis.command(&["SCRIPT", "FLUSH"]);
    assert_eq!(count(&store, &ask).rate_remaining, 7);
    redis.command(&["RPUSH", "list", "x"]);
    let odd = Ask {
        rate: rate("list", 10, HOUR),
        ..Ask::default()
    };
    let refused = run(store.count(odd)).expect_err("it is no counter");
    assert!(matches!(refused, StoreError::Refused(_)), "{refused}");
    assert_eq!(store.health(), Ok(()));
}

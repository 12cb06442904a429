//! What the table promises: keys by themselves, exact under threads, bounded memory.

use std::sync::Arc;
use std::thread;

use super::*;

const SECOND: u64 = 1_000_000;

fn rate(count: u32) -> Option<Rate> {
    Rate::new(count.into(), 1.0)
}

fn of(key: &str, rate: Option<Rate>, quota: Option<QuotaLimit>) -> Count<'_> {
    Count {
        scope: "",
        key,
        rate,
        quota,
    }
}

fn passes(table: &Table, count: &Count<'_>, now: u64) -> bool {
    table.count(count, now, Found::default).verdict == Verdict::Pass
}

#[test]
fn keys_and_scopes_do_not_share_counters() {
    let table = Table::default();
    for (scope, key) in [("", "a"), ("", "b"), ("a", ""), ("x", "a"), ("xa", "")] {
        let count = Count {
            scope,
            key,
            rate: rate(1),
            quota: None,
        };
        assert!(passes(&table, &count, 0), "{scope} {key}");
        assert!(!passes(&table, &count, 0), "{scope} {key}");
    }
}

#[test]
fn what_one_limit_refuses_the_other_does_not_count() {
    let table = Table::default();
    let quota = QuotaLimit::new(3, 100);
    let count = of("k", rate(1), quota);
    let verdict = |now| table.count(&count, now, Found::default).verdict;
    assert_eq!(verdict(0), Verdict::Pass);
    for _ in 0..10 {
        assert_eq!(verdict(1), Verdict::RateExceeded);
    }
    assert_eq!(verdict(SECOND), Verdict::Pass);
    assert_eq!(verdict(2 * SECOND), Verdict::Pass);
    assert_eq!(verdict(3 * SECOND), Verdict::QuotaExceeded);
    assert_eq!(verdict(3 * SECOND), Verdict::QuotaExceeded);
    let outcome = table.count(&count, 3 * SECOND, Found::default);
    assert_eq!(outcome.rate.unwrap().remaining, 1);
    assert_eq!(outcome.quota.unwrap().remaining, 0);
    assert_eq!(verdict(101 * SECOND), Verdict::Pass);
}

#[test]
fn what_is_taken_back_was_not_counted() {
    let table = Table::default();
    let count = of("k", rate(1), QuotaLimit::new(1, 100));
    for now in 0..5 {
        assert!(passes(&table, &count, now));
        table.take_back(&count);
    }
    table.take_back(&of("unknown", rate(1), None));
    assert!(passes(&table, &count, 5));
    assert!(!passes(&table, &count, 5));
}

#[test]
fn a_quota_is_looked_for_once_and_written_down_when_it_changes() {
    let table = Table::default();
    let quota = QuotaLimit::new(5, 0);
    let count = of("k", None, quota);
    let found = || Found {
        name: "quota-k".into(),
        kept: Some(Kept {
            used: 3,
            renews: 0,
            left: None,
        }),
    };
    assert_eq!(table.count(&count, 0, found).quota.unwrap().remaining, 1);
    let again = table.count(&count, 0, || panic!("it is known"));
    assert_eq!(again.quota.unwrap().remaining, 0);
    let unwritten = table.take_unwritten(0);
    assert_eq!(unwritten.len(), 1);
    assert_eq!(
        (&*unwritten[0].name, unwritten[0].kept.used),
        ("quota-k", 5)
    );
    assert_eq!(table.take_unwritten(0), []);
    let refused = table.count(&count, 0, || panic!("it is known"));
    assert_eq!(refused.verdict, Verdict::QuotaExceeded);
    assert_eq!(table.take_unwritten(0), [], "nothing has changed");
    table.forget(&["quota-k".to_owned()]);
    assert_eq!(
        table
            .count(&count, 0, Found::default)
            .quota
            .unwrap()
            .remaining,
        4
    );
}

#[test]
fn many_threads_get_exactly_what_there_is() {
    let table = Arc::new(Table::default());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let table = Arc::clone(&table);
            thread::spawn(move || {
                let quota = of("quota", None, QuotaLimit::new(700, 0));
                let rate = of("rate", rate(900), None);
                let passed = |count| (0..500).filter(|now| passes(&table, count, *now)).count();
                (passed(&quota), passed(&rate))
            })
        })
        .collect();
    let passed: Vec<_> = threads.into_iter().map(|one| one.join().unwrap()).collect();
    assert_eq!(passed.iter().map(|(quota, _)| quota).sum::<usize>(), 700);
    assert_eq!(passed.iter().map(|(_, rate)| rate).sum::<usize>(), 900);
}

#[test]
fn what_nobody_uses_any_more_makes_room() {
    let table = Table::default();
    for number in 0..200_000_u64 {
        let key = number.to_string();
        // A thousand keys in a second.
        assert!(passes(&table, &of(&key, rate(1), None), number * 1000));
    }
    assert!(table.len() < 20_000, "{}", table.len());
}

#[test]
fn memory_is_bounded_when_all_are_in_use() {
    let table = Table::with_room(16 * 1024);
    for number in 0..50_000_u64 {
        let key = number.to_string();
        assert!(passes(&table, &of(&key, rate(1), None), number));
    }
    let bytes: usize = table.shards.iter().map(|shard| lock(shard).bytes).sum();
    assert!(bytes <= SHARDS * 17 * 1024, "{bytes}");
    assert!(table.len() > 1000, "{}", table.len());
}

#[test]
fn a_quota_that_waits_to_be_written_down_is_not_pushed_out() {
    let table = Table::with_room(16 * 1024);
    let kept = |name: &str| Found {
        name: name.into(),
        kept: None,
    };
    for number in 0..1000_u64 {
        let key = number.to_string();
        let count = of(&key, None, QuotaLimit::new(9, 0));
        table.count(&count, number, || kept(&key));
    }
    for number in 0..50_000_u64 {
        let key = format!("other-{number}");
        assert!(passes(
            &table,
            &of(&key, rate(1), None),
            10 * SECOND + number
        ));
    }
    assert_eq!(table.take_unwritten(0).len(), 1000);
}

#[test]
fn windows_of_different_lengths_do_not_make_each_other_forget() {
    let table = Table::default();
    let long = of("k", Rate::new(2.0, 60.0), None);
    let short = of("k", Rate::new(2.0, 1.0), None);
    assert!(passes(&table, &long, 0));
    assert!(passes(&table, &long, 0));
    for second in 1..59 {
        assert!(passes(&table, &short, second * SECOND));
        assert!(!passes(&table, &long, second * SECOND), "{second}");
    }
    for window in 2..100 {
        let count = of("k", Rate::new(1.0, f64::from(window)), None);
        assert!(passes(&table, &count, 59 * SECOND));
    }
}

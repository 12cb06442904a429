//! What every store has to do: one list of checks, run on each of them.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{MAX_KEY, MAX_VALUE, MemoryStore, Store, StoreError, StoreFuture, blocking};

const LIMIT: Duration = Duration::from_secs(30);

/// A promise of [`Store`].
type Check = (&'static str, fn(&dyn Store));

const CHECKS: [Check; 8] = [
    ("values are kept, replaced and deleted", kept),
    ("a value that is stored soon is read at once", soon),
    ("only the first of many is the first", first),
    ("what has expired is not there", expired),
    ("a new value has a time to live of its own", renewed),
    ("keys and values of any bytes come back", any_bytes),
    ("keys are listed by their prefix", listed),
    ("what is too long is refused, what is not is kept", limited),
];

/// Runs every check on stores that `open` makes.
pub(super) fn check(open: impl Fn() -> Box<dyn Store>) {
    for (name, check) in CHECKS {
        println!("{name}");
        check(&*open());
    }
}

pub(super) fn run<T>(call: StoreFuture<'_, T>) -> Result<T, StoreError> {
    blocking::wait(call, LIMIT)
}

fn set(store: &dyn Store, key: &str, value: &str, ttl: Option<Duration>) {
    run(store.set(key, Bytes::copy_from_slice(value.as_bytes()), ttl)).expect("it is kept");
}

fn get(store: &dyn Store, key: &str) -> Option<Bytes> {
    run(store.get(key)).expect("it is read")
}

fn wait_until_gone(store: &dyn Store, key: &str) {
    let until = Instant::now() + LIMIT;
    while get(store, key).is_some() {
        assert!(Instant::now() < until, "`{key}` does not expire");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn kept(store: &dyn Store) {
    assert_eq!(get(store, "k"), None);
    for value in ["one", "two", ""] {
        set(store, "k", value, None);
        assert_eq!(get(store, "k").as_deref(), Some(value.as_bytes()));
    }
    assert_eq!(run(store.delete("k")), Ok(true));
    assert_eq!(run(store.delete("k")), Ok(false));
    assert_eq!(get(store, "k"), None);
    assert_eq!(run(store.flush()), Ok(()));
    assert_eq!(store.health(), Ok(()));
}

fn soon(store: &dyn Store) {
    for number in 0..1000 {
        let value = Bytes::from(number.to_string());
        run(store.set_soon("k", value.clone(), None)).expect("it is kept");
        assert_eq!(get(store, "k"), Some(value));
    }
}

fn first(store: &dyn Store) {
    let winners: usize = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..8)
            .map(|number: usize| {
                scope.spawn(move || {
                    let value = Bytes::from(number.to_string());
                    run(store.set_if_absent("k", value, None)).expect("it is answered")
                })
            })
            .collect();
        let outcomes = racers
            .into_iter()
            .map(|racer| racer.join().expect("no panic"));
        outcomes.filter(|won| *won).count()
    });
    assert_eq!(winners, 1);
    assert!(get(store, "k").is_some());
}

fn expired(store: &dyn Store) {
    let short = Some(Duration::from_millis(30));
    set(store, "short", "v", short);
    set(store, "shortest", "v", Some(Duration::ZERO));
    set(store, "long", "v", Some(Duration::from_secs(3600)));
    set(store, "longest", "v", Some(Duration::MAX));
    wait_until_gone(store, "short");
    wait_until_gone(store, "shortest");
    assert!(get(store, "long").is_some() && get(store, "longest").is_some());
    let mut keys = run(store.keys("")).expect("they are listed");
    keys.sort();
    assert_eq!(keys, ["long", "longest"]);
    assert_eq!(run(store.delete("short")), Ok(false));
    assert_eq!(
        run(store.set_if_absent("short", Bytes::new(), short)),
        Ok(true)
    );
    wait_until_gone(store, "short");
}

fn renewed(store: &dyn Store) {
    set(store, "mark", "v", Some(Duration::from_millis(60)));
    set(store, "k", "v", Some(Duration::from_millis(30)));
    set(store, "k", "v", None);
    wait_until_gone(store, "mark");
    assert!(get(store, "k").is_some(), "the first time to live is left");
    set(store, "k", "v", Some(Duration::from_millis(1)));
    wait_until_gone(store, "k");
}

fn any_bytes(store: &dyn Store) {
    let value: Bytes = (0..=255).collect::<Vec<u8>>().into();
    for key in ["", "\0", "a b\r\n*?[x]\\", "schlüssel-\u{10FFFF}"] {
        run(store.set(key, value.clone(), None)).expect("it is kept");
        assert_eq!(get(store, key).as_ref(), Some(&value), "{key:?}");
        let keys = run(store.keys(key)).expect("listed");
        assert!(keys.contains(&key.to_owned()), "{key:?}");
        assert_eq!(run(store.delete(key)), Ok(true));
    }
}

fn listed(store: &dyn Store) {
    for number in 0..2500 {
        run(store.set_soon(&format!("p-{number}"), Bytes::new(), None)).expect("it is kept");
    }
    for key in ["p", "q-1", "P-1", "*", "p*", "xp-1"] {
        set(store, key, "v", None);
    }
    let mut keys = run(store.keys("p-")).expect("they are listed");
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 2500);
    assert_eq!(run(store.keys("p*")), Ok(vec!["p*".to_owned()]));
    assert_eq!(run(store.keys("nothing")), Ok(Vec::new()));
}

fn limited(store: &dyn Store) {
    let long = |count| "k".repeat(count);
    let (key, value) = (long(MAX_KEY), Bytes::from(vec![7; MAX_VALUE]));
    run(store.set(&key, value.clone(), None)).expect("the longest is kept");
    assert_eq!(get(store, &key).map(|value| value.len()), Some(MAX_VALUE));
    let refusals = [
        run(store.set(&long(MAX_KEY + 1), Bytes::new(), None)),
        run(store.set_soon(&long(MAX_KEY + 1), Bytes::new(), None)),
        run(store.set_if_absent("new", vec![7; MAX_VALUE + 1].into(), None)).map(drop),
        run(store.set(&key, vec![7; MAX_VALUE + 1].into(), None)),
    ];
    for refusal in refusals {
        let Err(StoreError::Refused(reason)) = refusal else {
            panic!("{refusal:?}");
        };
        assert!(reason.contains("are possible"), "{reason}");
    }
    assert_eq!(get(store, "new"), None);
    assert_eq!(get(store, &key), Some(value), "it was replaced");
}

#[test]
fn memory_keeps_every_promise() {
    check(|| Box::new(MemoryStore::default()));
}

#[test]
fn what_does_not_fit_into_memory_is_refused_with_the_key_to_change() {
    let store = MemoryStore::new(1000);
    let refusal = run(store.set("k", vec![0; 1000].into(), None)).expect_err("it is full");
    assert!(
        refusal.to_string().contains("storage.max_bytes"),
        "{refusal}"
    );
}

//! Sessions against a store that counts, and that can be away.

use super::key::HashFunction;
use super::*;
use crate::storage::{MemoryStore, StoreFuture};

/// A store that counts, and that can be away.
#[derive(Default)]
struct Counting {
    inner: MemoryStore,
    gets: AtomicU64,
    sets: AtomicU64,
    away: AtomicBool,
}

impl Counting {
    fn call<'a, T: Send + 'a>(&self, call: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        if self.away.load(Ordering::Relaxed) {
            let away = Err(StoreError::Unavailable("it is away".into()));
            return Box::pin(std::future::ready(away));
        }
        call
    }

    fn counts(&self) -> (u64, u64) {
        let [gets, sets] = [&self.gets, &self.sets].map(|count| count.load(Ordering::Relaxed));
        (gets, sets)
    }
}

impl Store for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Bytes>> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        self.call(self.inner.get(key))
    }

    fn set<'a>(&'a self, key: &'a str, value: Bytes, ttl: Option<Duration>) -> StoreFuture<'a, ()> {
        self.sets.fetch_add(1, Ordering::Relaxed);
        self.call(self.inner.set(key, value, ttl))
    }

    fn set_if_absent<'a>(
        &'a self,
        key: &'a str,
        value: Bytes,
        ttl: Option<Duration>,
    ) -> StoreFuture<'a, bool> {
        self.call(self.inner.set_if_absent(key, value, ttl))
    }

    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool> {
        self.call(self.inner.delete(key))
    }

    fn keys<'a>(&'a self, prefix: &'a str) -> StoreFuture<'a, Vec<String>> {
        self.call(self.inner.keys(prefix))
    }
}

struct Setup {
    store: Arc<Counting>,
    sessions: Arc<Sessions>,
}

const LONG: Duration = Duration::from_secs(3600);

/// Sessions whose writer runs until the test ends.
fn start(fresh_for: Duration, hashed: bool) -> Setup {
    let names = KeyNames {
        hashed,
        function: None,
    };
    let settings = Settings {
        names,
        min_id_length: 3,
        fresh_for,
    };
    let store = Arc::new(Counting::default());
    let (sessions, writer) = Sessions::new(settings, Arc::clone(&store) as Arc<dyn Store>);
    tokio::spawn(writer.run());
    Setup { store, sessions }
}

fn lasting(seconds: i64) -> Lifetime {
    Lifetime {
        of_api: seconds,
        ..Lifetime::default()
    }
}

impl Setup {
    fn name(&self, id: &str) -> String {
        self.sessions.names.of_id(id)
    }

    /// What a request does with a session that its plugin has made.
    async fn use_session(&self, id: &str, session: &Session, lifetime: Lifetime) {
        let age = self.sessions.age();
        let stored = self.sessions.find(id).await.unwrap();
        let session = match &stored {
            Some(stored) if *stored.session == *session => Arc::clone(&stored.session),
            _ => Arc::new(session.clone()),
        };
        let unsaved = self
            .sessions
            .to_save(id, &session, stored.as_deref(), lifetime, age);
        drop(unsaved.unwrap());
        self.sessions.flush().await.unwrap();
    }
}

fn session(alias: &str) -> Session {
    let mut session = Session {
        alias: alias.into(),
        key_id: "abc".into(),
        ..Session::default()
    };
    session.metadata.insert("token".into(), "abc".into());
    session
}

#[tokio::test]
async fn an_equal_session_is_written_once_and_looked_up_once() {
    let setup = start(LONG, false);
    for _ in 0..100 {
        setup.use_session("abc", &session("a"), lasting(0)).await;
        setup.use_session("abc", &session("a"), lasting(3600)).await;
    }
    assert_eq!(setup.store.counts(), (1, 1));
    setup.use_session("abc", &session("b"), lasting(0)).await;
    assert_eq!(setup.store.counts(), (1, 2), "a change is written");
}

#[tokio::test]
async fn an_equal_session_is_not_written_after_another_look_into_the_store() {
    for hashed in [false, true] {
        let setup = start(Duration::ZERO, hashed);
        for _ in 0..10 {
            setup.use_session("abc", &session("a"), lasting(3600)).await;
        }
        assert_eq!(setup.store.counts(), (10, 1), "hashed: {hashed}");
    }
}

#[tokio::test]
async fn a_session_with_an_end_is_refreshed_and_one_without_is_not() {
    let setup = start(LONG, false);
    let written = || setup.store.counts().1;
    setup.use_session("abc", &session("a"), lasting(3600)).await;
    let kept = setup.sessions.seen("abc").unwrap();
    let after = |seconds| Instant::now() + Duration::from_secs(seconds);
    let hour = Some(LONG);
    assert!(!kept.wants_refresh(hour, after(300)));
    assert!(kept.wants_refresh(hour, after(400)));
    assert!(!kept.wants_refresh(None, after(400)));
    assert_eq!(written(), 1);
    // Who has not written it does not know when it ends.
    let unknown = Kept {
        written: None,
        ..Kept::clone(&kept)
    };
    assert!(unknown.wants_refresh(hour, after(0)));
}

#[tokio::test]
async fn a_session_is_not_used_beyond_its_end() {
    let setup = start(LONG, false);
    setup.use_session("abc", &session("a"), lasting(3600)).await;
    let kept = setup.sessions.seen("abc").unwrap();
    assert!(!kept.is_over(Instant::now()));
    assert!(kept.is_over(Instant::now() + LONG));
}

#[tokio::test]
async fn a_deleted_session_is_gone_at_once_everywhere() {
    let setup = start(LONG, false);
    setup.use_session("abc", &session("a"), lasting(0)).await;
    assert!(setup.sessions.delete(setup.name("abc")).await.unwrap());
    assert!(setup.sessions.seen("abc").is_none());
    let found = setup.sessions.find("abc").await.unwrap();
    assert!(found.is_none());
    assert!(!setup.sessions.delete(setup.name("abc")).await.unwrap());
}

#[tokio::test]
async fn a_request_on_its_way_does_not_bring_a_deleted_session_back() {
    let setup = start(LONG, false);
    setup.use_session("abc", &session("a"), lasting(0)).await;
    let made = Arc::new(session("b"));
    let age = setup.sessions.age();
    assert!(setup.sessions.delete(setup.name("abc")).await.unwrap());
    let unsaved = setup.sessions.to_save("abc", &made, None, lasting(0), age);
    drop(unsaved.unwrap());
    let document = setup.sessions.document(&setup.name("abc")).await;
    assert!(document.unwrap().is_none());
    assert!(setup.sessions.seen("abc").is_none());
    setup.use_session("abc", &session("c"), lasting(0)).await;
    let document = setup.sessions.document(&setup.name("abc")).await;
    assert!(document.unwrap().is_some(), "a later request saves again");
}

#[tokio::test]
async fn a_look_that_began_before_a_deletion_is_not_remembered() {
    let setup = start(LONG, false);
    setup.use_session("abc", &session("a"), lasting(0)).await;
    let name = setup.name("abc");
    let age = setup.sessions.remembered.age();
    let kept = setup.sessions.seen("abc").unwrap();
    setup.sessions.delete(name.clone()).await.unwrap();
    setup.sessions.remembered.insert(name.clone(), kept, age);
    assert!(setup.sessions.seen("abc").is_none());
}

#[tokio::test]
async fn what_could_not_be_saved_is_tried_again() {
    let setup = start(LONG, false);
    setup.use_session("abc", &session("a"), lasting(0)).await;
    setup.store.away.store(true, Ordering::Relaxed);
    let kept = setup.sessions.seen("abc");
    let made = Arc::new(session("b"));
    let unsaved = setup.sessions.to_save(
        "abc",
        &made,
        kept.as_deref(),
        lasting(0),
        setup.sessions.age(),
    );
    drop(unsaved.unwrap());
    setup.sessions.flush().await.unwrap();
    assert!(setup.sessions.seen("abc").is_none());
    let away = setup.sessions.find("abc").await;
    assert!(matches!(away, Err(SessionError::Store(_))));
    setup.store.away.store(false, Ordering::Relaxed);
    setup.use_session("abc", &session("b"), lasting(0)).await;
    let found = setup.sessions.find("abc").await.unwrap();
    assert_eq!(found.unwrap().session.alias, "b");
}

#[tokio::test]
async fn a_full_queue_drops_the_save_and_not_the_request() {
    let settings = Settings {
        names: KeyNames {
            hashed: false,
            function: None,
        },
        min_id_length: 3,
        fresh_for: LONG,
    };
    // Nobody takes from the queue, because the writer does not run.
    let (sessions, _writer) = Sessions::new(settings, Arc::new(MemoryStore::default()));
    let made = Arc::new(session("a"));
    for number in 0..QUEUE + 10 {
        let id = format!("key-{number}");
        drop(sessions.to_save(&id, &made, None, lasting(0), 0).unwrap());
    }
    assert!(sessions.seen("key-0").is_some());
    let dropped = format!("key-{QUEUE}");
    assert!(sessions.seen(&dropped).is_none(), "it is tried again");
}

#[tokio::test]
async fn a_hashed_key_is_nowhere_in_the_store() {
    let setup = start(LONG, true);
    setup.use_session("abc", &session("a"), lasting(0)).await;
    let names = setup.store.inner.keys("").await.unwrap();
    assert_eq!(names, ["apikey-b3dd93fa"]);
    let json = setup.store.inner.get(&names[0]).await.unwrap().unwrap();
    let fingerprint = HashFunction::Sha256.hex("abc");
    let expected = format!(r#"{{"alias":"a","coprocess_gateway_id_sha256":"{fingerprint}"}}"#);
    assert_eq!(json, expected);
    let shown = setup.sessions.document(&names[0]).await.unwrap().unwrap();
    assert_eq!(shown.to_json(), br#"{"alias":"a"}"#);
}

#[tokio::test]
async fn two_ids_with_one_hash_do_not_share_a_session() {
    let setup = start(LONG, true);
    let ids = ["k77202", "k1294"].map(|value| format!("org{}", key::md5_hex(value.as_bytes())));
    assert_eq!(setup.name(&ids[0]), setup.name(&ids[1]));
    setup.use_session(&ids[0], &session("a"), lasting(0)).await;
    assert!(setup.sessions.seen(&ids[0]).unwrap().is_owner_known);
    assert!(setup.sessions.seen(&ids[1]).is_none());
    assert!(setup.sessions.find(&ids[1]).await.unwrap().is_none());
    setup.sessions.remembered.sessions.clear();
    assert!(
        setup.sessions.find(&ids[1]).await.unwrap().is_none(),
        "from the store"
    );
    assert!(
        setup
            .sessions
            .find(&ids[0])
            .await
            .unwrap()
            .unwrap()
            .is_owner_known
    );
}

#[tokio::test]
async fn a_hashed_session_that_names_no_owner_gets_one_when_it_is_used() {
    let setup = start(LONG, true);
    let json = Bytes::from_static(br#"{"alias":"a"}"#);
    setup
        .store
        .inner
        .set(&setup.name("abc"), json, None)
        .await
        .unwrap();
    let found = setup.sessions.find("abc").await.unwrap().unwrap();
    assert!(!found.is_owner_known);
    let same = Session::clone(&found.session);
    setup.use_session("abc", &same, lasting(0)).await;
    assert!(setup.sessions.seen("abc").unwrap().is_owner_known);
}

#[tokio::test]
async fn a_session_that_changes_all_the_time_is_looked_up_all_the_same() {
    let setup = start(LONG, false);
    setup.use_session("abc", &session("a"), lasting(0)).await;
    let seen = setup.sessions.seen("abc").unwrap().seen;
    setup.use_session("abc", &session("b"), lasting(0)).await;
    assert_eq!(setup.sessions.seen("abc").unwrap().seen, seen);
}

#[tokio::test]
async fn a_deletion_that_fails_is_noted_all_the_same() {
    let setup = start(LONG, false);
    setup.use_session("abc", &session("a"), lasting(0)).await;
    let age = setup.sessions.age();
    setup.store.away.store(true, Ordering::Relaxed);
    assert!(setup.sessions.delete(setup.name("abc")).await.is_err());
    assert!(setup.sessions.seen("abc").is_none());
    setup.store.away.store(false, Ordering::Relaxed);
    let made = Arc::new(session("b"));
    drop(
        setup
            .sessions
            .to_save("abc", &made, None, lasting(0), age)
            .unwrap(),
    );
    setup.sessions.flush().await.unwrap();
    assert_eq!(setup.store.counts().1, 1, "it is not written again");
}

#[tokio::test]
async fn the_queue_is_bounded_in_bytes() {
    let setup = start(LONG, false);
    let room = Arc::clone(&setup.sessions.queue_room);
    let held = room
        .try_acquire_many(u32::try_from(QUEUED_BYTES).unwrap())
        .unwrap();
    setup.use_session("abc", &session("a"), lasting(0)).await;
    assert_eq!(setup.store.counts().1, 0);
    drop(held);
    setup.use_session("abc", &session("a"), lasting(0)).await;
    assert_eq!(setup.store.counts().1, 1);
    assert_eq!(setup.sessions.queue_room.available_permits(), QUEUED_BYTES);
}

#[tokio::test]
async fn a_session_with_an_id_that_no_store_takes_is_saved() {
    let setup = start(LONG, false);
    let id = "a".repeat(5000);
    setup.use_session(&id, &session("a"), lasting(0)).await;
    setup.sessions.remembered.sessions.clear();
    let found = setup.sessions.find(&id).await.unwrap().unwrap();
    assert_eq!(found.session.alias, "a");
    assert!(found.is_owner_known);
}

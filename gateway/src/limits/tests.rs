//! All limits of a request together, and what of them outlives the process.

use bytes::Bytes;
use coprocess_core::AccessDefinition;
use serde_json::json;

use super::*;
use crate::session::record::Record;
use crate::storage::MemoryStore;

const NAMES: KeyNames = KeyNames {
    hashed: false,
    function: None,
};

fn over(store: &Arc<MemoryStore>) -> Arc<Limits> {
    let store: Arc<dyn Store> = Arc::clone(store) as _;
    Limits::new(store, NAMES, RateMode::Exact)
}

fn session(rate: f64, quota_max: i64) -> Session {
    Session {
        rate,
        per: 3600.0,
        quota_max,
        quota_renewal_rate: 3600,
        ..Session::default()
    }
}

#[test]
fn a_limit_for_one_api_takes_the_place_of_the_sessions() {
    let mut session = session(5.0, 7);
    assert_eq!(Demand::of(&session, "a").rate.unwrap().count, 5);
    let limit = ApiLimit {
        rate: 2.0,
        per: 1.0,
        quota_max: -1,
        ..ApiLimit::default()
    };
    let right = AccessDefinition {
        limit: Some(limit),
        ..AccessDefinition::default()
    };
    session.access_rights.insert("a".into(), right.clone());
    session
        .access_rights
        .insert("b".into(), AccessDefinition::default());
    let shared = AccessDefinition {
        allowance_scope: "plan".into(),
        ..right
    };
    session.access_rights.insert("c".into(), shared);
    let own = Demand::of(&session, "a");
    assert_eq!(
        (own.rate.unwrap().count, own.quota, own.scope),
        (2, None, "")
    );
    let whole = Demand::of(&session, "b");
    assert_eq!((whole.rate.unwrap().count, whole.scope), (5, ""));
    assert_eq!(Demand::of(&session, "c").scope, "plan");
}

#[test]
fn a_rate_of_the_api_counts_only_who_may_pass_and_takes_back_whom_it_refuses() {
    let limits = over(&Arc::default());
    let api = ApiRate {
        name: "api",
        rate: Rate::new(3.0, 3600.0).unwrap(),
    };
    let session = session(2.0, 0);
    let demand = Demand::of(&session, "api");
    let refused = |key| limits.count(&demand, &Key::Session(key), Some(api)).refused;
    assert_eq!([refused("a"), refused("a")], [None, None]);
    assert_eq!(refused("a"), Some(Refused::Rate));
    assert_eq!(refused("b"), None);
    assert_eq!(refused("b"), Some(Refused::Api));
    let alone = limits.count(&demand, &Key::Session("b"), None);
    assert_eq!(alone.refused, None, "the refused one was not counted");
    assert_eq!(alone.rate.unwrap().remaining, 0);
}

#[test]
fn patterns_and_keys_do_not_share_counters() {
    let limits = over(&Arc::default());
    let session = session(1.0, 0);
    let demand = Demand::of(&session, "api");
    let key = Key::Session("gold");
    let pattern = Key::Pattern("gold".into());
    assert_eq!(limits.count(&demand, &key, None).refused, None);
    assert_eq!(limits.count(&demand, &pattern, None).refused, None);
    assert_eq!(
        limits.count(&demand, &pattern, None).refused,
        Some(Refused::Rate)
    );
}

#[tokio::test]
async fn a_quota_outlives_the_process() {
    let store = Arc::default();
    let session = session(0.0, 5);
    let demand = Demand::of(&session, "api");
    let limits = over(&store);
    for _ in 0..3 {
        limits.count(&demand, &Key::Session("k"), None);
    }
    limits.write().await;
    let next = over(&store);
    let decision = next.count(&demand, &Key::Session("k"), None);
    let quota = decision.quota.unwrap();
    assert_eq!(quota.remaining, 1);
    assert!((quota.renews - crate::session::unix_now() - 3600).abs() <= 2);
}

#[tokio::test]
async fn a_stored_session_shows_how_its_quotas_stand_until_they_are_reset() {
    let store = Arc::default();
    let limits = over(&store);
    let document = json!({
        "quota_max": 5, "quota_renewal_rate": 60, "quota_remaining": 1, "quota_renews": 7,
        "access_rights": {"api": {
            "limit": {"quota_max": 3, "quota_renewal_rate": 60}, "allowance_scope": "api",
        }},
    });
    let record = Record::parse(document.to_string().as_bytes()).unwrap();
    let session = record.session().unwrap();
    for api in ["api", "other", "other"] {
        limits.count(&Demand::of(&session, api), &Key::Session("k"), None);
    }
    let mut shown = record.clone();
    limits.show("apikey-k", &mut shown).await.unwrap();
    let value = shown.clone().into_value();
    assert_eq!(value["quota_remaining"], 3);
    assert!(value["quota_renews"].as_i64().unwrap() > 7);
    assert_eq!(value["access_rights"]["api"]["limit"]["quota_remaining"], 2);
    limits.reset("apikey-k", Some(&record)).await.unwrap();
    limits.show("apikey-k", &mut shown).await.unwrap();
    let value = shown.into_value();
    assert_eq!(value["quota_remaining"], 5);
    assert_eq!(value["access_rights"]["api"]["limit"]["quota_remaining"], 3);
}

#[tokio::test]
async fn a_stored_quota_that_is_none_begins_anew() {
    let store = Arc::<MemoryStore>::default();
    let nonsense = Bytes::from_static(b"many");
    store.set("quota-k", nonsense, None).await.unwrap();
    let session = session(0.0, 5);
    let decision = over(&store).count(&Demand::of(&session, "api"), &Key::Session("k"), None);
    assert_eq!(decision.quota.unwrap().remaining, 4);
}

#[test]
fn quotas_have_the_originals_names_where_a_cluster_can_take_them() {
    assert_eq!(quota_name("", "abc"), "quota-abc");
    assert_eq!(quota_name("plan", "abc"), "quota-plan-abc");
    for odd in ["a{b}", &"x".repeat(600)] {
        let name = quota_name("", odd);
        assert!(name.len() < 100 && !name.contains('{'), "{name}");
    }
}

//! Policies against sessions, as tables.

use serde_json::{Value, json};

use super::*;
use crate::policy::load::read;
use crate::session::record::Record;

fn policies(documents: &[Value]) -> Policies {
    let read = documents.iter().map(|document| {
        let mut document = document.clone();
        document["org_id"] = json!("org");
        let policy = read(std::path::Path::new("p.json"), &document.to_string()).unwrap();
        (policy.definition.id.clone(), policy)
    });
    Policies::new(read.collect(), Vec::new())
}

fn session(document: &Value) -> Session {
    let record = Record::parse(document.to_string().as_bytes()).unwrap();
    record.session().unwrap()
}

fn applied(documents: &[Value], document: &Value) -> Result<Value, PolicyError> {
    let mut session = session(document);
    policies(documents).apply(&mut session, Some("org"))?;
    let mut record = Record::default();
    record.apply(&session);
    Ok(record.into_value())
}

/// Compares the fields that `expected` names; null is for one that is not there.
#[track_caller]
fn check(documents: &[Value], document: &Value, expected: &Value) {
    let applied = applied(documents, document).unwrap();
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(applied[name], *value, "{name} in {applied}");
    }
}

#[track_caller]
fn refuse(documents: &[Value], document: &Value, expected: &str) {
    let error = applied(documents, document).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

fn gold() -> Value {
    json!({
        "id": "gold", "rate": 100, "per": 10, "quota_max": 500, "quota_renewal_rate": 60,
        "max_query_depth": 4, "access_rights": {"a": {"api_id": "a", "versions": ["v1"]}},
    })
}

fn silver() -> Value {
    json!({
        "id": "silver", "rate": 50, "per": 1, "quota_max": 100, "quota_renewal_rate": 3600,
        "access_rights": {"b": {"api_id": "b"}, "a": {"api_id": "a", "versions": ["v2"]}},
    })
}

#[test]
fn a_policy_takes_the_place_of_what_it_governs() {
    let own = json!({
        "apply_policies": ["gold"], "rate": 7, "per": 7, "quota_max": 7, "quota_renews": 8,
        "quota_remaining": 3, "max_query_depth": 9, "access_rights": {"x": {"api_id": "x"}},
    });
    let limit = json!({
        "rate": 100, "per": 10, "quota_max": 500, "quota_renewal_rate": 60, "max_query_depth": 4,
    });
    let expected = json!({
        "rate": 100, "per": 10, "quota_max": 500, "quota_renewal_rate": 60, "quota_renews": 8,
        "quota_remaining": 3, "max_query_depth": 4,
        "access_rights": {"a": {"api_id": "a", "versions": ["v1"], "limit": limit}},
    });
    check(&[gold()], &own, &expected);
    let mut single = own.clone();
    single["apply_policies"] = json!([]);
    single["apply_policy_id"] = json!("gold");
    check(&[gold()], &single, &expected);
    single["apply_policies"] = json!(["silver"]);
    check(&[gold(), silver()], &single, &json!({"rate": 50}));
}

#[test]
fn of_several_policies_the_most_permissive_limits_count_and_all_rights() {
    let own = json!({"apply_policies": ["gold", "silver"]});
    let applied = applied(&[gold(), silver()], &own).unwrap();
    for (name, value) in [
        ("rate", 50),
        ("per", 1),
        ("quota_max", 500),
        ("quota_renewal_rate", 3600),
    ] {
        assert_eq!(applied[name], value, "{name}: {applied}");
    }
    let rights = &applied["access_rights"];
    assert_eq!(rights["a"]["versions"], json!(["v1", "v2"]));
    assert_eq!(rights["a"]["limit"]["quota_max"], 500);
    assert_eq!(rights["b"]["limit"]["quota_max"], 100);
    let turned = json!({"apply_policies": ["silver", "gold"]});
    check(
        &[gold(), silver()],
        &turned,
        &json!({"rate": 50, "per": 1, "quota_max": 500}),
    );
}

#[test]
fn without_limit_is_more_than_any_limit() {
    let endless = json!({"id": "endless", "rate": -1, "per": -1, "quota_max": -1, "access_rights": {"a": {}}});
    let expected = json!({"rate": -1, "per": -1, "quota_max": -1});
    for order in [["gold", "endless"], ["endless", "gold"]] {
        let own = json!({"apply_policies": order});
        check(&[gold(), endless.clone()], &own, &expected);
    }
}

#[test]
fn partitions_limit_what_a_policy_contributes() {
    let part = |id: &str, partition: &str| {
        let mut policy = gold();
        policy["id"] = json!(id);
        policy["partitions"] = json!({partition: true});
        policy
    };
    let all = [
        part("quota", "quota"),
        part("rate", "rate_limit"),
        part("acl", "acl"),
        part("depth", "complexity"),
    ];
    let own = |names: &[&str]| {
        json!({
            "apply_policies": names, "rate": 7, "per": 7, "quota_max": 7, "max_query_depth": 7,
            "access_rights": {"x": {"api_id": "x"}},
        })
    };
    let kept = json!({"x": {"api_id": "x"}});
    check(
        &all,
        &own(&["quota"]),
        &json!({
            "quota_max": 500, "rate": 7, "per": 7, "max_query_depth": 7, "access_rights": kept,
        }),
    );
    check(
        &all,
        &own(&["rate"]),
        &json!({
            "quota_max": 7, "rate": 100, "per": 10, "max_query_depth": 7, "access_rights": kept,
        }),
    );
    check(
        &all,
        &own(&["depth"]),
        &json!({"max_query_depth": 4, "rate": 7, "access_rights": kept}),
    );
    check(
        &all,
        &own(&["acl"]),
        &json!({
            "quota_max": 7, "rate": 7, "per": 7, "max_query_depth": 7,
            "access_rights": {"a": {"api_id": "a", "versions": ["v1"], "limit": {
                "rate": 7, "per": 7, "quota_max": 7, "max_query_depth": 7,
            }}},
        }),
    );
    check(
        &all,
        &own(&["acl", "quota"]),
        &json!({"quota_max": 500, "rate": 7}),
    );
}

#[test]
fn a_policy_of_a_part_without_rights_gives_none_and_takes_none() {
    let quota = json!({"id": "quota", "quota_max": 5, "partitions": {"quota": true}});
    let own =
        json!({"apply_policies": ["quota"], "rate": 7, "access_rights": {"x": {"api_id": "x"}}});
    let expected = json!({"quota_max": 5, "rate": 7, "access_rights": {"x": {"api_id": "x"}}});
    check(&[quota], &own, &expected);
    // Its list of APIs gives no right to them beside a policy that does.
    let wide = json!({
        "id": "wide", "quota_max": 5, "partitions": {"quota": true},
        "access_rights": {"a": {}, "secret": {}},
    });
    let mut acl = gold();
    acl["partitions"] = json!({"acl": true});
    let own = json!({"apply_policies": ["gold", "wide"]});
    let applied = applied(&[acl, wide], &own).unwrap();
    let rights = applied["access_rights"].as_object().unwrap();
    assert_eq!(rights.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(rights["a"]["limit"]["quota_max"], 5);
}

#[test]
fn limits_of_each_api_stay_apart() {
    let apart = json!({
        "id": "apart", "rate": 9, "per": 1, "partitions": {"per_api": true},
        "access_rights": {"a": {"limit": {"rate": 3, "per": 1, "quota_max": 30}}, "b": {}},
    });
    let own = json!({
        "apply_policies": ["apart"], "rate": 7,
        "access_rights": {"a": {"limit": {"quota_max": 30, "quota_renews": 77}}},
    });
    check(
        std::slice::from_ref(&apart),
        &own,
        &json!({
            "rate": null,
            "access_rights": {
                "a": {"limit": {"rate": 3, "per": 1, "quota_max": 30, "quota_renews": 77}, "allowance_scope": "a"},
                "b": {"limit": {"rate": 9, "per": 1}, "allowance_scope": "apart"},
            },
        }),
    );
    let mixed =
        "cannot apply multiple policies when some have per_api set and some are partitioned";
    for order in [["apart", "gold"], ["gold", "apart"]] {
        refuse(
            &[apart.clone(), gold()],
            &json!({"apply_policies": order}),
            mixed,
        );
    }
}

#[test]
fn paths_of_one_api_are_put_together() {
    let with =
        |id: &str, urls: Value| json!({"id": id, "access_rights": {"a": {"allowed_urls": urls}}});
    let one = with("one", json!([{"url": "/x", "methods": ["GET"]}]));
    let two = with(
        "two",
        json!([{"url": "/x", "methods": ["GET", "PUT"]}, {"url": "/y", "methods": []}]),
    );
    let own = json!({"apply_policies": ["one", "two"]});
    let applied = applied(&[one, two], &own).unwrap();
    assert_eq!(
        applied["access_rights"]["a"]["allowed_urls"],
        json!([{"url": "/x", "methods": ["GET", "PUT"]}, {"url": "/y"}])
    );
}

#[test]
fn rights_of_several_policies_are_counted_apart() {
    let other = json!({"id": "other", "access_rights": {"b": {}}});
    let own = json!({"apply_policies": ["gold", "other"]});
    let applied = applied(&[gold(), other], &own).unwrap();
    let scope = |api: &str| applied["access_rights"][api]["allowance_scope"].clone();
    assert_eq!((scope("a"), scope("b")), (json!("gold"), json!("other")));
}

#[test]
fn tags_metadata_and_state_come_from_policies_and_session() {
    let mut one = gold();
    one["tags"] = json!(["x", "y"]);
    one["meta_data"] = json!({"plan": "gold", "deep": {"a": 1}});
    one["last_updated"] = json!("900");
    let mut two = silver();
    two["is_inactive"] = json!(true);
    two["last_updated"] = json!("1000");
    let own = json!({
        "apply_policies": ["gold"], "tags": ["y", "z"], "is_inactive": true, "last_updated": "5",
        "meta_data": {"plan": "own", "mine": "m"},
    });
    check(
        &[one.clone()],
        &own,
        &json!({
            "tags": ["y", "z", "x"], "is_inactive": null, "last_updated": "900",
            "meta_data": {"plan": "gold", "mine": "m", "deep": "{\"a\":1}"},
        }),
    );
    let mut both = own.clone();
    both["apply_policies"] = json!(["gold", "silver"]);
    check(
        &[one, two],
        &both,
        &json!({"is_inactive": true, "last_updated": "1000"}),
    );
}

#[test]
fn policies_that_cannot_be_applied_refuse_the_session() {
    let none = "key has no valid policies to be applied";
    refuse(
        &[],
        &json!({"apply_policy_id": "no"}),
        "policy not found: \"no\"",
    );
    refuse(&[], &json!({"apply_policies": ["no", "neither"]}), none);
    check(
        &[gold()],
        &json!({"apply_policies": ["no", "gold"]}),
        &json!({"rate": 100}),
    );
    // A policy without rights would be one for everything.
    refuse(
        &[json!({"id": "empty", "rate": 5})],
        &json!({"apply_policies": ["empty"]}),
        none,
    );
    let mut named = session(&json!({"apply_policies": ["gold"]}));
    let policies = policies(&[gold()]);
    let foreign = policies.apply(&mut named.clone(), Some("other"));
    assert_eq!(foreign, Err(PolicyError::Foreign("gold".into())));
    assert_eq!(policies.apply(&mut named, None), Ok(()));
}

#[test]
fn applying_policies_again_changes_nothing() {
    let set = policies(&[gold(), silver()]);
    let mut once = session(&json!({"apply_policies": ["gold", "silver"], "tags": ["t"]}));
    set.apply(&mut once, Some("org")).unwrap();
    let mut twice = once.clone();
    set.apply(&mut twice, Some("org")).unwrap();
    assert_eq!(once, twice);
}

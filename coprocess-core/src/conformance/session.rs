//! Cases about who calls: authentication, the session, and the API's spec.

use std::sync::Arc;

use http::HeaderValue;

use super::Suite;
use super::request::sent;
use crate::{AccessDefinition, AccessSpec, HookType, Object, Session, Spec};

pub(super) fn an_auth_hook_fills_token_and_session(suite: &Suite) {
    let mut object = suite.object("authenticate", HookType::CustomKeyCheck);
    let key = HeaderValue::from_static("secret-key");
    object.request.headers.insert("authorization", key);
    let object = suite.succeed(object);
    assert_eq!(token(&object), Some("secret-key"));
    let session = *object.session.expect("an accepted caller has a session");
    assert_eq!(session.metadata["plan"], "premium");
    let expected = Session {
        rate: 25.0,
        per: 0.5,
        expires: 4_102_444_800,
        quota_max: 100,
        quota_remaining: 99,
        quota_renewal_rate: 3600,
        is_inactive: true,
        alias: "caller".to_owned(),
        tags: vec!["red".to_owned(), "blue".to_owned()],
        apply_policies: vec!["gold".to_owned()],
        access_rights: [("api-1".to_owned(), access())].into_iter().collect(),
        // Whether the token is merged already is the language's choice.
        metadata: session.metadata.clone(),
        ..Session::default()
    };
    assert_eq!(session, expected);
}

pub(super) fn an_auth_hook_that_names_no_token_rejects(suite: &Suite) {
    let object = suite.succeed(suite.object("authenticate", HookType::CustomKeyCheck));
    assert_eq!(token(&object), None);
    assert_eq!(object.request.return_overrides.response_code, -1);
}

pub(super) fn a_later_hook_reads_the_session(suite: &Suite) {
    let mut object = suite.object("read_session", HookType::Post);
    let plan = ("plan".to_owned(), "premium".to_owned());
    object.metadata.insert(plan.0.clone(), plan.1.clone());
    object.session = Some(Box::new(Session {
        rate: 0.5,
        expires: 4_102_444_800,
        alias: "caller".to_owned(),
        tags: vec!["red".to_owned(), "blue".to_owned()],
        metadata: [plan].into_iter().collect(),
        access_rights: [("api-1".to_owned(), access())].into_iter().collect(),
        ..Session::default()
    }));
    let object = suite.succeed(object);
    for (name, value) in [
        ("X-Plan", "premium"),
        ("X-Rate", "0.5"),
        ("X-Expires", "4102444800"),
        ("X-Alias", "caller"),
        ("X-Tags", "red,blue"),
        ("X-Versions", "Default"),
    ] {
        assert_eq!(sent(&object, name), Some(value), "{name}");
    }
}

pub(super) fn spec_entries_are_shown(suite: &Suite) {
    let mut object = suite.object("read_spec", HookType::Pre);
    object.spec = Arc::new(Spec {
        org_id: "org-2".to_owned(),
        api_id: "api-2".to_owned(),
        bundle_hash: "0123".to_owned(),
        config_data: Some(r#"{"a":[1,null]}"#.to_owned()),
        ..Spec::default()
    });
    let object = suite.succeed(object);
    for (name, value) in [
        ("X-Org", "org-2"),
        ("X-Api", "api-2"),
        ("X-Bundle", "0123"),
        ("X-Config", r#"{"a":[1,null]}"#),
    ] {
        assert_eq!(sent(&object, name), Some(value), "{name}");
    }
}

pub(super) fn config_data_is_absent_when_there_is_none(suite: &Suite) {
    let object = suite.pre("read_spec");
    assert_eq!(sent(&object, "X-Config"), Some("absent"));
    assert_eq!(sent(&object, "X-Api"), Some("api-1"));
}

/// The token as the gateway finds it: the metadata beside the session wins over the
/// session's own.
fn token(object: &Object) -> Option<&str> {
    let own = object.session.as_ref().map(|session| &session.metadata);
    let merged = object.metadata.get("token").or_else(|| own?.get("token"));
    merged.map(String::as_str).filter(|token| !token.is_empty())
}

fn access() -> AccessDefinition {
    AccessDefinition {
        api_name: "First".to_owned(),
        api_id: "api-1".to_owned(),
        versions: vec!["Default".to_owned()],
        allowed_urls: vec![AccessSpec {
            url: "/a".to_owned(),
            methods: vec!["GET".to_owned()],
        }],
        ..AccessDefinition::default()
    }
}

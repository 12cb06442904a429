//! Cases about the request: what a hook sees of it and changes in it.

use std::net::Ipv6Addr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method};

use super::Suite;
use crate::{HookType, Object, RequestId, Spec};

pub(super) fn a_set_header_is_in_the_object(suite: &Suite) {
    let object = suite.pre("set_header");
    assert_eq!(sent(&object, "X-Plugin"), Some("set"));
    assert_eq!(object.request.set_headers.len(), 1);
}

pub(super) fn a_deleted_header_is_gone(suite: &Suite) {
    let object = suite.pre("delete_header");
    assert_eq!(sent(&object, "X-Remove"), None);
    assert_eq!(sent(&object, "X-Request-Id"), Some("id-1"));
}

pub(super) fn setting_a_header_wins_over_deleting_it(suite: &Suite) {
    let object = suite.pre("set_and_delete_header");
    assert_eq!(sent(&object, "X-Both"), Some("kept"));
}

pub(super) fn headers_are_found_in_any_case(suite: &Suite) {
    let object = suite.pre("read_header");
    assert_eq!(sent(&object, "X-Seen"), Some("id-1"));
    assert_eq!(sent(&object, "X-Missing"), Some("none"));
}

pub(super) fn headers_are_listed_under_canonical_names(suite: &Suite) {
    let object = suite.pre("list_headers");
    assert_eq!(sent(&object, "X-Names"), Some("Host,X-Remove,X-Request-Id"));
}

pub(super) fn what_the_gateway_knows_of_the_request_is_shown(suite: &Suite) {
    let mut object = suite.object("read_additions", HookType::Pre);
    object.request.client_address = Some(Ipv6Addr::LOCALHOST.into());
    object.request.request_id = RequestId(0xabc);
    for value in ["one", "two"] {
        let value = HeaderValue::from_static(value);
        object.request.headers.append("x-many", value);
    }
    object.spec = Arc::new(Spec {
        listen_path: "/things/".to_owned(),
        ..Spec::default()
    });
    let subject = [("subject".to_owned(), "CN=me".to_owned())];
    object.request.client_certificate = Some(Arc::new(subject.into()));
    let object = suite.succeed(object);
    assert_eq!(sent(&object, "X-Certificate"), Some("CN=me"));
    assert_eq!(sent(&object, "X-Client"), Some("::1"));
    assert_eq!(sent(&object, "X-Listen"), Some("/things/"));
    let id = format!("{}abc", "0".repeat(29));
    assert_eq!(sent(&object, "X-Id"), Some(id.as_str()));
    assert_eq!(sent(&object, "X-All"), Some("one|two"));
}

pub(super) fn query_parameters_are_read_added_and_deleted(suite: &Suite) {
    let object = suite.pre("change_params");
    assert_eq!(sent(&object, "X-Param"), Some("a b"));
    assert_eq!(object.request.add_params["added"], "1 & 2");
    assert_eq!(object.request.delete_params, ["removed"]);
}

pub(super) fn the_url_can_be_replaced(suite: &Suite) {
    let object = suite.pre("change_url");
    let original = "/things/1?kept=a%20b&removed=x&kept=second";
    assert_eq!(sent(&object, "X-Was"), Some(original));
    assert_eq!(object.request.url(), "/rewritten?x=1");
    assert_eq!(object.request.request_uri(), original);
}

pub(super) fn the_method_can_be_replaced(suite: &Suite) {
    let object = suite.pre("change_method");
    assert_eq!(sent(&object, "X-Was"), Some("GET"));
    assert_eq!(sent(&object, "X-Scheme"), Some("http"));
    assert_eq!(sent(&object, "X-Uri"), Some(object.request.request_uri()));
    assert_eq!(object.request.method, Method::PUT);
}

pub(super) fn an_untouched_request_comes_back_as_it_was(suite: &Suite) {
    let mut before = suite.object("log_levels", HookType::Pre);
    before.request.raw_body = Bytes::from_static(b"body \xff");
    let headers = before.request.headers.clone();
    let after = suite.succeed(before).request;
    assert_eq!(after.headers, headers);
    assert_eq!(after.raw_body, &b"body \xff"[..]);
    assert_eq!(after.method, Method::GET);
    assert_eq!(after.url, None);
    assert_eq!(after.return_overrides.response_code, -1);
    assert!(after.set_headers.is_empty() && after.delete_headers.is_empty());
    assert!(after.add_params.is_empty() && after.delete_params.is_empty());
}

pub(super) fn a_hook_can_answer_in_place_of_the_upstream(suite: &Suite) {
    let overrides = suite.pre("override_response").request.return_overrides;
    assert_eq!(overrides.response_code, 418);
    assert_eq!(overrides.response_body, "short and stout");
    assert_eq!(overrides.headers["X-Reason"], "tea");
    assert!(overrides.override_error);
    assert_eq!(overrides.response_error, "");
}

pub(super) fn a_hook_can_answer_with_an_error(suite: &Suite) {
    let overrides = suite.pre("override_error").request.return_overrides;
    assert_eq!(overrides.response_code, 400);
    assert_eq!(overrides.response_error, "not like this");
    assert!(!overrides.override_error);
}

pub(super) fn a_binary_body_is_exact_and_empty_as_text(suite: &Suite) {
    let mut object = suite.object("reverse_raw_body", HookType::Pre);
    object.request.raw_body = (0..=255).collect();
    let body = suite.succeed(object).request.raw_body;
    assert_eq!(body, (0..=255).rev().collect::<Bytes>());
}

pub(super) fn a_text_body_can_be_replaced(suite: &Suite) {
    let mut object = suite.object("replace_text_body", HookType::Pre);
    object.request.raw_body = Bytes::from("é text");
    assert_eq!(suite.succeed(object).request.raw_body, "é text!");
}

pub(super) fn a_body_can_be_emptied(suite: &Suite) {
    let mut object = suite.object("empty_body", HookType::Pre);
    object.request.raw_body = Bytes::from("text");
    assert_eq!(suite.succeed(object).request.raw_body, "");
}

pub(super) fn raw_body_only_hides_the_text(suite: &Suite) {
    let mut object = suite.object("reverse_raw_body", HookType::Pre);
    object.request.raw_body = Bytes::from("text");
    object.request.raw_body_only = true;
    assert_eq!(suite.succeed(object).request.raw_body, "txet");
}

/// The header as the upstream would get it: deletions first, then what is set.
pub(super) fn sent<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    let request = &object.request;
    let is_named = |other: &str| other.eq_ignore_ascii_case(name);
    let set = request
        .set_headers
        .iter()
        .filter(|(key, _)| is_named(key))
        .last();
    if let Some((_, value)) = set {
        return Some(value);
    }
    if request.delete_headers.iter().any(|other| is_named(other)) {
        return None;
    }
    let value = request.headers.get(name)?;
    Some(value.to_str().expect("the cases use text headers"))
}

//! Cases about the upstream's response.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::Suite;
use crate::{HookType, Object, Response, ResponseHeaders, Session};

pub(super) fn a_response_hook_rewrites_status_body_and_headers(suite: &Suite) {
    let response = answer(suite, "rewrite_response", Bytes::from("body"));
    assert_eq!(response.status_code, 202);
    assert_eq!(response.raw_body, "body!");
    let edited = edited(&response);
    assert_eq!(edited.headers["X-Added"], "yes");
    assert_eq!(edited.headers.get("X-Remove"), None);
    assert_eq!(edited.headers["Content-Type"], "text/plain");
    let mut cookies = edited.multivalue_headers.iter();
    let cookies = cookies.find(|header| header.key == "Set-Cookie");
    assert_eq!(cookies.expect("cookies stay").values, ["a=1", "b=2"]);
}

pub(super) fn one_of_two_cookies_can_be_edited(suite: &Suite) {
    let response = answer(suite, "edit_cookie", Bytes::new());
    let edited = edited(&response);
    let cookies = edited
        .multivalue_headers
        .iter()
        .find(|header| header.key == "Set-Cookie");
    assert_eq!(cookies.expect("cookies stay").values, ["a=1", "b=changed"]);
    assert_eq!(edited.headers, response.header_views().headers);
}

pub(super) fn a_binary_response_body_is_empty_as_text(suite: &Suite) {
    let body = Bytes::from_static(b"\xff\x00");
    let response = answer(suite, "read_response_body", body.clone());
    assert_eq!(edited(&response).headers["X-Body"], "empty");
    assert_eq!(response.raw_body, body);
    assert_eq!(response.status_code, 200);
}

/// What a response hook makes of a plain response with two cookies.
fn answer(suite: &Suite, name: &str, raw_body: Bytes) -> Box<Response> {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "text/plain"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-remove", "old"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    let object = Object {
        session: Some(Box::default()),
        response: Some(Box::new(Response {
            status_code: 200,
            headers,
            edited_headers: None,
            header_edits: Vec::new(),
            raw_body,
            raw_body_only: false,
        })),
        ..suite.object(name, HookType::Response)
    };
    let object = suite.succeed(object);
    assert_eq!(object.session.as_deref(), Some(&Session::default()));
    object
        .response
        .expect("a response hook gives the response back")
}

/// The headers as the hook left them: beside those that were sent, or in their place.
fn edited(response: &Response) -> ResponseHeaders {
    let edited = response.edited();
    edited.unwrap_or_else(|| response.header_views())
}

//! What a reply changes in the object that was sent.
//!
//! Servers are lenient with messages that they do not know all fields of, and so is this: a
//! message that is not there, or was made afresh instead of being sent back, changes nothing
//! but what it says.

use bytes::Bytes;
use coprocess_core::{
    Header, Object, Request, Response, ResponseHeaders, ReturnOverrides, StringMap,
};
use http::Method;

use crate::{proto, session};

/// Puts a reply into the object that was sent; what is wrong with it where it cannot be.
pub(crate) fn reply(reply: proto::Object, object: &mut Object) -> Result<(), String> {
    if let Some(message) = reply.request {
        request(message, &mut object.request)?;
    }
    match (&mut object.response, reply.response) {
        (Some(sent), Some(message)) => response(message, sent),
        (Some(_), None) => return Err("sent no response back".to_owned()),
        (None, _) => {}
    }
    object.session = reply.session.map(session::session).map(Box::new);
    object.metadata = reply.metadata.into_iter().collect();
    Ok(())
}

fn request(message: proto::MiniRequestObject, request: &mut Request) -> Result<(), String> {
    if let Some(body) = changed_body(&message, request) {
        request.raw_body = body;
    }
    // A request has a target and a method; a message without says nothing about them.
    if !message.url.is_empty() && message.url != request.url() {
        request.url = Some(message.url);
    }
    if !message.method.is_empty() && message.method != request.method.as_str() {
        let method = Method::from_bytes(message.method.as_bytes());
        request.method =
            method.map_err(|_| format!("set the method to {:?}, which is none", message.method))?;
    }
    let map = |map: std::collections::BTreeMap<_, _>| -> StringMap { map.into_iter().collect() };
    request.set_headers = map(message.set_headers);
    request.delete_headers = message.delete_headers;
    request.add_params = map(message.add_params);
    request.extended_params = map(message.extended_params);
    request.delete_params = message.delete_params;
    if let Some(overrides) = message.return_overrides {
        request.return_overrides = ReturnOverrides {
            response_code: overrides.response_code,
            response_error: overrides.response_error,
            headers: map(overrides.headers),
            override_error: overrides.override_error,
            response_body: overrides.response_body,
        };
    }
    Ok(())
}

/// The new body, if the reply has one.
///
/// Servers that were built before there was `raw_body` do not send it back. Theirs is told
/// from an empty body by `body`, which they send as it was; so who empties a body that is
/// text has to empty both. A message without a target was made afresh.
fn changed_body(message: &proto::MiniRequestObject, sent: &Request) -> Option<Bytes> {
    if !message.raw_body.is_empty() {
        return Some(message.raw_body.clone());
    }
    let afresh = message.url.is_empty() && message.method.is_empty();
    let dropped = message.body == sent.body();
    (!afresh && !dropped).then(Bytes::new)
}

fn response(message: proto::ResponseObject, response: &mut Response) {
    let shown = response.header_views();
    let header = |proto::Header { key, values }| Header { key, values };
    let mut edited = ResponseHeaders {
        headers: message.headers.into_iter().collect(),
        multivalue_headers: message.multivalue_headers.into_iter().map(header).collect(),
    };
    // Not known to servers that were built before there was this form.
    if edited.multivalue_headers.is_empty() && !edited.headers.is_empty() {
        edited
            .multivalue_headers
            .clone_from(&shown.multivalue_headers);
    }
    if edited != shown {
        response.edited_headers = Some(edited);
    }
    response.status_code = message.status_code;
    response.raw_body = message.raw_body;
}

//! From the object of a hook to the message that is sent.

use std::collections::BTreeMap;

use coprocess_core::{
    Header, HookType, Object, Request, Response, ReturnOverrides, Spec, StringMap,
};

use crate::{proto, session};

/// The message for an object.
pub(crate) fn message(object: &Object) -> proto::Object {
    let spec = object.spec.entries();
    proto::Object {
        hook_type: object.hook_type as i32,
        hook_name: object.hook_name.to_string(),
        request: Some(request(&object.request, &object.spec)),
        session: session(object),
        metadata: map(&object.metadata),
        spec: spec
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        response: object.response.as_deref().map(response),
    }
}

/// Never absent in response hooks, as in the original, so that a plugin need not ask there.
fn session(object: &Object) -> Option<proto::SessionState> {
    match object.session.as_deref() {
        None if object.hook_type == HookType::Response => Some(proto::SessionState::default()),
        session => session.map(session::message),
    }
}

fn request(request: &Request, spec: &Spec) -> proto::MiniRequestObject {
    let client = request.client_address;
    proto::MiniRequestObject {
        headers: request.header_view().into_iter().collect(),
        set_headers: map(&request.set_headers),
        delete_headers: request.delete_headers.clone(),
        body: request.body().to_owned(),
        url: request.url().to_owned(),
        params: request.params().into_iter().collect(),
        add_params: map(&request.add_params),
        extended_params: map(&request.extended_params),
        delete_params: request.delete_params.clone(),
        return_overrides: Some(overrides(&request.return_overrides)),
        method: request.method.to_string(),
        request_uri: request.request_uri().to_owned(),
        scheme: request.scheme.to_owned(),
        raw_body: request.raw_body.clone(),
        multivalue_headers: headers(request.multivalue_headers()),
        client_address: client.map_or_else(String::new, |address| address.to_string()),
        listen_path: spec.listen_path.clone(),
        request_id: request.request_id.to_string(),
        client_certificate: request
            .client_certificate
            .as_deref()
            .map(map)
            .unwrap_or_default(),
    }
}

fn overrides(overrides: &ReturnOverrides) -> proto::ReturnOverrides {
    proto::ReturnOverrides {
        response_code: overrides.response_code,
        response_error: overrides.response_error.clone(),
        headers: map(&overrides.headers),
        override_error: overrides.override_error,
        response_body: overrides.response_body.clone(),
    }
}

fn response(response: &Response) -> proto::ResponseObject {
    let views = response.header_views();
    proto::ResponseObject {
        status_code: response.status_code,
        raw_body: response.raw_body.clone(),
        body: response.body().to_owned(),
        headers: views.headers.into_iter().collect(),
        multivalue_headers: headers(views.multivalue_headers),
    }
}

fn headers(headers: Vec<Header>) -> Vec<proto::Header> {
    let message = |Header { key, values }| proto::Header { key, values };
    headers.into_iter().map(message).collect()
}

pub(crate) fn map(map: &StringMap) -> BTreeMap<String, String> {
    map.iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

// The numbers of the two are the same; the compiler says so should one of them change.
const _: () = {
    assert!(HookType::Pre as i32 == proto::HookType::Pre as i32);
    assert!(HookType::Post as i32 == proto::HookType::Post as i32);
    assert!(HookType::PostKeyAuth as i32 == proto::HookType::PostKeyAuth as i32);
    assert!(HookType::CustomKeyCheck as i32 == proto::HookType::CustomKeyCheck as i32);
    assert!(HookType::Response as i32 == proto::HookType::Response as i32);
};

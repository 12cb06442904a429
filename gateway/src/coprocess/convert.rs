//! From an exchange to the object that a hook sees, and back.
//!
//! The header map and the body move into the object and out again. Whatever a hook left in
//! the object is checked before it touches the request: no hook can make the gateway send a
//! malformed byte.

use std::sync::Arc;

use bytes::Bytes;
use coprocess_core::{HookType, Object, Request, Response, Session, StringMap, is_gateways_own};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

use super::{HookCall, HookStep, overrides, query};
use crate::definition::BodyMode;
use crate::edge::{Policy, target};
use crate::events::{Meta, names};
use crate::exchange::Exchange;
use crate::session::record::TOKEN;
use crate::traffic::Loop;
use crate::upstream::body::{RequestBody, ResponseBody};

/// What the hook left behind cannot be used, and why.
pub(super) type Unusable = String;

/// What a request hook left, once its edits are in the exchange.
pub(super) enum Applied {
    /// It answers the client itself.
    Answer(http::Response<ResponseBody>),
    /// The request goes on, with this for its session where the hook is one that makes one.
    GoesOn {
        session: Option<Box<Session>>,
        metadata: StringMap,
    },
}

/// The object for a request hook. Headers and body are moved out of the exchange.
pub(super) fn request_object(step: &HookStep, call: &HookCall, exchange: &mut Exchange) -> Object {
    let sees_session = !matches!(step.hook_type, HookType::Pre | HookType::CustomKeyCheck);
    let session = exchange.session.as_ref().filter(|_| sees_session);
    let session = session.map(|session| Box::new(Session::clone(session)));
    let headers = std::mem::take(&mut exchange.head.headers);
    let raw_body = match call.body {
        BodyMode::Buffer => exchange.body.take_whole().unwrap_or_default(),
        BodyMode::Stream => Bytes::new(),
    };
    object(step, call, exchange, headers, raw_body, session)
}

/// The object for a response hook. The upstream's headers are moved in.
pub(super) fn response_object(
    step: &HookStep,
    call: &HookCall,
    exchange: &mut Exchange,
    head: Parts,
    shown: Bytes,
) -> Object {
    let session = exchange.session.as_deref().cloned().map(Box::new);
    let headers = std::mem::take(&mut exchange.head.headers);
    let mut object = object(step, call, exchange, headers, Bytes::new(), session);
    object.response = Some(Box::new(Response {
        status_code: head.status.as_u16().into(),
        headers: head.headers,
        edited_headers: None,
        header_edits: Vec::new(),
        raw_body: shown,
        raw_body_only: call.raw_body_only,
    }));
    object
}

fn object(
    step: &HookStep,
    call: &HookCall,
    exchange: &Exchange,
    headers: HeaderMap,
    raw_body: Bytes,
    session: Option<Box<Session>>,
) -> Object {
    Object {
        hook_type: step.hook_type,
        hook_name: Arc::clone(&step.name),
        hook: call.hook.clone(),
        request: Box::new(Request {
            scheme: exchange.scheme,
            raw_body,
            raw_body_only: call.raw_body_only,
            client_address: Some(exchange.client.address.ip().to_canonical()),
            client_certificate: exchange.client.certificate(),
            request_id: exchange.id,
            version: exchange.head.version,
            received: Some(exchange.received),
            ..Request::new(
                exchange.head.method.clone(),
                exchange.head.uri.clone(),
                headers,
            )
        }),
        metadata: session
            .as_ref()
            .map(|session| session.metadata.clone())
            .unwrap_or_default(),
        session,
        spec: Arc::clone(&exchange.api.spec),
        response: None,
        time_limit: call.time_limit,
    }
}

/// Takes back what a request hook left.
pub(super) fn apply(
    call: &HookCall,
    mut object: Object,
    exchange: &mut Exchange,
) -> Result<Applied, Unusable> {
    let request = &mut object.request;
    exchange.head.headers = std::mem::take(&mut request.headers);
    if call.body == BodyMode::Buffer {
        apply_body(std::mem::take(&mut request.raw_body), exchange);
    }
    apply_headers(request, &mut exchange.head.headers)?;
    apply_url(request, exchange)?;
    exchange.head.method = std::mem::take(&mut request.method);
    if request.return_overrides.response_code > 0 {
        let overrides = std::mem::take(&mut request.return_overrides);
        if overrides::is_refusal(&overrides) {
            let own = object.metadata.get(TOKEN);
            let other = || object.session.as_ref()?.metadata.get(TOKEN);
            let key = own.or_else(other).map_or("", String::as_str);
            let meta = || Meta::of_key("Auth Failure", exchange, key);
            exchange.api.events.fire(names::AUTH_FAILURE, meta);
        }
        return Ok(Applied::Answer(overrides::answer(overrides, exchange)?));
    }
    let (session, metadata) = (object.session, object.metadata);
    Ok(Applied::GoesOn { session, metadata })
}

/// Puts a body that is held into the exchange, with the framing that it has from now on.
pub(crate) fn apply_body(body: Bytes, exchange: &mut Exchange) {
    let headers = &mut exchange.head.headers;
    let says_framing =
        |name: &HeaderName| matches!(*name, header::CONTENT_LENGTH | header::TRANSFER_ENCODING);
    if body.is_empty() && !headers.keys().any(says_framing) {
        exchange.body = RequestBody::Whole(body);
        return;
    }
    // A held body has a length, whatever framing the client chose.
    let said = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let said = said.and_then(|text| text.parse::<usize>().ok());
    if headers.remove(header::TRANSFER_ENCODING).is_some()
        || said.map_or(!body.is_empty(), |said| said != body.len())
    {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    exchange.body = RequestBody::Whole(body);
}

fn apply_headers(request: &Request, headers: &mut HeaderMap) -> Result<(), Unusable> {
    for name in &request.delete_headers {
        // A name that cannot be a header's is not there, so it is deleted already.
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes())
            && !is_gateways_own(&name)
        {
            headers.remove(name);
        }
    }
    for (name, value) in &request.set_headers {
        let (name, value) = header_field(name, value)?;
        if !is_gateways_own(&name) {
            headers.try_insert(name, value).map_err(too_many)?;
        }
    }
    Ok(())
}

/// What is wrong when a hook has set some 24,000 header fields.
pub(super) fn too_many<E>(_: E) -> Unusable {
    "hook left more header fields than a message can have".to_owned()
}

/// A header field out of plugin text, or what is wrong with it.
pub(super) fn header_field(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Unusable> {
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("hook set header {name:?}, which is not a header name"))?;
    let value = HeaderValue::from_str(value).map_err(|_| {
        format!("hook set header {name:?} to a value with a control character: {value:?}")
    })?;
    Ok((parsed, value))
}

fn apply_url(request: &Request, exchange: &mut Exchange) -> Result<(), Unusable> {
    let edits = !request.add_params.is_empty() || !request.delete_params.is_empty();
    if request.url.is_none() && !edits {
        return Ok(());
    }
    let base = match &request.url {
        Some(url) => {
            let elsewhere = Loop::parse(url).transpose();
            let elsewhere = elsewhere.map_err(|error| format!("hook set url to {error}"))?;
            let (to, url) = match elsewhere {
                Some((to, uri)) => (Some(to), uri.to_string()),
                None => (None, url.to_string()),
            };
            if to.is_some() || exchange.traffic.is_some() {
                exchange.notes().loop_to = to;
            }
            parse_url(&url, exchange.policy)?
        }
        None => request.uri.clone(),
    };
    let uri = if edits {
        query::edit(&base, request)?
    } else {
        base
    };
    exchange.retarget(uri);
    Ok(())
}

fn parse_url(url: &str, policy: Policy) -> Result<Uri, Unusable> {
    let wrong = |reason: &str| format!("hook set url to {url:?}, {reason}");
    let uri: Uri = url.parse().map_err(|_| wrong("which is not a URL"))?;
    match uri.scheme_str() {
        None if !url.starts_with('/') => {
            return Err(wrong("which neither begins with `/` nor has a scheme"));
        }
        None | Some("http" | "https") => {}
        Some(_) => return Err(wrong("whose scheme is not implemented")),
    }
    // The upstream is the API's; only path and query of the new URL count.
    let target = uri.path_and_query().cloned();
    let target = target.map_or_else(|| Uri::from_static("/"), Uri::from);
    target::check(&target, policy).map_err(&wrong)?;
    Ok(target)
}

//! One run of one hook, as the only step of an API's chain.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use coprocess_core::{HookType, RequestId, Session, Spec};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use serde_json::{Map, Value};

use super::Problem;
use super::input::{Input, Values};
use super::outcome::{Effect, Message, Start};
use crate::api::Api;
use crate::chain::{Chain, Flow};
use crate::coprocess::{AuthStep, HookStep};
use crate::edge::Policy;
use crate::error::{ErrorFormat, ErrorStyle, ProxyError};
use crate::events::ApiEvents;
use crate::exchange::{Exchange, Peer};
use crate::session::Sessions;
use crate::session::lifetime::Lifetime;
use crate::session::record::Record;
use crate::upstream::body::{RequestBody, ResponseBody};

/// A run that is about to happen.
pub(super) struct Trial {
    exchange: Exchange,
    response: Option<Response<ResponseBody>>,
    /// What the hook is called on.
    pub(super) before: Message,
    step: HookStep,
    sessions: Arc<Sessions>,
}

impl Trial {
    pub(super) fn new(
        step: HookStep,
        sessions: Arc<Sessions>,
        events: ApiEvents,
        input: &Input,
    ) -> Result<Self, Problem> {
        let exchange = exchange(input, events).map_err(Problem::Usage)?;
        let response = (step.hook_type == HookType::Response).then(|| response(input));
        let response = response.transpose().map_err(Problem::Usage)?;
        let before = match &response {
            Some(response) => Message::of_response(response),
            None => Message::of_request(&exchange),
        };
        Ok(Self {
            exchange,
            response,
            before,
            step,
            sessions,
        })
    }

    /// Runs the step as the chain of an API does.
    pub(super) async fn go(self) -> Result<Effect, String> {
        let Self {
            mut exchange,
            response,
            step,
            sessions,
            ..
        } = self;
        if let Some(response) = response {
            let after = step.run_on_response(&mut exchange, response).await;
            let after = after.map_err(|error| reason(&error))?;
            return Ok(Effect::GoesOn(Message::of_response(&after)));
        }
        let authenticates = step.hook_type == HookType::CustomKeyCheck;
        let mut chain = Chain::default();
        if authenticates {
            chain.push(AuthStep {
                hook: step,
                extractor: None,
                sessions,
                lifetime: Lifetime::default(),
                provides_identity: true,
            });
        } else {
            chain.push(step);
        }
        let flow = chain.run(&mut exchange).await;
        let after = Message::of_request(&exchange);
        match (flow, &exchange.session) {
            (Ok(Flow::Respond(answer)), _) => {
                Ok(Effect::Answers(after, Message::of_response(&answer)))
            }
            (Ok(Flow::Continue | Flow::Forward), Some(session)) if authenticates => {
                Ok(Effect::Accepts(after, session_json(session)))
            }
            (Ok(Flow::Continue | Flow::Forward), _) => Ok(Effect::GoesOn(after)),
            (Err(ProxyError::AuthRejected), _) => Ok(Effect::Rejects(after)),
            (Err(error), _) => Err(reason(&error)),
        }
    }
}

/// What the log would say, which is more than a client is told.
fn reason(error: &ProxyError) -> String {
    match error {
        ProxyError::Hook(reason) | ProxyError::AuthHook(reason) => reason.clone(),
        other => other.to_string(),
    }
}

fn exchange(input: &Input, events: ApiEvents) -> Result<Exchange, String> {
    let uri: Uri = input
        .url
        .parse()
        .map_err(|error| format!("url {:?}: {error}", input.url))?;
    let method = Method::from_bytes(input.method.as_bytes())
        .map_err(|error| format!("method {:?}: {error}", input.method))?;
    let mut headers = headers(&input.headers)?;
    if !headers.contains_key(header::HOST) {
        let host = uri.authority().map_or("localhost", |host| host.as_str());
        let host = HeaderValue::from_str(host).map_err(|error| format!("url: {error}"))?;
        headers.insert(header::HOST, host);
    }
    let length = input.raw_body.len();
    if length > 0 {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    // As it is on the wire: the host is in its header.
    let target = uri.path_and_query().cloned();
    let target = target.map_or_else(|| Uri::from_static("/"), Uri::from);
    let scheme = match uri.scheme_str() {
        Some("https") => "https",
        _ => "http",
    };
    let content_type = headers.get(header::CONTENT_TYPE);
    let format = ErrorFormat::for_content_type(content_type);
    let mut head = Request::new(()).into_parts().0;
    (head.method, head.uri, head.headers) = (method, target, headers);
    let listens = head.uri.path().starts_with(&input.listen_path);
    Ok(Exchange {
        api: Arc::new(Api::without_hooks(spec(input), events)),
        listen_length: if listens { input.listen_path.len() } else { 0 },
        head,
        body: RequestBody::Whole(input.raw_body.clone()),
        client: Peer::new(SocketAddr::new(input.client_address, 0)),
        id: RequestId(1),
        received: SystemTime::now(),
        error_style: ErrorStyle {
            format,
            hide_generator: false,
        },
        policy: Policy {
            allow_encoded_slash: false,
            max_head_bytes: usize::MAX,
            max_headers: usize::MAX,
        },
        scheme,
        session: input.session.as_ref().map(session).transpose()?,
        unsaved: None,
        limits: None,
        upgrade: None,
        version: None,
        traffic: None,
    })
}

fn spec(input: &Input) -> Spec {
    let shown = !input.config_data.is_empty();
    Spec {
        org_id: input.org_id.clone(),
        api_id: input.api_id.clone(),
        bundle_hash: String::new(),
        config_data: shown.then(|| Value::from(input.config_data.clone()).to_string()),
        listen_path: input.listen_path.clone(),
    }
}

fn headers<'a>(
    named: impl IntoIterator<Item = (&'a String, &'a Values)>,
) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, values) in named {
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|error| format!("header {name:?}: {error}"))?;
        for value in values.all() {
            let value = HeaderValue::from_str(value)
                .map_err(|error| format!("header {name:?}: {value:?}: {error}"))?;
            headers.append(&parsed, value);
        }
    }
    Ok(headers)
}

fn response(input: &Input) -> Result<Response<ResponseBody>, String> {
    let said = input.response.clone().unwrap_or_default();
    let mut response = Response::new(ResponseBody::full(said.raw_body.clone()));
    *response.status_mut() = StatusCode::from_u16(said.status)
        .map_err(|error| format!("response.status {}: {error}", said.status))?;
    let mut headers = headers(&said.headers).map_err(|error| format!("response: {error}"))?;
    headers.insert(header::CONTENT_LENGTH, said.raw_body.len().into());
    *response.headers_mut() = headers;
    Ok(response)
}

/// The session of a file: the names are those of the admin API, and the metadata may have
/// the name that plugins know.
fn session(said: &Map<String, Value>) -> Result<Arc<Session>, String> {
    let mut said = said.clone();
    if let Some(metadata) = said.remove("metadata") {
        said.insert("meta_data".to_owned(), metadata);
    }
    let text = Value::from(said).to_string();
    let record = Record::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    let session = record.session();
    session
        .map(Arc::new)
        .map_err(|error| format!("session: {error}"))
}

fn session_json(session: &Session) -> Value {
    let mut record = Record::default();
    record.apply(session);
    record.into_value()
}

// === impl Message ===

impl Message {
    fn of_request(exchange: &Exchange) -> Self {
        Self {
            start: Start::Request {
                method: exchange.head.method.to_string(),
                url: exchange.head.uri.to_string(),
            },
            headers: exchange.head.headers.clone(),
            body: match &exchange.body {
                RequestBody::Whole(body) => body.clone(),
                RequestBody::Stream(..) => Bytes::new(),
            },
        }
    }

    fn of_response(response: &Response<ResponseBody>) -> Self {
        Self {
            start: Start::Response {
                status: response.status().as_u16(),
            },
            headers: response.headers().clone(),
            body: match response.body() {
                ResponseBody::Whole(body) => body.clone(),
                ResponseBody::Upstream(..) | ResponseBody::Control(_) => Bytes::new(),
            },
        }
    }
}

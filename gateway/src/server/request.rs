//! One request, from the connection to its answer.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::{ArcSwap, Cache};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tower::ServiceExt;
use tracing::{debug, warn};

use super::drain::Drain;
use super::request_id;
use crate::admin;
use crate::api::{Api, ApiTable};
use crate::chain::Flow;
use crate::config::Config;
use crate::edge::{self, Policy, Verdict};
use crate::error::{ErrorFormat, ErrorStyle, METHODS, ProxyError, plain};
use crate::events::tell_refusal;
use crate::exchange::{Exchange, Peer};
use crate::limits::headers::LimitValues;
use crate::tls::server::Termination;
use crate::traffic::addresses::Addresses;
use crate::upstream::body::{RequestBody, ResponseBody};
use crate::upstream::{Upstream, tunnel};

static FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What a data-plane thread is made from.
pub(super) struct Seed {
    pub(super) config: Arc<Config>,
    pub(super) table: Arc<ArcSwap<ApiTable>>,
    pub(super) router: axum::Router,
    pub(super) control: Handle,
    pub(super) termination: Option<Arc<Termination>>,
}

/// A data-plane thread's own state.
pub(super) struct Worker {
    pub(super) config: Arc<Config>,
    pub(super) upstream: Upstream,
    pub(super) drain: Drain,
    pub(super) termination: Option<Arc<Termination>>,
    /// Remembers the newest table, so that a look at it is not a write to shared memory.
    table: RefCell<Cache<Arc<ArcSwap<ApiTable>>, Arc<ApiTable>>>,
    router: axum::Router,
    control: Handle,
    policy: Policy,
    /// Who may say how a client has reached them.
    proxies: Addresses,
}

/// What becomes of a request, as far as that is known without waiting.
enum Begun {
    /// It goes through an API's chain.
    Exchange(Box<Exchange>),
    /// It is for the control plane.
    Control(Box<Request<Incoming>>),
    /// It is answered already.
    Answered(Box<Response<ResponseBody>>),
}

impl Worker {
    pub(super) fn new(seed: Seed) -> Self {
        let Seed {
            config,
            table,
            router,
            control,
            termination,
        } = seed;
        let time_limit = Duration::from_secs(config.proxy_default_timeout);
        let upstream = Upstream::new(time_limit, &config.http_server_options.via);
        let policy = Policy {
            allow_encoded_slash: config.http_server_options.allow_encoded_slash,
            max_head_bytes: config.http_server_options.max_request_header_bytes,
            max_headers: config.http_server_options.max_request_headers,
        };
        let proxies = Addresses::parse(&config.http_server_options.trusted_proxies);
        // What cannot be read is told when the configuration is read; nobody is trusted then.
        let proxies = proxies.unwrap_or_default();
        Self {
            config,
            upstream,
            drain: Drain::default(),
            termination,
            table: RefCell::new(Cache::new(table)),
            router,
            control,
            policy,
            proxies,
        }
    }

    /// Lets go of what nobody uses: connections that were idle for long, and the table that
    /// a reload has replaced, with all its plugins. Without requests nothing else would.
    pub(super) fn sweep(&self) {
        self.upstream.sweep();
        let _newest = self.table.borrow_mut().load();
    }

    /// Answers a request. Every failure becomes an answer here, and only here.
    ///
    /// What needs no waiting is done before there is a future. The future is boxed: it is
    /// as large as all that it may hold, and hyper moves it several times.
    pub(super) fn handle(
        self: Rc<Self>,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> Pin<Box<impl Future<Output = Response<ResponseBody>> + use<>>> {
        let content_type = request.headers().get(header::CONTENT_TYPE);
        let style = ErrorStyle {
            format: ErrorFormat::for_content_type(content_type),
            hide_generator: self.config.hide_generator_header,
        };
        let close = self.config.close_connections;
        let client = peer.address;
        let is_head = request.method() == Method::HEAD;
        let begun = self.begin(request, peer, style);
        Box::pin(async move {
            let outcome = match begun {
                Ok(Begun::Exchange(mut exchange)) => {
                    let outcome = self.process(&mut exchange).await;
                    finish(outcome, &mut exchange)
                }
                // Boxed, like everything that most requests do not need.
                Ok(Begun::Control(request)) => Box::pin(self.hand_over(*request)).await,
                Ok(Begun::Answered(response)) => Ok(*response),
                Err(error) => Err(error),
            };
            let mut response = outcome.unwrap_or_else(|error| {
                debug!(%client, %error, "Request refused.");
                error.into_response(&style)
            });
            settle(&mut response, is_head, close);
            response
        })
    }

    fn begin(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
        error_style: ErrorStyle,
    ) -> Result<Begun, ProxyError> {
        let (mut head, body) = request.into_parts();
        if edge::check(&mut head, self.policy)? == Verdict::AnswerHere {
            return Ok(Begun::Answered(Box::new(options_answer())));
        }
        if admin::owns_path(&self.config, head.uri.path()) {
            return Ok(Begun::Control(Box::new(Request::from_parts(head, body))));
        }
        let mut names = head.headers.keys();
        if names.any(|name| *name == FORWARDED_PROTO) && !self.proxies.contains(peer.address.ip()) {
            // Anybody could say that they came through TLS.
            head.headers.remove(&FORWARDED_PROTO);
        }
        // The table may be swapped while the request runs; it goes on with its API.
        let mut table = self.table.borrow_mut();
        let (api, listen_length) = table
            .load()
            .router
            .find(head.uri.path())
            .ok_or(ProxyError::RouteNotFound)?;
        let wants_upgrade =
            self.config.http_server_options.enable_websockets && tunnel::is_wanted(&head);
        let upgrade = head.extensions.remove().filter(|_| wants_upgrade);
        Ok(Begun::Exchange(Box::new(Exchange {
            api: Arc::clone(api),
            head,
            body: RequestBody::incoming(body, &peer.phase),
            listen_length,
            client: peer.clone(),
            id: request_id::next(),
            received: SystemTime::now(),
            error_style,
            policy: self.policy,
            scheme: peer.scheme(),
            session: None,
            unsaved: None,
            limits: None,
            upgrade,
            version: None,
            traffic: None,
        })))
    }

    async fn process(&self, exchange: &mut Exchange) -> Result<Response<ResponseBody>, ProxyError> {
        loop {
            let api = Arc::clone(&exchange.api);
            if let Some(inquiry) = &api.inquiry
                && inquiry.is_asked(exchange)
            {
                let answered = Box::pin(inquiry.answer(exchange)).await;
                return answered.inspect_err(|error| refused(error, exchange));
            }
            let outcome = api.request_chain.run(exchange).await;
            let flow = outcome.inspect_err(|error| refused(error, exchange))?;
            if let Flow::Respond(response) = flow {
                return Ok(response);
            }
            if exchange.traffic.is_some() && self.hands_over(exchange)? {
                continue;
            }
            let response = self.forward(exchange).await?;
            let mut response = respond(&api, exchange, response).await?;
            let keep = exchange.traffic.as_mut();
            if let Some(keep) = keep.and_then(|traffic| traffic.keep.take()) {
                response = keep.keep(response);
            }
            add_limits(response.headers_mut(), exchange);
            return Ok(response);
        }
    }

    /// Hands the request over to another API, if its chain has come to that. The API is one
    /// of the newest table.
    fn hands_over(&self, exchange: &mut Exchange) -> Result<bool, ProxyError> {
        let mut table = self.table.borrow_mut();
        exchange.hand_over(table.load())
    }

    async fn forward(&self, exchange: &mut Exchange) -> Result<Response<ResponseBody>, ProxyError> {
        let began = exchange.api.tally.as_ref().map(|_| Instant::now());
        let outcome = self.upstream.forward(exchange).await;
        if let (Some(tally), Some(began), Ok(_)) = (&exchange.api.tally, began, &outcome) {
            tally.note_answer(began.elapsed());
        }
        if let Err(error) = &outcome {
            let api = &*exchange.api;
            warn!(api = api.id, upstream = &*api.target.authority, %error, "Request failed.");
        }
        if exchange.traffic.is_some() {
            exchange.note_outcome(&outcome);
        }
        outcome
    }

    /// Lets the control plane answer, on its own runtime.
    async fn hand_over(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let request = request.map(axum::body::Body::new);
        let answering = self.control.spawn(self.router.clone().oneshot(request));
        let response = answering
            .await
            .map_err(|error| ProxyError::Internal(error.to_string()))?
            .unwrap_or_else(|never| match never {});
        Ok(response.map(ResponseBody::Control))
    }
}

/// Tells and counts a refusal.
fn refused(error: &ProxyError, exchange: &Exchange) {
    tell_refusal(error, exchange);
    if let Some(tally) = &exchange.api.tally {
        tally.note_refusal(error);
    }
}

/// Lets the response pass the steps and hooks of its API.
async fn respond(
    api: &Api,
    exchange: &mut Exchange,
    mut response: Response<ResponseBody>,
) -> Result<Response<ResponseBody>, ProxyError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(response);
    }
    for step in &api.response_steps {
        response = step.process(exchange, response).await?;
    }
    for hook in &api.response_hooks {
        response = Box::pin(hook.run_on_response(exchange, response)).await?;
    }
    Ok(response)
}

/// Puts on an answer what steps have noted for it, on an error's too.
fn finish(
    outcome: Result<Response<ResponseBody>, ProxyError>,
    exchange: &mut Exchange,
) -> Result<Response<ResponseBody>, ProxyError> {
    let Some(traffic) = &mut exchange.traffic else {
        return outcome;
    };
    let mut response = outcome.unwrap_or_else(|error| {
        debug!(client = %exchange.client.address, %error, "Request refused.");
        error.into_response(&exchange.error_style)
    });
    traffic.finish(&mut response);
    Ok(response)
}

/// Makes an answer one that its request can have: a HEAD, a 204 and a 304 have no content,
/// whoever made them (RFC 9110, 6.4.1). hyper sees to it in HTTP/1, but not in HTTP/2.
fn settle(response: &mut Response<ResponseBody>, is_head: bool, close: bool) {
    let status = response.status();
    if status == StatusCode::NO_CONTENT {
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    let without_content =
        is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if without_content && !response.body().is_end_stream() {
        if let Some(length) = response.body().size_hint().exact().filter(|_| is_head) {
            let length = HeaderValue::from(length);
            response
                .headers_mut()
                .entry(header::CONTENT_LENGTH)
                .or_insert(length);
        }
        *response.body_mut() = ResponseBody::empty();
    }
    if close && status != StatusCode::SWITCHING_PROTOCOLS {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// `X-RateLimit-*` on what came from an upstream: what a limit has said, or the session's
/// quota; zeros without one.
pub(crate) fn add_limits(headers: &mut HeaderMap, exchange: &Exchange) {
    let of_session = || exchange.session.as_deref().map(LimitValues::from);
    let values = exchange.limits.or_else(of_session);
    values.unwrap_or_default().put(headers);
}

/// The answer to an `OPTIONS` that is for the gateway itself.
fn options_answer() -> Response<ResponseBody> {
    let mut response = plain(StatusCode::NO_CONTENT, "");
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(METHODS));
    response
}

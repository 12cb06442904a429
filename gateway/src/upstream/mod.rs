//! Towards the origin: forwards a request and brings the response back.

pub mod body;
pub mod http2;
pub mod pool;
pub mod target;
pub(crate) mod tunnel;

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::header::Entry;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body;
use hyper::body::Incoming;

use crate::edge::{self, hop};
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::timer;
use body::{RequestBody, ResponseBody, StreamState};
use pool::{Kept, Lease, Opened, Pool, Sender, Taken};
use target::Target;

/// What upstreams are told when the client does not say who it is. The product name is the
/// one that their rules already know.
const USER_AGENT: &str = concat!("Tyk/", env!("CARGO_PKG_VERSION"));

/// The way to upstreams from one data-plane thread.
pub struct Upstream {
    pool: Pool,
    time_limit: Duration,
    via: Option<HeaderValue>,
}

// === impl Upstream ===

impl Upstream {
    /// `time_limit` is the longest wait for a response to begin; `via` the gateway's name.
    pub fn new(time_limit: Duration, via: &str) -> Self {
        let via = (!via.is_empty()).then(|| HeaderValue::from_str(&format!("1.1 {via}")).ok());
        Self {
            pool: Pool::default(),
            time_limit,
            via: via.flatten(),
        }
    }

    /// Closes connections that have not been used for a while.
    pub fn sweep(&self) {
        self.pool.sweep();
    }

    /// Sends the request to its API's upstream and waits for the head of the response.
    pub async fn forward(
        &self,
        exchange: &mut Exchange,
    ) -> Result<Response<ResponseBody>, ProxyError> {
        let state = exchange.body.stream_state();
        let api = Arc::clone(&exchange.api);
        // Mostly it is the API's own, which needs no count of its own.
        let other = other_target(exchange)?;
        let target = other.as_deref().unwrap_or(&api.target);
        let upgrade = exchange.upgrade.take();
        let request = self.prepare(exchange, target, upgrade.is_some())?;
        let kept = self.pool.of(target);
        let mut sending = pin!(send(&kept, target, request, upgrade.is_some()));
        let own = exchange.traffic.as_ref();
        let limit = own.and_then(|traffic| traffic.time_limit);
        let limit = limit.unwrap_or(self.time_limit);
        let outcome = within_limit(limit, &mut sending, state.as_deref()).await;
        if let Some(fault) = state.and_then(|state| state.fault.take()) {
            return Err(ProxyError::DownstreamBody(fault));
        }
        let (response, sender) = outcome?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return tunnel::establish(response, upgrade);
        }
        finish(
            response,
            sender.map(|sender| Lease::new(sender, Rc::clone(&kept))),
        )
    }

    fn prepare(
        &self,
        exchange: &mut Exchange,
        target: &Target,
        upgrade: bool,
    ) -> Result<Request<RequestBody>, ProxyError> {
        let api = &exchange.api;
        let strip = if api.strip_listen_path {
            exchange.listen_length
        } else {
            0
        };
        let uri = target
            .join(&exchange.head.uri, strip)
            .map_err(|error| ProxyError::Internal(error.to_string()))?;
        if strip > 0 {
            // What is left of a path may read differently from the whole: `/app../x` has no
            // dot segment, but without `/app` it has.
            edge::target::check(&uri, exchange.policy).map_err(ProxyError::Malformed)?;
        }
        // Response hooks and steps are shown the request, so then it stays here and a copy goes out.
        let mut headers = if api.response_hooks.is_empty() && api.response_steps.is_empty() {
            std::mem::take(&mut exchange.head.headers)
        } else {
            exchange.head.headers.clone()
        };
        hop::strip_request(&mut headers);
        if upgrade {
            tunnel::ask(&mut headers);
        }
        if !api.preserve_host_header || !headers.contains_key(header::HOST) {
            headers.insert(header::HOST, target.host_header.clone());
        }
        append_forwarded_for(&mut headers, exchange);
        if exchange.client.tls.is_some() {
            say_https(&mut headers);
        }
        if let Some(via) = &self.via {
            headers.append(header::VIA, via.clone());
        }
        headers
            .entry(header::USER_AGENT)
            .or_insert_with(|| HeaderValue::from_static(USER_AGENT));
        let body = std::mem::replace(&mut exchange.body, RequestBody::Whole(bytes::Bytes::new()));
        if !body.is_end_stream() && body.size_hint().exact().is_none() {
            // Said, because for a GET of unknown length hyper would assume none.
            headers.insert(
                header::TRANSFER_ENCODING,
                HeaderValue::from_static("chunked"),
            );
        }
        let mut request = Request::new(body);
        *request.method_mut() = exchange.head.method.clone();
        *request.uri_mut() = uri;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

/// The limit is on the upstream, so it starts anew while the client is still sending.
async fn within_limit<T>(
    time_limit: Duration,
    // By reference: a future that is handed over is held twice.
    sending: &mut Pin<&mut impl Future<Output = Result<T, ProxyError>>>,
    state: Option<&StreamState>,
) -> Result<T, ProxyError> {
    loop {
        match timer::within(time_limit, &mut *sending).await {
            Ok(outcome) => return outcome,
            Err(_) => {
                // An upload that has ended since counts too: the upstream has the whole
                // limit from there.
                if !state.is_some_and(|state| state.progressed.take()) {
                    return Err(ProxyError::UpstreamTimeout);
                }
            }
        }
    }
}

/// Where the request goes instead of its API's upstream, if anywhere.
fn other_target(exchange: &Exchange) -> Result<Option<Arc<Target>>, ProxyError> {
    let other = exchange.traffic.as_ref();
    let other = other.and_then(|traffic| traffic.target.as_ref());
    other
        .map(|other| exchange.api.tls.secured(Arc::clone(other)))
        .transpose()
        .map_err(|error| ProxyError::Upstream(error.to_string()))
}

/// Sends on a kept connection, or on a new one. A kept connection may be closed by the
/// other side while the request is on its way: then the request is sent once more, if it
/// was given back untouched or if doing it twice does no harm (RFC 9110, 9.2.2).
///
/// What is returned beside the response is the connection, if it is for one request only.
async fn send(
    kept: &Kept,
    target: &Target,
    mut request: Request<RequestBody>,
    upgrade: bool,
) -> Result<(Response<Incoming>, Option<Sender>), ProxyError> {
    if target.may_be_http2() && !upgrade && !kept.chose_http1() {
        // Boxed, like everything that most requests do not need.
        match Box::pin(http2::send(kept, target, request)).await? {
            http2::Sent::Answered(response) => return Ok((response, None)),
            http2::Sent::ChoseHttp1(unsent, Some(sender)) => {
                return send_first(sender, *unsent).await;
            }
            http2::Sent::ChoseHttp1(unsent, None) => request = *unsent,
        }
    }
    while !upgrade
        && let Some(Taken {
            mut sender,
            doubtful,
        }) = kept.take()
    {
        let spare = doubtful.then(|| spare_copy(&request)).flatten();
        match sender.try_send_request(request).await {
            Ok(response) => return Ok((response, Some(sender))),
            Err(mut error) => {
                kept.doubt();
                match (error.take_message(), spare) {
                    (Some(unsent), _) => request = unsent,
                    (None, Some(spare)) if is_lost(error.error()) => {
                        request = *spare;
                        // The next kept connection may have met the same end.
                        break;
                    }
                    _ => return Err(classify(error.error())),
                }
            }
        }
    }
    // Boxed, like everything that most requests do not need.
    Box::pin(async move {
        match pool::connect(target, upgrade).await? {
            Opened::Http1(sender) => send_first(sender, request).await,
            // It offers HTTP/2 since lately, or the request is for a WebSocket.
            Opened::Http2(_) if upgrade => Err(http2::no_upgrade()),
            Opened::Http2(sender) => send_shared(kept, target, sender, request).await,
        }
    })
    .await
}

/// Sends the first request of a connection.
async fn send_first(
    mut sender: Sender,
    request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Option<Sender>), ProxyError> {
    match sender.send_request(request).await {
        Ok(response) => Ok((response, Some(sender))),
        Err(error) => Err(classify(&error)),
    }
}

/// Sends on a connection that became HTTP/2 unexpectedly, and keeps it for others.
async fn send_shared(
    kept: &Kept,
    target: &Target,
    sender: http2::Sender,
    request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Option<Sender>), ProxyError> {
    kept.shared.get_or_init(Box::default).put(sender);
    match http2::send(kept, target, request).await? {
        http2::Sent::Answered(response) => Ok((response, None)),
        http2::Sent::ChoseHttp1(..) => Err(ProxyError::Upstream(
            "upstream changes its protocol with each connection".into(),
        )),
    }
}

fn finish(
    response: Response<Incoming>,
    lease: Option<Lease>,
) -> Result<Response<ResponseBody>, ProxyError> {
    let (mut head, body) = response.into_parts();
    let is_plain = !hop::has_some(&head.headers);
    settle_framing(&mut head.headers, is_plain)?;
    if !is_plain {
        hop::strip_response(&mut head.headers);
    }
    // The client's version is the client's connection's business.
    head.version = Version::HTTP_11;
    let body = if body.is_end_stream() {
        if let Some(lease) = lease {
            lease.give_back();
        }
        ResponseBody::Upstream(body, None)
    } else {
        ResponseBody::Upstream(body, lease)
    };
    Ok(Response::from_parts(head, body))
}

/// Makes the headers say how the body is framed, once and without doubt, before they are
/// passed on: the next reader may weigh two statements differently. A plain response has no
/// `Transfer-Encoding`.
fn settle_framing(headers: &mut HeaderMap, is_plain: bool) -> Result<(), ProxyError> {
    let wrong = |what: &str| Err(ProxyError::UpstreamProtocol(what.to_owned()));
    let codings = (!is_plain).then(|| headers.get_all(header::TRANSFER_ENCODING));
    let mut codings = codings.into_iter().flatten();
    if let Some(coding) = codings.next() {
        // A coding that hyper does not take off would pass for the content.
        if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") || codings.next().is_some() {
            return wrong("Transfer-Encoding is other than a single `chunked`");
        }
        headers.remove(header::CONTENT_LENGTH);
        return Ok(());
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else {
        return Ok(());
    };
    if lengths.next().is_none() && length.as_bytes().iter().all(u8::is_ascii_digit) {
        return Ok(());
    }
    let said: Vec<&str> = headers
        .get_all(header::CONTENT_LENGTH)
        .iter()
        .flat_map(|value| value.to_str().unwrap_or("?").split(','))
        .map(str::trim)
        .collect();
    if said
        .iter()
        .any(|length| length.parse::<u64>().is_err() || *length != said[0])
    {
        return wrong("Content-Length is not one number");
    }
    let length = HeaderValue::from_str(said[0]).expect("a number is a value");
    headers.insert(header::CONTENT_LENGTH, length);
    Ok(())
}

/// A copy of a request that may be sent twice: safe, and without a body.
fn spare_copy(request: &Request<RequestBody>) -> Option<Box<Request<RequestBody>>> {
    let repeatable = request.method().is_safe() && request.body().is_end_stream();
    repeatable.then(|| {
        let mut copy = Request::new(RequestBody::Whole(bytes::Bytes::new()));
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.version_mut() = request.version();
        *copy.headers_mut() = request.headers().clone();
        Box::new(copy)
    })
}

/// Whether a connection ended before anything of an answer came.
fn is_lost(error: &hyper::Error) -> bool {
    // The last one is how a connection with TLS ends whose other side just closes it.
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref());
    error.is_incomplete_message()
        || source.is_some_and(|io: &std::io::Error| {
            matches!(io.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
        })
}

fn classify(error: &hyper::Error) -> ProxyError {
    let text = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    if error.is_parse() {
        ProxyError::UpstreamProtocol(text)
    } else {
        ProxyError::Upstream(text)
    }
}

/// What is there already comes from a trusted proxy or from a step of the chain.
fn say_https(headers: &mut HeaderMap) {
    let place = headers.entry("x-forwarded-proto");
    place.or_insert_with(|| HeaderValue::from_static("https"));
}

fn append_forwarded_for(headers: &mut HeaderMap, exchange: &Exchange) {
    static NAME: http::HeaderName = http::HeaderName::from_static("x-forwarded-for");
    let client = &exchange.client.text;
    match headers.entry(NAME.clone()) {
        Entry::Vacant(place) => {
            place.insert(client.clone());
        }
        Entry::Occupied(mut known) => {
            let all = known.iter().chain([client]).map(HeaderValue::as_bytes);
            let list = all.collect::<Vec<&[u8]>>().join(&b", "[..]);
            let list = HeaderValue::from_maybe_shared(bytes::Bytes::from(list));
            known.insert(list.expect("values joined by a comma are a value"));
        }
    }
}

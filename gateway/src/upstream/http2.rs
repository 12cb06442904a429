//! Upstreams that speak HTTP/2: one connection per data-plane thread, which requests share.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri, Version, header};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Mutex;

use super::body::RequestBody;
use super::pool::{self, Kept, Opened};
use super::target::{Target, Way};
use super::{classify, spare_copy};
use crate::error::ProxyError;
use crate::executor::LocalExecutor;

/// Bytes of one response that may wait here for a client that reads slowly, and of all
/// together. Far apart, so that a few such clients do not hold up all others.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;

/// Largest head of a response.
const HEADER_BYTES: u32 = 64 * 1024;

/// How often a connection with requests on it is asked whether it still stands, and how long
/// the answer may take.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_LIMIT: Duration = Duration::from_secs(10);

/// A connection that many requests can be sent on.
pub type Sender = SendRequest<RequestBody>;

/// What is known of an upstream that may speak HTTP/2.
#[derive(Default)]
pub struct Shared {
    connection: RefCell<Option<Sender>>,
    used: Cell<Option<Instant>>,
    /// One opens, the others wait for it.
    opening: Mutex<()>,
    /// When opening last failed and why: who waited meanwhile fails too.
    failed: RefCell<Option<(Instant, String)>>,
    /// It was asked, and chose HTTP/1.1.
    chose_http1: Cell<bool>,
}

/// What became of a request.
pub enum Sent {
    /// There is a response.
    Answered(Response<Incoming>),
    /// The upstream does not speak HTTP/2 after all: the request goes out in the usual way,
    /// on the connection that was opened to find out, if it was this request that did.
    ChoseHttp1(Box<Request<RequestBody>>, Option<pool::Sender>),
}

/// What a request can be sent on.
enum Standing {
    Shared(Sender),
    ChoseHttp1(Option<pool::Sender>),
}

// === impl Shared ===

impl Shared {
    /// Whether the upstream was asked and chose HTTP/1.1.
    pub fn chose_http1(&self) -> bool {
        self.chose_http1.get()
    }

    /// Takes over a connection that somebody else opened.
    pub fn put(&self, sender: Sender) {
        self.chose_http1.set(false);
        self.connection.replace(Some(sender));
    }

    /// Lets go of a connection that has not been used for `limit`; tells whether one is left.
    /// Requests that are still on it end in peace.
    pub fn sweep(&self, limit: Duration) -> bool {
        let fresh = self.used.get().is_some_and(|used| used.elapsed() < limit);
        let mut connection = self.connection.borrow_mut();
        if !fresh || connection.as_ref().is_some_and(SendRequest::is_closed) {
            *connection = None;
        }
        connection.is_some()
    }

    fn standing(&self) -> Option<Sender> {
        let connection = self.connection.borrow();
        let sender = connection.as_ref().filter(|sender| !sender.is_closed())?;
        Some(sender.clone())
    }

    /// The connection, opened if there is none.
    async fn connection(&self, target: &Target) -> Result<Standing, ProxyError> {
        if let Some(sender) = self.standing() {
            return Ok(Standing::Shared(sender));
        }
        let asked = Instant::now();
        let _turn = self.opening.lock().await;
        if let Some(sender) = self.standing() {
            return Ok(Standing::Shared(sender));
        }
        if self.chose_http1.get() {
            return Ok(Standing::ChoseHttp1(None));
        }
        if let Some((when, reason)) = &*self.failed.borrow()
            && *when >= asked
        {
            return Err(ProxyError::Upstream(reason.clone()));
        }
        match pool::connect(target, false).await {
            Ok(Opened::Http2(sender)) => {
                self.put(sender.clone());
                Ok(Standing::Shared(sender))
            }
            Ok(Opened::Http1(sender)) => {
                self.chose_http1.set(true);
                Ok(Standing::ChoseHttp1(Some(sender)))
            }
            Err(error) => {
                self.failed
                    .replace(Some((Instant::now(), error.to_string())));
                Err(error)
            }
        }
    }
}

/// Sends a request on the shared connection. One that the upstream certainly has not looked
/// at, because its connection was ending, is sent once more on another.
pub async fn send(
    kept: &Kept,
    target: &Target,
    mut request: Request<RequestBody>,
) -> Result<Sent, ProxyError> {
    let shared = kept.shared.get_or_init(Box::default);
    let mut is_first = true;
    loop {
        let mut sender = match shared.connection(target).await? {
            Standing::Shared(sender) => sender,
            Standing::ChoseHttp1(sender) => {
                return Ok(Sent::ChoseHttp1(Box::new(request), sender));
            }
        };
        shared.used.set(Some(Instant::now()));
        request = converted(target, request)?;
        let spare = is_first.then(|| spare_copy(&request)).flatten();
        let mut error = match sender.try_send_request(request).await {
            Ok(response) => return Ok(Sent::Answered(response)),
            Err(error) => error,
        };
        let unsent = error.take_message();
        let is_over = unsent.is_some() || is_over(error.error());
        if is_over {
            // Others may have put a new one there already; then it is opened twice.
            shared.connection.take();
        }
        let is_untouched = is_over || is_refused(error.error());
        request = match (unsent, spare) {
            (Some(unsent), _) if is_first => unsent,
            (None, Some(spare)) if is_untouched => *spare,
            _ => return Err(classify(error.error())),
        };
        is_first = false;
    }
}

/// Whether the connection has ended.
fn is_over(error: &hyper::Error) -> bool {
    cause(error).is_some_and(|error| error.is_go_away() || error.is_io())
}

/// Whether the upstream said that it has not looked at the request.
fn is_refused(error: &hyper::Error) -> bool {
    cause(error).and_then(h2::Error::reason) == Some(h2::Reason::REFUSED_STREAM)
}

fn cause(error: &hyper::Error) -> Option<&h2::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// What a request for a WebSocket is told when there is no HTTP/1.1 to carry it.
pub fn no_upgrade() -> ProxyError {
    ProxyError::UpstreamProtocol("upstream speaks HTTP/2 only, so there are no WebSockets".into())
}

/// The request in the form of HTTP/2: the host is in its target, and nothing is said of the
/// connection.
fn converted(
    target: &Target,
    mut request: Request<RequestBody>,
) -> Result<Request<RequestBody>, ProxyError> {
    if request.version() == Version::HTTP_2 {
        return Ok(request);
    }
    let headers = request.headers_mut();
    headers.remove(header::CONNECTION);
    headers.remove(header::TRANSFER_ENCODING);
    let host = headers.remove(header::HOST);
    let host = host.unwrap_or_else(|| target.host_header.clone());
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(match target.way {
        Way::Tls(_) => Scheme::HTTPS,
        _ => Scheme::HTTP,
    });
    let wrong = |error: &dyn std::fmt::Display| ProxyError::Internal(error.to_string());
    parts.authority = Some(Authority::try_from(host.as_bytes()).map_err(|error| wrong(&error))?);
    *request.uri_mut() = Uri::from_parts(parts).map_err(|error| wrong(&error))?;
    *request.version_mut() = Version::HTTP_2;
    Ok(request)
}

/// Begins HTTP/2 on a connection.
pub async fn start<S>(stream: S) -> Result<Sender, ProxyError>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, connection) = http2::Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_BYTES)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_LIMIT)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| classify(&error))?;
    // How a connection ends is told to whoever waits for a response on it.
    tokio::task::spawn_local(async move { drop(connection.await) });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn requests_take_the_form_of_http2() {
        let target = Target::parse("h2c://up:81").unwrap();
        for (host, expected) in [
            (Some("a.example"), "http://a.example/x?y"),
            (None, "http://up:81/x?y"),
        ] {
            let mut request = Request::get("/x?y").header("connection", "te");
            if let Some(host) = host {
                request = request.header("host", host);
            }
            let request = request.header("te", "trailers");
            let request = request.body(RequestBody::Whole(Bytes::new())).unwrap();
            let request = converted(&target, request).unwrap();
            assert_eq!(request.uri().to_string(), expected);
            assert_eq!(request.headers().len(), 1, "{:?}", request.headers());
        }
    }
}

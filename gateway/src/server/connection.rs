//! One client connection: HTTP/1.1, or HTTP/2 with prior knowledge.

use std::convert::Infallible;
use std::io::Cursor;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1::UpgradeableConnection;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tracing::debug;

use super::client_io::{self, ClientIo, ClientStream};
use super::request::Worker;
use crate::exchange::Peer;
use crate::executor::LocalExecutor;
use crate::timer::CoarseTimer;

/// How long a connection that is closing is read from, and how much.
const LINGER_TIME: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1024 * 1024;

/// Most requests at the same time on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;

/// Serves a connection until either side ends it.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, worker: Rc<Worker>) {
    // A failure to set the option costs speed, not correctness.
    let _ = stream.set_nodelay(true);
    let peer = &Peer::new(peer);
    if let Some((stream, begun)) = serve_http1(stream, peer, &worker).await {
        let (reader, writer) = stream.into_split();
        let stream = tokio::io::join(Cursor::new(begun).chain(reader), writer);
        Box::pin(serve_http2(stream, peer, worker)).await;
    }
}

/// Serves a connection whose handshake has ended, with what the client chose in it.
pub(super) async fn serve_tls(stream: TlsStream<TcpStream>, peer: Peer, worker: Rc<Worker>) {
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        Box::pin(serve_http2(stream, &peer, worker)).await;
    } else if serve_http1(stream, &peer, &worker).await.is_some() {
        debug!(peer = %peer.address, "Connection ended: HTTP/2 was not agreed on.");
    }
}

/// Serves HTTP/1.1. Gives the connection back, with what was read, when the client turns
/// out to speak HTTP/2.
async fn serve_http1<S: ClientStream>(
    stream: S,
    peer: &Peer,
    worker: &Rc<Worker>,
) -> Option<(S, Bytes)> {
    let options = &worker.config.http_server_options;
    let phase = &peer.phase;
    let service = service_fn(|request: Request<Incoming>| {
        let phase = phase.clone();
        phase.serving(!request.body().is_end_stream());
        let answer = Rc::clone(worker).handle(request, peer);
        async move { Ok::<_, Infallible>(client_io::track(&phase, answer.await)) }
    });
    let mut connection = http1::Builder::new()
        .timer(CoarseTimer)
        .header_read_timeout(Duration::from_secs(options.read_timeout))
        // Twice what is allowed, so that what is too large can be answered properly.
        .max_buf_size(options.max_request_header_bytes.max(8 * 1024) * 2)
        .serve_connection(ClientIo::new(stream, phase.clone()), service)
        .with_upgrades();
    let mut notice = worker.drain.notice();
    let shut_down = UpgradeableConnection::graceful_shutdown;
    let outcome = notice.serve(Pin::new(&mut connection), shut_down).await;
    drop(notice);
    // A connection that became a tunnel is not ours any more.
    let parts = connection.into_parts()?;
    let mut stream = parts.io.into_stream();
    if let Err(error) = outcome {
        debug!(peer = %peer.address, %error, "Connection ended with an error.");
        if error.is_parse_version_h2() {
            return Some((stream, parts.read_buf));
        }
        if error.is_user() || peer.phase.is_torn() {
            // A body broke off. A clean end would pass for the end of a body that has no
            // length.
            stream.end_with_reset();
            return None;
        }
        if error.is_timeout() && !parts.read_buf.is_empty() {
            let answer = client_io::refusal(StatusCode::REQUEST_TIMEOUT);
            // The client may be gone, or may not read; neither is waited for.
            let _ = tokio::time::timeout(LINGER_TIME, stream.write_all(&answer)).await;
        }
    }
    Box::pin(linger(stream)).await;
    None
}

/// Closes in a way that lets the client read the last answer: a socket that is closed with
/// unread data in it, such as the rest of a body that was refused, resets the connection,
/// and the reset overtakes the answer.
pub(super) async fn linger<S: ClientStream>(mut stream: S) {
    let draining = async {
        stream.shutdown().await?;
        let mut scrap = [0; 4096];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match stream.read(&mut scrap).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // Whichever way it ends, the connection is over.
    let _ = tokio::time::timeout(LINGER_TIME, draining).await;
}

async fn serve_http2<S>(stream: S, peer: &Peer, worker: Rc<Worker>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let header_bytes = worker.config.http_server_options.max_request_header_bytes;
    let service = service_fn(|request| {
        let answer = Rc::clone(&worker).handle(request, peer);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let connection = std::pin::pin!(
        http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(header_bytes).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20))
            .serve_connection(TokioIo::new(stream), service)
    );
    let shut_down = http2::Connection::graceful_shutdown;
    let outcome = worker.drain.notice().serve(connection, shut_down).await;
    if let Err(error) = outcome {
        debug!(peer = %peer.address, %error, "Connection ended with an error.");
    }
}

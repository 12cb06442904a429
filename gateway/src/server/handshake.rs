//! TLS on a connection that was just accepted, on a task of its own: a client that is slow
//! holds up nobody else.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use super::connection;
use super::request::Worker;
use crate::exchange::{Peer, TlsPeer};
use crate::tls::server::Termination;

/// Most handshakes that one data-plane thread has at the same time. Above it new connections
/// are closed: nobody in them has said anything yet.
const MOST_HANDSHAKES: usize = 2048;

/// The first byte of TLS.
const HANDSHAKE: u8 = 22;

/// What the original says to who speaks plain HTTP, to the byte.
const NOT_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

thread_local! {
    static HANDSHAKES: Cell<usize> = const { Cell::new(0) };
}

/// One handshake that counts.
struct Counted;

impl Counted {
    fn new() -> Option<Self> {
        let count = HANDSHAKES.get();
        if count >= MOST_HANDSHAKES {
            return None;
        }
        HANDSHAKES.set(count + 1);
        Some(Self)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        HANDSHAKES.set(HANDSHAKES.get() - 1);
    }
}

/// Serves a connection that has to speak TLS until either side ends it.
pub(super) async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    worker: Rc<Worker>,
    termination: Arc<Termination>,
) {
    // A failure to set the option costs speed, not correctness.
    let _ = stream.set_nodelay(true);
    let Some(counted) = Counted::new() else {
        warn!(%peer, most = MOST_HANDSHAKES, "Connection is closed: too many TLS handshakes.");
        return;
    };
    let outcome = tokio::time::timeout(termination.handshake_limit, open(stream, &termination));
    let outcome = outcome.await;
    drop(counted);
    match outcome {
        Ok(Ok(Some(stream))) => {
            let tls = Arc::new(TlsPeer::of(stream.get_ref().1));
            let peer = Peer::new(peer).with_tls(tls);
            connection::serve_tls(stream, peer, worker).await;
        }
        Ok(Ok(None)) => debug!(%peer, "Connection ended: plain HTTP on a port of TLS."),
        Ok(Err(error)) => debug!(%peer, %error, "TLS handshake failed."),
        Err(_) => debug!(%peer, "TLS handshake took too long."),
    }
}

/// Does the handshake. `None` for a client that does not speak TLS, which is told so.
pub(super) async fn open(
    stream: TcpStream,
    termination: &Termination,
) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    // Before the library looks: its answer to plain HTTP would be an alert in binary.
    if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
        if first[0].is_ascii_uppercase() {
            refuse(stream).await?;
        }
        return Ok(None);
    }
    let acceptor = TlsAcceptor::from(termination.config());
    acceptor.accept(stream).await.map(Some)
}

async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(NOT_TLS).await?;
    connection::linger(stream).await;
    Ok(())
}

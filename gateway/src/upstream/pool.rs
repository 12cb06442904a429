//! Keep-alive connections to upstreams, one pool per data-plane thread.
//!
//! A pool of its own per thread needs no lock, and a connection is driven by the thread
//! that uses it. The connection used last is used next: it is the least likely to have been
//! closed by the other side, and the others may time out.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use rustc_hash::FxBuildHasher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::body::RequestBody;
use super::http2::{self, Shared};
use super::target::{Target, Way};
use crate::error::ProxyError;
use crate::gather::GatheringIo;
use crate::tls::client::chose_http2;

/// How long an unused connection is kept.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// Most unused connections kept for one upstream.
const MAX_IDLE: usize = 512;

/// A connection that was in use so lately, to an upstream that has answered so many requests
/// without closing one under us, is taken to stand. Otherwise a copy of the request is kept,
/// and under load, where connections are never idle for long, no copy is made.
const BUSY: Duration = Duration::from_millis(1);
const RELIABLE: u32 = 64;

/// Longest wait for one address of an upstream to accept.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Largest head of a response, and the window in which its body streams.
const BUFFER_BYTES: usize = 64 * 1024;

/// A connection that a request can be sent on.
pub type Sender = SendRequest<RequestBody>;

/// The idle connections of one data-plane thread. Upstreams are the operator's: nobody else
/// can choose names that hash alike.
#[derive(Default)]
pub struct Pool {
    upstreams: RefCell<HashMap<Arc<str>, Rc<Kept>, FxBuildHasher>>,
}

/// What is kept for one upstream.
#[derive(Default)]
pub struct Kept {
    idle: RefCell<Vec<Idle>>,
    /// Requests answered since a kept connection last turned out to be closed.
    reliable: Cell<u32>,
    /// The connection of an upstream that speaks HTTP/2, which all its requests share. Boxed
    /// and made when it is needed, as most upstreams do not.
    pub(super) shared: std::cell::OnceCell<Box<Shared>>,
}

struct Idle {
    sender: Sender,
    since: Instant,
}

/// A kept connection.
pub struct Taken {
    /// Where the request goes.
    pub sender: Sender,
    /// The upstream may have closed it in the meantime: keep what it takes to try again.
    pub doubtful: bool,
}

/// A connection that was just opened.
pub enum Opened {
    /// For one request at a time.
    Http1(Sender),
    /// For many.
    Http2(http2::Sender),
}

/// A connection in use, and where it goes back to.
pub struct Lease {
    sender: Sender,
    kept: Rc<Kept>,
}

// === impl Pool ===

impl Pool {
    /// What is kept for `target`.
    pub fn of(&self, target: &Target) -> Rc<Kept> {
        let mut upstreams = self.upstreams.borrow_mut();
        if let Some(kept) = upstreams.get(&*target.pool_key) {
            return Rc::clone(kept);
        }
        let kept = Rc::<Kept>::default();
        upstreams.insert(Arc::clone(&target.pool_key), Rc::clone(&kept));
        kept
    }

    /// Closes what has not been used for a while. Called now and then by the thread.
    pub fn sweep(&self) {
        self.upstreams.borrow_mut().retain(|_, kept| {
            let mut idle = kept.idle.borrow_mut();
            idle.retain(|connection| {
                connection.since.elapsed() < IDLE_LIMIT && !connection.sender.is_closed()
            });
            let shares = kept
                .shared
                .get()
                .is_some_and(|shared| shared.sweep(IDLE_LIMIT));
            !idle.is_empty() || shares || Rc::strong_count(kept) > 1
        });
    }
}

// === impl Kept ===

impl Kept {
    /// The connection that was used last and still stands.
    pub fn take(&self) -> Option<Taken> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { sender, since }) = idle.pop() {
            // One that is not ready is closed, or still busy with the end of a request
            // that was answered early: either way nothing to wait for.
            if sender.is_ready() {
                let doubtful = self.reliable.get() < RELIABLE || since.elapsed() > BUSY;
                return Some(Taken { sender, doubtful });
            }
        }
        None
    }

    /// Notes that a kept connection turned out to be closed.
    pub fn doubt(&self) {
        self.reliable.set(0);
    }

    /// Whether it was asked for HTTP/2 and chose HTTP/1.1.
    pub fn chose_http1(&self) -> bool {
        self.shared.get().is_some_and(|shared| shared.chose_http1())
    }

    fn give_back(&self, sender: Sender) {
        self.reliable.set(self.reliable.get().saturating_add(1));
        let mut idle = self.idle.borrow_mut();
        if idle.len() < MAX_IDLE && !sender.is_closed() {
            idle.push(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }
}

// === impl Lease ===

impl Lease {
    /// Notes where `sender` goes when its response has been read.
    pub fn new(sender: Sender, kept: Rc<Kept>) -> Self {
        Self { sender, kept }
    }

    /// Puts the connection back: its response has been read to the end.
    pub fn give_back(self) {
        self.kept.give_back(self.sender);
    }
}

/// Opens a connection. `upgradable` ones can be turned into a tunnel and are not pooled.
pub async fn connect(target: &Target, upgradable: bool) -> Result<Opened, ProxyError> {
    let stream = open(target).await?;
    // A failure to set the option costs speed, not correctness.
    let _ = stream.set_nodelay(true);
    let tls = match &target.way {
        Way::Plain => return start(stream, upgradable).await.map(Opened::Http1),
        Way::PlainHttp2 => return http2::start(stream).await.map(Opened::Http2),
        Way::Unsecured => {
            return Err(ProxyError::Internal(
                "TLS is not set up for this target".into(),
            ));
        }
        Way::Tls(tls) => tls,
    };
    let opening = tokio::time::timeout(CONNECT_LIMIT, tls.open(stream, !upgradable)).await;
    let failed =
        |reason: String| ProxyError::Upstream(format!("TLS with {}: {reason}", target.authority));
    match opening {
        Ok(Ok(stream)) if chose_http2(&stream) => http2::start(stream).await.map(Opened::Http2),
        Ok(Ok(stream)) => start(stream, upgradable).await.map(Opened::Http1),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!(
            "no end of the handshake within {CONNECT_LIMIT:?}"
        ))),
    }
}

async fn start<S>(stream: S, upgradable: bool) -> Result<Sender, ProxyError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::Builder::new()
        // hyper's limit of 100 header fields stays: a table for more is on the heap, anew for
        // each response.
        .max_buf_size(BUFFER_BYTES)
        .handshake(GatheringIo::new(stream))
        .await
        .map_err(|error| ProxyError::Upstream(error.to_string()))?;
    // How a connection ends is told to whoever waits for a response on it.
    if upgradable {
        tokio::task::spawn_local(async move { drop(connection.with_upgrades().await) });
    } else {
        tokio::task::spawn_local(async move { drop(connection.await) });
    }
    Ok(sender)
}

async fn open(target: &Target) -> Result<TcpStream, ProxyError> {
    let addresses = tokio::net::lookup_host((&*target.host, target.port))
        .await
        .map_err(ProxyError::UpstreamLookup)?;
    let mut last = format!("{} has no address", target.host);
    for address in addresses {
        match tokio::time::timeout(CONNECT_LIMIT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = format!("{address}: {error}"),
            Err(_) => last = format!("{address}: no answer within {CONNECT_LIMIT:?}"),
        }
    }
    Err(ProxyError::Upstream(last))
}

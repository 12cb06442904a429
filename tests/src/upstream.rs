//! Upstreams on raw sockets: they record what arrives to the byte and answer with any bytes.

use std::fmt;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Connection;
use crate::message::values;
use crate::ports;
use crate::wait::DEADLINE;

/// A server that listens on a port of its own until it is dropped.
pub struct Upstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    pub(crate) changed: Condvar,
    stopped: AtomicBool,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) received: Vec<Received>,
    pub(crate) sockets: Vec<TcpStream>,
}

/// A request as an upstream saw it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Received {
    /// The head to the byte, its empty line included.
    pub raw_head: Vec<u8>,
    /// The method.
    pub method: String,
    /// The request target.
    pub target: String,
    /// The header lines in order, names as received.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The trailer fields of a chunked body.
    pub trailers: Vec<(String, String)>,
    /// Whether the body came to its end.
    pub complete: bool,
    /// What is wrong with it by the letter of RFC 9112. Empty for a request that is right.
    pub problems: Vec<String>,
    /// The number of the connection that it came on, from 0.
    pub connection: usize,
}

impl Received {
    /// The only value of a header. Panics when there is more than one.
    #[must_use]
    #[track_caller]
    pub fn header(&self, name: &str) -> Option<&str> {
        let values = self.header_values(name);
        assert!(values.len() < 2, "`{name}` is repeated in {self:?}");
        values.first().copied()
    }

    /// All values of a header, in order.
    #[must_use]
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        values(&self.headers, name)
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.body[..self.body.len().min(400)];
        write!(
            f,
            "[connection {}] {} body of {}: {} {} {:?}",
            self.connection,
            self.raw_head.escape_ascii(),
            self.body.len(),
            shown.escape_ascii(),
            if self.complete { "complete" } else { "cut off" },
            self.problems
        )
    }
}

impl Upstream {
    /// Answers 200 with a JSON description of the request.
    #[must_use]
    pub fn echo() -> Self {
        Self::answering(|received| response(200, "application/json", &describe(received)))
    }

    /// Answers every request with the same bytes.
    #[must_use]
    pub fn replying(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref().to_vec();
        Self::answering(move |_| bytes.clone())
    }

    /// Answers every request with the bytes that `answer` makes for it.
    #[must_use]
    pub fn answering(answer: impl Fn(&Received) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::serving(move |connection| {
            while let Some(received) = connection.next_request() {
                connection.send(answer(&received));
            }
        })
    }

    /// Answers every request with the same bytes and then closes the connection.
    #[must_use]
    pub fn replying_once(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref().to_vec();
        Self::serving(move |connection| {
            if connection.next_request().is_some() {
                connection.send(&bytes);
            }
        })
    }

    /// Runs `serve` for each connection on a thread of its own; the connection is closed when
    /// it returns.
    #[must_use]
    pub fn serving(serve: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let accepted = Arc::clone(&shared);
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if accepted.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let mut connection = Connection::new(stream, Arc::clone(&accepted));
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(&mut connection));
            }
        });
        Self { address, shared }
    }

    /// An address where nobody listens.
    #[must_use]
    pub fn nobody() -> String {
        format!("http://{}", ports::refusing())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL with `path` appended.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Every request so far, in the order in which their heads came.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.state().received.clone()
    }

    /// Every request so far, and forgets them.
    #[must_use]
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut self.state().received)
    }

    /// The only request since the last look. Panics when there is not exactly one.
    #[must_use]
    #[track_caller]
    pub fn take_one(&self) -> Received {
        let mut received = self.take();
        assert_eq!(received.len(), 1, "expected one request: {received:#?}");
        received.remove(0)
    }

    /// How many connections were opened so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state().sockets.len()
    }

    /// Waits for a request for which `matches` holds, and returns it.
    #[track_caller]
    pub fn wait_for(&self, what: &str, matches: impl Fn(&Received) -> bool) -> Received {
        let deadline = Instant::now() + DEADLINE;
        let mut state = self.state();
        loop {
            if let Some(found) = state.received.iter().find(|received| matches(received)) {
                return found.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(
                left > Duration::ZERO,
                "waited in vain for {what}; received {:#?}",
                state.received
            );
            state = self.shared.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _wake = TcpStream::connect(self.address);
        if let Ok(state) = self.shared.state.lock() {
            for socket in &state.sockets {
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Upstream({})", self.address)
    }
}

/// A complete response of known length.
#[must_use]
pub fn response(status: u16, content_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 {status} Scripted\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn describe(received: &Received) -> Vec<u8> {
    let description = json!({
        "method": received.method,
        "target": received.target,
        "headers": received.headers,
        "body": String::from_utf8_lossy(&received.body),
    });
    serde_json::to_vec(&description).unwrap()
}

//! Watching one route while something else happens: how slow was it at worst, did it fail?

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{Client, Request};

/// Sends a request every few milliseconds on one kept connection until it is finished.
#[derive(Debug)]
pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Observed>,
}

/// How often a probe asks at least, however short the time was.
const LEAST: usize = 5;

/// What a probe saw.
#[derive(Debug, Default)]
pub struct Observed {
    /// How many requests were answered with 200.
    pub answered: usize,
    /// What else happened.
    pub failures: Vec<String>,
    /// The longest wait for an answer.
    pub slowest: Duration,
}

impl Probe {
    /// Starts to watch `path`, every 10 milliseconds.
    #[must_use]
    pub fn start(address: SocketAddr, path: &str) -> Self {
        Self::with_pause(address, path, Duration::from_millis(10))
    }

    /// Sends requests to `path` without a pause: load instead of observation.
    #[must_use]
    pub fn load(address: SocketAddr, path: &str) -> Self {
        Self::with_pause(address, path, Duration::ZERO)
    }

    fn with_pause(address: SocketAddr, path: &str, pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let request = Request::get(path);
        let thread = thread::spawn(move || watch(address, &request, pause, &stopped));
        Self { stop, thread }
    }

    /// Stops and tells what was seen.
    #[must_use]
    pub fn finish(self) -> Observed {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap()
    }
}

impl Observed {
    /// Fails the test unless every request was answered with 200 within `limit`.
    #[track_caller]
    pub fn assert_undisturbed(&self, limit: Duration) {
        assert!(self.failures.is_empty(), "{self:?}");
        assert!(self.answered >= LEAST, "{self:?}");
        assert!(self.slowest < limit, "slower than {limit:?}: {self:?}");
    }
}

fn watch(address: SocketAddr, request: &Request, pause: Duration, stop: &AtomicBool) -> Observed {
    let mut observed = Observed::default();
    let mut client: Option<Client> = None;
    let mut sent = 0;
    while sent < LEAST || !stop.load(Ordering::SeqCst) {
        sent += 1;
        let started = Instant::now();
        let connection = client.get_or_insert_with(|| Client::connect(address));
        match connection.try_request(request) {
            Ok(response) if response.status == 200 => {
                observed.answered += 1;
                // A gateway may end a kept connection, after it has said so.
                if response.header("Connection") == Some("close") {
                    client = None;
                }
            }
            other => {
                observed.failures.push(format!("{other:?}"));
                client = None;
            }
        }
        observed.slowest = observed.slowest.max(started.elapsed());
        thread::sleep(pause);
    }
    observed
}

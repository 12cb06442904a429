//! The data plane: one thread per core, each with its own listening socket, its own runtime
//! and its own upstream connections. A connection stays on the thread that accepted it.

mod client_io;
mod connection;
pub mod control;
mod drain;
mod handshake;
mod listener;
mod request;
pub(crate) use request::add_limits;
mod request_id;

use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::{Handle, LocalOptions};
use tokio::sync::watch;

use crate::api::ApiTable;
use crate::config::Config;
use crate::tls::server::Termination;
use request::Worker;

/// Stack of a data-plane thread. Plugins run on it, and an interpreter's own guards against
/// deep recursion assume a stack of the size that a main thread has.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// How long to leave a listener alone when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why the gateway cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is not one.
    #[error("listen_address `{0}` is not an IP address")]
    Address(String),
    /// Somebody else has it.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
}

/// Where a listener of the gateway goes. No address means all of them: all of IPv6 takes in
/// all of IPv4.
fn address(config: &Config, port: u16) -> Result<SocketAddr, ServerError> {
    let ip = match config.listen_address.as_str() {
        "" => Ipv6Addr::UNSPECIFIED.into(),
        text => text
            .parse()
            .map_err(|_| ServerError::Address(text.to_owned()))?,
    };
    Ok(SocketAddr::new(ip, port))
}

/// Sockets that listen, before anything is served.
pub struct Server {
    listeners: Vec<TcpListener>,
}

/// A data plane that serves.
pub struct Running(Vec<JoinHandle<()>>);

impl Server {
    /// Opens one socket per data-plane thread, all on the same address.
    pub fn bind(config: &Config) -> Result<Self, ServerError> {
        listener::bind(config).map(|listeners| Self { listeners })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .first()
            .and_then(|first| first.local_addr().ok())
            .into_iter()
            .collect()
    }

    /// Starts the threads.
    pub fn start(
        self,
        config: &Arc<Config>,
        table: Arc<ArcSwap<ApiTable>>,
        router: axum::Router,
        control: Handle,
        termination: Option<Arc<Termination>>,
        stopped: watch::Receiver<bool>,
    ) -> std::io::Result<Running> {
        let mut threads = Vec::new();
        for (number, listener) in self.listeners.into_iter().enumerate() {
            let seed = request::Seed {
                config: Arc::clone(config),
                table: Arc::clone(&table),
                router: router.clone(),
                control: control.clone(),
                termination: termination.clone(),
            };
            let stopped = stopped.clone();
            let thread = std::thread::Builder::new()
                .name(format!("data-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || run(listener, seed, stopped))?;
            threads.push(thread);
        }
        Ok(Running(threads))
    }
}

impl Running {
    /// Waits until every thread has drained.
    pub fn join(self) {
        for thread in self.0 {
            // A thread that panicked has nothing left to drain.
            let _ = thread.join();
        }
    }
}

fn run(listener: TcpListener, seed: request::Seed, stopped: watch::Receiver<bool>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("a runtime on one thread needs an epoll descriptor, no more");
    runtime.block_on(async move {
        let worker = std::rc::Rc::new(Worker::new(seed));
        listener::serve(listener, worker, stopped).await;
    });
}

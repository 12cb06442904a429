//! Sockets: opens them, accepts on them, and lets go of them when the gateway drains.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::warn;

use super::request::Worker;
use super::{ACCEPT_PAUSE, ServerError, connection, handshake};
use crate::config::Config;
use crate::timer;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 4096;

/// How often idle upstream connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Opens `workers` sockets on one address. The kernel spreads new connections over them.
pub(super) fn bind(config: &Config) -> Result<Vec<std::net::TcpListener>, ServerError> {
    let mut address = super::address(config, config.listen_port)?;
    // Sockets that share a port also share it with another gateway of the same user, which
    // would take half of the connections. One that does not share tells whether it is free.
    drop(open(address, false).map_err(|source| ServerError::Bind { address, source })?);
    let mut listeners = Vec::new();
    for _ in 0..config.worker_count() {
        let listener =
            open(address, true).map_err(|source| ServerError::Bind { address, source })?;
        // Port 0 is chosen by the first and shared by the others.
        address = listener.local_addr().unwrap_or(address);
        listeners.push(listener);
    }
    Ok(listeners)
}

fn open(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until the gateway drains, then waits for the connections that are left.
pub(super) async fn serve(
    listener: std::net::TcpListener,
    worker: Rc<Worker>,
    mut stopped: watch::Receiver<bool>,
) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    tokio::task::spawn_local(timer::tick());
    let mut connections = JoinSet::new();
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    take(&mut connections, stream, peer, &worker);
                }
                Err(error) => {
                    warn!(%error, "Cannot accept a connection.");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            _ = sweep.tick() => worker.sweep(),
            _ = connections.join_next(), if !connections.is_empty() => {}
            _ = stopped.changed() => break,
        }
    }
    worker.drain.begin();
    accept_waiting(&listener, &mut connections, &worker).await;
    drop(listener);
    while connections.join_next().await.is_some() {}
}

fn take(connections: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr, worker: &Rc<Worker>) {
    let taken = Rc::clone(worker);
    match &worker.termination {
        None => connections.spawn_local(connection::serve(stream, peer, taken)),
        Some(tls) => {
            connections.spawn_local(handshake::serve(stream, peer, taken, Arc::clone(tls)))
        }
    };
}

/// Connections that the kernel has already completed would be reset with the listener.
async fn accept_waiting(
    listener: &TcpListener,
    connections: &mut JoinSet<()>,
    worker: &Rc<Worker>,
) {
    while let Ok(Ok((stream, peer))) = tokio::time::timeout(Duration::ZERO, listener.accept()).await
    {
        take(connections, stream, peer, worker);
    }
}

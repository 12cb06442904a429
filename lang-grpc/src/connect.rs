//! Makes connections: sockets, TLS, and the HTTP/2 that calls go over.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::body::Body;

use crate::server::Server;
use crate::target::Place;

/// How long a connection to one address may take until calls can be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);

/// How long sent bytes may stay without an answer of the peer's system. Without it, a machine
/// that is gone would be waited for by every call of many minutes.
const UNHEARD_LIMIT: Duration = Duration::from_secs(10);

/// When an idle connection is first tried for being still there.
const IDLE: Duration = Duration::from_secs(30);

/// What calls are sent through. Clones share the connection.
pub(crate) type Sender = SendRequest<Body>;

/// What a connection is made to, where it is not one address of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Address {
    /// Whatever the server's name means, in its order.
    Any,
    /// This one.
    One(SocketAddr),
}

/// Makes a connection.
pub(crate) async fn connect(server: &Arc<Server>, address: Address) -> Result<Sender, String> {
    match (&server.target.place, address) {
        (Place::Unix(path), _) => {
            let stream = async {
                let stream = UnixStream::connect(path).await;
                let stream = stream.map_err(|error| error.to_string())?;
                handshake(stream).await
            };
            limited(stream).await
        }
        (Place::Host(..), Address::One(address)) => to_address(server, address).await,
        (Place::Host(host, port), Address::Any) => {
            let mut problems = Vec::new();
            for address in resolve(host, *port).await? {
                match to_address(server, address).await {
                    Ok(sender) => return Ok(sender),
                    Err(problem) => problems.push(format!("{address}: {problem}")),
                }
            }
            Err(problems.join(", "))
        }
    }
}

/// The addresses of a name; there is at least one.
pub(crate) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let found = lookup_host((host, port)).await;
    let found = found.map_err(|error| format!("cannot find `{host}`: {error}"))?;
    let mut addresses: Vec<SocketAddr> = found.collect();
    let mut seen = Vec::new();
    // The system lists an address once for each kind of socket.
    addresses.retain(|address| {
        !seen.contains(address) && {
            seen.push(*address);
            true
        }
    });
    if addresses.is_empty() {
        return Err(format!("`{host}` has no address"));
    }
    Ok(addresses)
}

async fn to_address(server: &Arc<Server>, address: SocketAddr) -> Result<Sender, String> {
    let connection = async {
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|error| error.to_string())?;
        set_up(&stream).map_err(|error| format!("cannot set up the socket: {error}"))?;
        let Some(tls) = &server.tls else {
            return handshake(stream).await;
        };
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        let stream = connector.connect(tls.name.clone(), stream).await;
        let stream = stream.map_err(|error| format!("TLS: {error}"))?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err("TLS: the server does not speak HTTP/2".to_owned());
        }
        handshake(stream).await
    };
    limited(connection).await
}

fn set_up(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(IDLE))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNHEARD_LIMIT))?;
    Ok(())
}

async fn limited(
    connection: impl Future<Output = Result<Sender, String>>,
) -> Result<Sender, String> {
    match timeout(CONNECT_LIMIT, connection).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no connection within {CONNECT_LIMIT:?}")),
    }
}

/// Opens HTTP/2. The connection is driven by a task of this thread's runtime for as long as
/// there is a sender.
async fn handshake<S>(stream: S) -> Result<Sender, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let opened = http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream));
    let (sender, connection) = opened
        .await
        .map_err(|error| format!("HTTP/2: {}", with_causes(&error)))?;
    // What ends it is told by the calls that it ends.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

/// An error with the causes behind it.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

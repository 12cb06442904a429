//! Relays that put TLS in front of a plain server, or behind a plain client.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Authority, Identity};

/// What a server does in the handshake.
pub(crate) struct ServerSide {
    pub(crate) identity: Identity,
    /// Whom clients need a certificate from.
    pub(crate) client_roots: Option<Arc<RootCertStore>>,
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    pub(crate) alpn: &'static [&'static str],
}

/// TLS in front of a plain server.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

/// A client as the handshake showed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) server_name: Option<String>,
    pub(crate) has_certificate: bool,
    pub(crate) alpn: Option<String>,
}

impl ServerSide {
    pub(crate) fn of(identity: Identity) -> Self {
        Self {
            identity,
            client_roots: None,
            versions: rustls::DEFAULT_VERSIONS,
            alpn: &[],
        }
    }

    pub(crate) fn config(self) -> ServerConfig {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.versions)
            .unwrap();
        let builder = match self.client_roots {
            None => builder.with_no_client_auth(),
            Some(roots) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .unwrap(),
            ),
        };
        let mut config = builder
            .with_single_cert(self.identity.chain(), self.identity.private_key())
            .unwrap();
        config.alpn_protocols = self
            .alpn
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        config
    }
}

impl Front {
    /// Decrypts for the server at `plain`.
    pub(crate) fn start(side: ServerSide, plain: SocketAddr) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(side.config()));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let known = Arc::clone(&seen);
        let address = serve(move |stream| {
            let (acceptor, known) = (acceptor.clone(), Arc::clone(&known));
            async move {
                let mut stream = acceptor.accept(stream).await?;
                let (_, tls) = stream.get_ref();
                known.lock().unwrap().push(Seen {
                    server_name: tls.server_name().map(str::to_owned),
                    has_certificate: tls.peer_certificates().is_some(),
                    alpn: tls
                        .alpn_protocol()
                        .map(|name| String::from_utf8_lossy(name).into_owned()),
                });
                let mut plain = TcpStream::connect(plain).await?;
                tokio::io::copy_bidirectional(&mut stream, &mut plain).await?;
                Ok(())
            }
        });
        Self { address, seen }
    }

    /// Its URL, under a name that certificates can be for.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// The clients whose handshake succeeded.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

/// Runs `each` for every connection to a port of its own, on a thread of its own.
pub(crate) fn serve<F, Fut>(each: F) -> SocketAddr
where
    F: Fn(TcpStream) -> Fut + Send + 'static,
    Fut: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let serving = each(stream);
                // How a connection ends is for the test to see at its other end.
                tokio::spawn(async move { drop(serving.await) });
            }
        });
    });
    address
}

/// What a client does in the handshake.
pub(crate) struct ClientSide {
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) server_name: &'static str,
    pub(crate) identity: Option<Identity>,
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    pub(crate) alpn: &'static [&'static str],
}

impl ClientSide {
    pub(crate) fn of(authority: &Authority) -> Self {
        Self {
            roots: authority.roots(),
            server_name: "localhost",
            identity: None,
            versions: rustls::DEFAULT_VERSIONS,
            alpn: &[],
        }
    }

    fn config(&self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(Arc::clone(&self.roots));
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(identity.chain(), identity.private_key())
                .unwrap(),
        };
        config.alpn_protocols = self
            .alpn
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        config
    }

    /// Does the handshake with the server at `address`.
    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(self.config()));
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = self.server_name.try_into().unwrap();
        connector.connect(name, stream).await
    }

    /// A plain port whose connections go on to `address` in TLS.
    pub(crate) fn tunnel(self, address: SocketAddr) -> SocketAddr {
        let side = Arc::new(self);
        serve(move |mut plain| {
            let side = Arc::clone(&side);
            async move {
                let mut stream = side.connect(address).await?;
                tokio::io::copy_bidirectional(&mut plain, &mut stream).await?;
                Ok(())
            }
        })
    }
}

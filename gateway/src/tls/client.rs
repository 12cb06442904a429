//! TLS towards one upstream.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tracing::warn;

use super::verify::Server;
use super::{Suite, TlsError, read_certificates};
use crate::certificates::Material;

/// What is wanted of a connection to an upstream.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The name that the upstream's certificate has to be for, or its address.
    pub host: &'a str,
    /// Do not check the upstream's certificate.
    pub skip_verify: bool,
    /// A PEM file of authorities to trust in the place of the system's; empty for these.
    pub ca_file: PathBuf,
    /// The certificate and key to show, if any.
    pub identity: Option<Arc<Material>>,
    /// The SHA-256 of the public keys that the upstream may have; any where there are none.
    pub pins: Option<Arc<[String]>>,
    /// Versions and ciphers.
    pub suite: Suite<'a>,
    /// Offer HTTP/2.
    pub http2: bool,
}

/// The system's authorities, read once for all upstreams of a load.
#[derive(Default)]
pub struct SystemRoots(std::sync::OnceLock<Arc<RootCertStore>>);

/// How to open TLS to one upstream.
#[derive(Debug)]
pub struct ClientTls {
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    /// For a connection that must not become HTTP/2.
    http1: Arc<ClientConfig>,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
    /// The same for two that would open the same connection: these share a pool.
    pub fingerprint: String,
}

// === impl SystemRoots ===

impl SystemRoots {
    fn get(&self) -> Arc<RootCertStore> {
        Arc::clone(self.0.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                warn!(
                    errors = ?found.errors,
                    "This machine trusts no certificate authority, so requests to HTTPS upstreams \
                     will fail; install its ca-certificates, or set proxy_ssl_ca_file."
                );
            }
            Arc::new(roots)
        }))
    }
}

// === impl ClientTls ===

impl ClientTls {
    /// Reads the files and puts it all together.
    pub fn new(wanted: &Wanted<'_>, system: &SystemRoots) -> Result<Self, TlsError> {
        let name = ServerName::try_from(wanted.host.to_owned())
            .map_err(|_| TlsError(format!("`{}` is no host name", wanted.host)))?;
        let mut print = Context::new(&SHA256);
        let plain = (
            wanted.skip_verify,
            wanted.http2,
            &wanted.suite,
            &wanted.pins,
        );
        print.update(format!("{plain:?}").as_bytes());
        let own_roots = match wanted.ca_file.as_os_str().is_empty() {
            true => None,
            false => Some(read_certificates(&wanted.ca_file)?),
        };
        for certificate in own_roots.iter().flatten() {
            print.update(certificate);
        }
        let roots = match own_roots {
            None => system.get(),
            Some(own) => roots_of(own, &wanted.ca_file)?,
        };
        for certificate in wanted.identity.iter().flat_map(|shown| &shown.chain) {
            print.update(certificate);
        }
        let config = config(wanted, roots)?;
        let mut http1 = config.clone();
        http1.alpn_protocols = Vec::new();
        let mut config = config;
        if wanted.http2 {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        let print = print.finish();
        Ok(Self {
            name,
            config: Arc::new(config),
            http1: Arc::new(http1),
            http2: wanted.http2,
            fingerprint: crate::session::key::hex(&print.as_ref()[..8]),
        })
    }

    /// Opens TLS on a connection. The caller limits the time.
    pub async fn open(
        &self,
        stream: TcpStream,
        may_be_http2: bool,
    ) -> io::Result<TlsStream<TcpStream>> {
        let config = if may_be_http2 {
            &self.config
        } else {
            &self.http1
        };
        let connector = TlsConnector::from(Arc::clone(config));
        connector.connect(self.name.clone(), stream).await
    }
}

/// Whether the two sides agreed on HTTP/2.
pub fn chose_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

fn roots_of(
    own: Vec<CertificateDer<'static>>,
    file: &std::path::Path,
) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in own {
        roots.add(certificate).map_err(|error| {
            TlsError(format!("{}: unusable certificate: {error}", file.display()))
        })?;
    }
    Ok(Arc::new(roots))
}

fn config(wanted: &Wanted<'_>, roots: Arc<RootCertStore>) -> Result<ClientConfig, TlsError> {
    let provider = wanted.suite.provider()?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&wanted.suite.versions()?)
        .map_err(|error| TlsError(error.to_string()))?;
    let builder = match (wanted.skip_verify, wanted.pins.clone()) {
        (false, None) => builder.with_root_certificates(roots),
        (skips, pins) => {
            let mut server = Server::unverified(provider);
            if !skips {
                server = server.trusting(roots)?;
            }
            if let Some(pins) = pins {
                server = server.pinned(pins);
            }
            let builder = builder.dangerous();
            builder.with_custom_certificate_verifier(Arc::new(server))
        }
    };
    match &wanted.identity {
        Some(shown) => {
            let (chain, key) = shown.identity()?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| TlsError(format!("{}: {error}", shown.name)))
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

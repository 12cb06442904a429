//! The servers that APIs use: what all threads share of them.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use http::Uri;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::options::Options;
use crate::target::Target;

/// Counts the servers that are gone, so that threads know when to look for connections to
/// close.
pub(crate) static DROPPED: AtomicU64 = AtomicU64::new(0);

/// One server.
pub(crate) struct Server {
    /// Unique in the process.
    pub(crate) id: u64,
    pub(crate) target: Target,
    /// What calls are made to: scheme and authority.
    pub(crate) origin: Uri,
    pub(crate) options: Options,
    pub(crate) tls: Option<Tls>,
}

/// How a server is known to be the right one.
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

/// The servers in use. APIs with the same options share one, and its connections.
#[derive(Default)]
pub(crate) struct Servers(Mutex<Vec<Weak<Server>>>);

impl Servers {
    /// The server with these options.
    pub(crate) fn find(&self, options: Options) -> Result<Arc<Server>, String> {
        let mut servers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|server| server.strong_count() > 0);
        let known = servers.iter().filter_map(Weak::upgrade);
        // A file of certificates may have changed since it was read.
        if let Some(server) = { known }
            .filter(|server| server.tls.is_none())
            .find(|server| server.options == options)
        {
            return Ok(server);
        }
        let server = Arc::new(Server::new(options)?);
        servers.push(Arc::downgrade(&server));
        Ok(server)
    }
}

impl Server {
    fn new(options: Options) -> Result<Self, String> {
        static IDS: AtomicU64 = AtomicU64::new(1);
        let Some(target) = options.target.clone() else {
            return Err(
                "no server is named; set coprocess_options.coprocess_grpc_server, for instance \
                 to tcp://127.0.0.1:5555"
                    .to_owned(),
            );
        };
        let tls = match target.host() {
            Some(host) if target.tls => Some(Tls::new(host, &options)?),
            _ => None,
        };
        let authority = options.authority.clone();
        let authority = authority.unwrap_or_else(|| target.authority());
        let origin = Uri::builder()
            .scheme(if target.tls { "https" } else { "http" })
            .authority(authority)
            .path_and_query("/")
            .build()
            .map_err(|error| format!("coprocess_grpc_server {target}: {error}"))?;
        Ok(Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            target,
            origin,
            options,
            tls,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

// === impl Tls ===

impl Tls {
    fn new(host: &str, options: &Options) -> Result<Self, String> {
        // Whoever calls the server by another name means the certificate of that name.
        let name = options.authority.as_deref().map_or(host, without_port);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| format!("`{name}` is no name that a certificate could have"))?;
        let mut roots = RootCertStore::empty();
        match &options.ca_file {
            Some(file) => add_file(&mut roots, file)?,
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS cannot be set up: {error}"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            name,
        })
    }
}

fn add_file(roots: &mut RootCertStore, file: &Path) -> Result<(), String> {
    let wrong = |error: &dyn std::fmt::Display| format!("grpc_ca_file {}: {error}", file.display());
    let text = fs::read(file).map_err(|error| wrong(&error))?;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&"has no certificate"));
    }
    Ok(())
}

fn without_port(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match authority.rsplit_once(':') {
        Some((host, _)) => host,
        None => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(text: &str) -> Options {
        Options::read(&serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn apis_with_the_same_options_share_a_server_as_long_as_one_lives() {
        let servers = Servers::default();
        let one = r#"{"coprocess_grpc_server": "a:1"}"#;
        let first = servers.find(options(one)).unwrap();
        let second = servers.find(options(one)).unwrap();
        assert_eq!(first.id, second.id);
        let other = r#"{"coprocess_grpc_server": "a:1", "grpc_authority": "b"}"#;
        let other = servers.find(options(other)).unwrap();
        assert_ne!(other.id, first.id);
        let id = first.id;
        drop((first, second));
        assert_ne!(servers.find(options(one)).unwrap().id, id);
    }

    #[test]
    fn calls_are_made_to_the_address_or_to_the_authority() {
        for (text, origin) in [
            (r#"{"coprocess_grpc_server": "tcp://a:1"}"#, "http://a:1/"),
            (
                r#"{"coprocess_grpc_server": "unix:///x"}"#,
                "http://localhost/",
            ),
            (
                r#"{"coprocess_grpc_server": "a:1", "grpc_authority": "b:2"}"#,
                "http://b:2/",
            ),
            (
                r#"{"coprocess_grpc_server": "https://a"}"#,
                "https://a:443/",
            ),
        ] {
            let server = Server::new(options(text)).unwrap();
            assert_eq!(server.origin.to_string(), origin);
        }
    }

    #[test]
    fn a_server_that_cannot_be_is_refused_with_what_to_do() {
        for (text, reason) in [
            ("{}", "set coprocess_options.coprocess_grpc_server"),
            (
                r#"{"coprocess_grpc_server": "https://a", "grpc_ca_file": "/nowhere.pem"}"#,
                "grpc_ca_file /nowhere.pem",
            ),
        ] {
            let error = Server::new(options(text)).err().unwrap();
            assert!(error.contains(reason), "{error}");
        }
    }
}

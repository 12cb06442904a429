//! TLS towards clients: certificates by name, which a reload reads anew.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::any_client::AnyClient;
use super::{Suite, TlsError, at, read_certificates, read_key};
use crate::config::HttpServerOptions;

/// How the gateway's ports speak TLS.
pub struct Termination {
    options: HttpServerOptions,
    current: ArcSwap<Configs>,
    tickets: [Arc<dyn ProducesTickets>; 2],
    asks_clients: AtomicBool,
    /// How long a client may take for the handshake.
    pub handshake_limit: Duration,
}

/// The same certificates, once for clients that need none.
struct Configs {
    silent: Arc<ServerConfig>,
    asking: Arc<ServerConfig>,
}

// === impl Termination ===

impl Termination {
    /// Reads the certificates that the configuration names; `None` where it wants no TLS.
    pub fn new(options: &HttpServerOptions) -> Result<Option<Self>, TlsError> {
        if !options.use_ssl {
            return Ok(None);
        }
        let ticketer = || Ticketer::new().map_err(|error| TlsError(error.to_string()));
        // Of their own: who came back with a ticket of the other kind would not be asked.
        let tickets = [ticketer()?, ticketer()?];
        Ok(Some(Self {
            current: ArcSwap::from_pointee(configs(options, &tickets)?),
            options: options.clone(),
            tickets,
            asks_clients: AtomicBool::new(false),
            handshake_limit: Duration::from_secs(options.tls_handshake_timeout),
        }))
    }

    /// Reads the certificates again. After an error those of before are used.
    pub fn reload(&self) -> Result<(), TlsError> {
        let read = configs(&self.options, &self.tickets)?;
        self.current.store(Arc::new(read));
        Ok(())
    }

    /// Whether clients are asked for certificates from now on. They need not have one.
    pub fn ask_clients(&self, ask: bool) {
        self.asks_clients.store(ask, Ordering::Relaxed);
    }

    /// What the next connection is served with.
    pub fn config(&self) -> Arc<ServerConfig> {
        let current = self.current.load();
        Arc::clone(match self.asks_clients.load(Ordering::Relaxed) {
            true => &current.asking,
            false => &current.silent,
        })
    }
}

fn configs(
    options: &HttpServerOptions,
    tickets: &[Arc<dyn ProducesTickets>; 2],
) -> Result<Configs, TlsError> {
    let place = |error: TlsError| TlsError(format!("http_server_options: {error}"));
    let suite = Suite {
        min_version: options.min_version,
        max_version: options.max_version,
        ciphers: &options.ssl_ciphers,
    };
    let provider = suite.provider().map_err(place)?;
    let versions = suite.versions().map_err(place)?;
    let names = Arc::new(Names::read(options, &provider).map_err(place)?);
    let make = |asks: bool, tickets: &Arc<dyn ProducesTickets>| {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|error| place(TlsError(error.to_string())))?;
        let builder = match asks {
            true => builder.with_client_cert_verifier(Arc::new(AnyClient(Arc::clone(&provider)))),
            false => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(&names) as Arc<_>);
        config.ticketer = Arc::clone(tickets);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if options.enable_http2 {
            config.alpn_protocols.insert(0, b"h2".to_vec());
        }
        Ok(Arc::new(config))
    };
    Ok(Configs {
        silent: make(false, &tickets[0])?,
        asking: make(true, &tickets[1])?,
    })
}

/// Certificates by the names that clients ask for.
#[derive(Debug)]
struct Names {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what is behind the `*.`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    /// The first one, for clients that name none or another one.
    default: Arc<CertifiedKey>,
}

// === impl Names ===

impl Names {
    fn read(options: &HttpServerOptions, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let single = options.ssl_certificates.iter();
        let single = single.map(|file| (String::new(), file, file));
        let entries = options.certificates.iter();
        let entries =
            entries.map(|entry| (entry.domain_name.clone(), &entry.cert_file, &entry.key_file));
        let mut read = Vec::new();
        for (domain, certificate, key) in entries.chain(single) {
            read.push(certified(domain, certificate, key, provider)?);
        }
        let Some((_, first)) = read.first() else {
            return Err(TlsError(
                "use_ssl is on, but certificates and ssl_certificates are empty".into(),
            ));
        };
        let mut names = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: Arc::clone(first),
        };
        for (domains, key) in read {
            for domain in domains {
                let (map, name) = match domain.strip_prefix("*.") {
                    Some(above) => (&mut names.wildcard, above),
                    None => (&mut names.exact, &*domain),
                };
                // The first one of a name has it, as in the original.
                map.entry(name.to_owned())
                    .or_insert_with(|| Arc::clone(&key));
            }
        }
        Ok(names)
    }

    fn find(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let Some(name) = name.map(str::to_ascii_lowercase) else {
            return &self.default;
        };
        let above = name.split_once('.').map(|(_, above)| above);
        let found = self.exact.get(&name);
        let found = found.or_else(|| self.wildcard.get(above?));
        found.unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.find(hello.server_name())))
    }
}

/// A certificate with its key, and the names that it is used for: the configured one, and
/// those in it.
fn certified(
    domain: String,
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<(Vec<String>, Arc<CertifiedKey>), TlsError> {
    let chain = read_certificates(certificate)?;
    let mut names = vec![domain];
    let leaf = webpki::EndEntityCert::try_from(&chain[0])
        .map_err(|error| at(certificate, &format!("unusable certificate: {error}")))?;
    names.extend(leaf.valid_dns_names().map(str::to_owned));
    names.retain(|name| !name.is_empty());
    for name in &mut names {
        name.make_ascii_lowercase();
    }
    let certified = CertifiedKey::from_der(chain, read_key(key)?, provider).map_err(|error| {
        let reason = match error {
            rustls::Error::InconsistentKeys(_) => {
                format!(
                    "is not the key of the certificate in {}",
                    certificate.display()
                )
            }
            error => error.to_string(),
        };
        at(key, &reason)
    })?;
    Ok((names, Arc::new(certified)))
}

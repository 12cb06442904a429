//! TLS towards clients: certificates by name, which a reload reads anew.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ClientHello, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tracing::error;

use super::verify::AnyClient;
use super::{Suite, TlsError};
use crate::certificates::{Material, Sources, fingerprint_in};
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
    /// Those of the store may come later, with a load: whoever adds them may need the port.
    pub fn new(options: &HttpServerOptions, sources: &Sources) -> Result<Option<Self>, TlsError> {
        if !options.use_ssl {
            return Ok(None);
        }
        let ticketer = || Ticketer::new().map_err(|error| TlsError(error.to_string()));
        // Of their own: who came back with a ticket of the other kind would not be asked.
        let tickets = [ticketer()?, ticketer()?];
        let names = Names::read(options, |name| match sources.get(name) {
            Err(error) if fingerprint_in(name).is_some() => {
                error!(%error, "Clients are not shown a certificate.");
                Ok(None)
            }
            outcome => outcome,
        });
        let names = Arc::new(names.map_err(place)?);
        Ok(Some(Self {
            current: ArcSwap::from_pointee(configs(options, &names, &tickets)?),
            options: options.clone(),
            tickets,
            asks_clients: AtomicBool::new(false),
            handshake_limit: Duration::from_secs(options.tls_handshake_timeout),
        }))
    }

    /// Reads the configuration's certificates, and adds those of APIs. After an error those
    /// of before are used.
    pub fn load<'a>(
        &self,
        sources: &Sources,
        of_apis: impl Iterator<Item = &'a Arc<Material>>,
    ) -> Result<(), TlsError> {
        let mut first = Names::default();
        for material in of_apis {
            first.add(None, material)?;
        }
        let names = Names::read(&self.options, |name| sources.get(name));
        let names = Arc::new(names.map_err(place)?.with(first));
        self.current
            .store(Arc::new(configs(&self.options, &names, &self.tickets)?));
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

fn place(error: TlsError) -> TlsError {
    TlsError(format!("http_server_options: {error}"))
}

fn configs(
    options: &HttpServerOptions,
    names: &Arc<Names>,
    tickets: &[Arc<dyn ProducesTickets>; 2],
) -> Result<Configs, TlsError> {
    let suite = Suite {
        min_version: options.min_version,
        max_version: options.max_version,
        ciphers: &options.ssl_ciphers,
    };
    let provider = suite.provider().map_err(place)?;
    let versions = suite.versions().map_err(place)?;
    let make = |asks: bool, tickets: &Arc<dyn ProducesTickets>| {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .map_err(|error| place(TlsError(error.to_string())))?;
        let builder = match asks {
            true => builder.with_client_cert_verifier(Arc::new(AnyClient(Arc::clone(&provider)))),
            false => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::clone(names) as Arc<_>);
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
#[derive(Debug, Default)]
struct Names {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// By what is behind the `*.`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    /// The first one, for clients that name none or another one. None at all where the
    /// certificates of the store cannot be had: then no handshake succeeds.
    default: Option<Arc<CertifiedKey>>,
}

// === impl Names ===

impl Names {
    /// The first certificate of a name has it, as in the original.
    fn add(&mut self, own: Option<&str>, material: &Material) -> Result<(), TlsError> {
        let certified = material.certified()?;
        let own = own.filter(|name| !name.is_empty());
        let own = own.map(str::to_ascii_lowercase);
        for name in own.into_iter().chain(material.server_names()?) {
            let (map, name) = match name.strip_prefix("*.") {
                Some(above) => (&mut self.wildcard, above.to_owned()),
                None => (&mut self.exact, name),
            };
            map.entry(name).or_insert_with(|| Arc::clone(&certified));
        }
        self.default.get_or_insert(certified);
        Ok(())
    }

    /// The configuration's certificates.
    fn read(
        options: &HttpServerOptions,
        find: impl Fn(&str) -> Result<Option<Arc<Material>>, TlsError>,
    ) -> Result<Self, TlsError> {
        if options.certificates.is_empty() && options.ssl_certificates.is_empty() {
            return Err(TlsError(
                "use_ssl is on, but certificates and ssl_certificates are empty".into(),
            ));
        }
        let mut names = Self::default();
        for entry in &options.certificates {
            let material = Material::of_files(&entry.cert_file, &entry.key_file)?;
            names.add(Some(&entry.domain_name), &material)?;
        }
        for name in &options.ssl_certificates {
            if let Some(material) = find(name)? {
                names.add(None, &material)?;
            }
        }
        Ok(names)
    }

    /// Puts these in front of the others: what they are for they have, as in the original.
    /// The default stays.
    fn with(mut self, first: Self) -> Self {
        self.exact.extend(first.exact);
        self.wildcard.extend(first.wildcard);
        self.default = self.default.or(first.default);
        self
    }

    fn find(&self, name: Option<&str>) -> Option<&Arc<CertifiedKey>> {
        let Some(name) = name.map(str::to_ascii_lowercase) else {
            return self.default.as_ref();
        };
        let above = name.split_once('.').map(|(_, above)| above);
        let found = self.exact.get(&name);
        let found = found.or_else(|| self.wildcard.get(above?));
        found.or(self.default.as_ref())
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name()).cloned()
    }
}

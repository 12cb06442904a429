//! TLS towards an API's upstream: from the configuration and the definition.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::config::Config;
use crate::definition::ApiDefinition;
use crate::tls::client::{ClientTls, SystemRoots, Wanted};
use crate::tls::{Suite, TlsError};
use crate::upstream::target::Target;

/// How TLS is set up for the upstreams of one API.
#[derive(Default)]
pub struct UpstreamTls {
    definition: ApiDefinition,
    config: Arc<Config>,
    system: Arc<SystemRoots>,
    /// Upstreams that are not the API's first one: of a list, of a version, of a rewrite.
    secured: Mutex<HashMap<String, Arc<Target>>>,
}

/// Most upstreams of one API that are remembered; rewrites may lead anywhere.
const MOST_REMEMBERED: usize = 1000;

impl UpstreamTls {
    /// TLS by what the definition and the configuration say.
    pub(super) fn new(
        definition: &ApiDefinition,
        config: &Arc<Config>,
        system: &Arc<SystemRoots>,
    ) -> Self {
        Self {
            definition: definition.clone(),
            config: Arc::clone(config),
            system: Arc::clone(system),
            secured: Mutex::default(),
        }
    }

    /// Sets up TLS for a target that wants it.
    pub(super) fn secure(&self, target: &mut Target) -> Result<(), TlsError> {
        if target.wants_tls() {
            let identity = identity(target, &self.definition, &self.config);
            let tls = self.make(&target.host, identity)?;
            target.secure(tls);
        }
        Ok(())
    }

    /// Tries all settings and files, so that what cannot work is told when the API is loaded
    /// and not when a request goes to another upstream than the API's first one.
    pub(super) fn check(&self) -> Result<(), TlsError> {
        let own = self.definition.upstream_certificates.values();
        let common = self.config.security.certificates.upstream.values();
        for identity in own
            .chain(common)
            .map(|file| Some(file.clone()))
            .chain([None])
        {
            self.make("localhost", identity)?;
        }
        Ok(())
    }

    /// The target with TLS, where it wants it and nobody has set it up before.
    pub fn secured(&self, target: Arc<Target>) -> Result<Arc<Target>, TlsError> {
        if !target.wants_tls() {
            return Ok(target);
        }
        let query = target.query.as_deref().unwrap_or_default();
        let name = format!("{} {} {query}", target.pool_key, target.path);
        let mut secured = self.secured.lock().expect("nobody panics while holding it");
        if let Some(known) = secured.get(&name) {
            return Ok(Arc::clone(known));
        }
        let mut made = target.copy_unsecured();
        self.secure(&mut made)?;
        let made = Arc::new(made);
        if secured.len() >= MOST_REMEMBERED {
            secured.clear();
        }
        secured.insert(name, Arc::clone(&made));
        Ok(made)
    }

    fn make(&self, host: &str, identity: Option<PathBuf>) -> Result<ClientTls, TlsError> {
        let (own, config) = (&self.definition.proxy.transport, &self.config);
        let number = |own: u16, common: u16| if own == 0 { common } else { own };
        let ca_file = match own.ssl_ca_file.as_os_str().is_empty() {
            true => &config.proxy_ssl_ca_file,
            false => &own.ssl_ca_file,
        };
        let ciphers = match own.ssl_ciphers.is_empty() {
            true => &config.proxy_ssl_ciphers,
            false => &own.ssl_ciphers,
        };
        let wanted = Wanted {
            host,
            skip_verify: own.ssl_insecure_skip_verify || config.proxy_ssl_insecure_skip_verify,
            ca_file: ca_file.clone(),
            identity,
            suite: Suite {
                min_version: number(own.ssl_min_version, config.proxy_ssl_min_version),
                max_version: number(own.ssl_max_version, config.proxy_ssl_max_version),
                ciphers,
            },
            http2: config.proxy_enable_http2,
        };
        ClientTls::new(&wanted, &self.system)
    }
}

/// Whether requests of an API may go to other upstreams than its first one, in TLS.
pub(super) fn may_go_elsewhere(definition: &ApiDefinition) -> bool {
    let is_https = |url: &String| url.starts_with("https://");
    definition.proxy.target_list.iter().any(is_https)
        || definition
            .version_data
            .used()
            .into_iter()
            .any(|(_, version)| {
                is_https(&version.override_target)
                    || !version.extended_paths.url_rewrites.is_empty()
            })
}

/// The file of what is shown to the upstream. The definition's entries come first.
fn identity(target: &Target, definition: &ApiDefinition, config: &Config) -> Option<PathBuf> {
    let own = &definition.upstream_certificates;
    let own = (!definition.upstream_certificates_disabled).then_some(own);
    let common = &config.security.certificates.upstream;
    let mut places = own.into_iter().chain([common]);
    places.find_map(|entries| for_host(entries, &target.host, target.port))
}

/// The entry of a host: its name with the port, its name, a wildcard for one level, `*`.
fn for_host(entries: &BTreeMap<String, PathBuf>, host: &str, port: u16) -> Option<PathBuf> {
    let above = host.split_once('.').map(|(_, above)| format!("*.{above}"));
    let names = [Some(format!("{host}:{port}")), Some(host.to_owned()), above];
    let mut names = names.into_iter().flatten().chain(["*".to_owned()]);
    names.find_map(|name| entries.get(&name).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_entry_of_a_host_is_used() {
        let all = ["*", "*.example", "a.example", "a.example:444"];
        let entries: BTreeMap<String, PathBuf> = all
            .into_iter()
            .map(|name| (name.to_owned(), PathBuf::from(name)))
            .collect();
        for (host, port, expected) in [
            ("a.example", 444, "a.example:444"),
            ("a.example", 443, "a.example"),
            ("b.example", 443, "*.example"),
            ("b.a.example", 443, "*"),
            ("other", 443, "*"),
        ] {
            let found = for_host(&entries, host, port);
            assert_eq!(found, Some(PathBuf::from(expected)), "{host}");
        }
        assert_eq!(for_host(&BTreeMap::new(), "a", 1), None);
    }
}

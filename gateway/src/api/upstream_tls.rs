//! TLS towards an API's upstream: from the configuration and the definition.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use tracing::warn;

use crate::certificates::{Material, Sources};
use crate::config::Config;
use crate::definition::ApiDefinition;
use crate::tls::client::{ClientTls, Wanted};
use crate::tls::{Suite, TlsError};
use crate::upstream::target::Target;

/// How TLS is set up for the upstreams of one API.
#[derive(Default)]
pub struct UpstreamTls {
    definition: ApiDefinition,
    config: Arc<Config>,
    sources: Option<Arc<Sources>>,
    /// The certificates to show by the names that are used for them, read at load: requests
    /// must not wait for files and the store.
    identities: HashMap<String, Identity>,
    /// The public keys that upstreams may have, by how they are written.
    pins: HashMap<String, Result<Arc<[String]>, TlsError>>,
    /// Upstreams that are not the API's first one: of a list, of a version, of a rewrite.
    secured: Mutex<HashMap<String, Arc<Target>>>,
}

/// Nothing where what there is cannot be known.
type Identity = Result<Option<Arc<Material>>, TlsError>;

/// Most upstreams of one API that are remembered; rewrites may lead anywhere.
const MOST_REMEMBERED: usize = 1000;

impl UpstreamTls {
    /// TLS by what the definition and the configuration say.
    pub(super) fn new(
        definition: &ApiDefinition,
        config: &Arc<Config>,
        sources: &Arc<Sources>,
    ) -> Self {
        let read = |name: &String| (name.clone(), sources.get(name));
        let shown = shown(definition, config).into_iter();
        let pinned = pinned(definition, config).into_iter();
        let pins = |names: &String| (names.clone(), pins_of(names, sources));
        Self {
            identities: shown.flat_map(BTreeMap::values).map(read).collect(),
            pins: pinned.flat_map(BTreeMap::values).map(pins).collect(),
            definition: definition.clone(),
            config: Arc::clone(config),
            sources: Some(Arc::clone(sources)),
            secured: Mutex::default(),
        }
    }

    /// Sets up TLS for a target that wants it.
    pub(super) fn secure(&self, target: &mut Target) -> Result<(), TlsError> {
        let of_host = |all: Vec<&'_ BTreeMap<String, String>>| {
            let mut all = all.into_iter();
            let found = all.find_map(|entries| for_host(entries, &target.host, target.port));
            found.cloned()
        };
        let pins = of_host(pinned(&self.definition, &self.config));
        if target.wants_tls() {
            let identity = of_host(shown(&self.definition, &self.config));
            let tls = self.make(&target.host, identity.as_ref(), pins.as_ref())?;
            target.secure(tls);
        } else if pins.is_some() {
            let (api, upstream) = (&self.definition.api_id, &*target.authority);
            warn!(
                api,
                upstream, "pinned_public_keys has no effect: the upstream has no TLS."
            );
        }
        Ok(())
    }

    /// Tries all settings and files, so that what cannot work is told when the API is loaded
    /// and not when a request goes to another upstream than the API's first one.
    pub(super) fn check(&self) -> Result<(), TlsError> {
        for name in self.identities.keys().map(Some).chain([None]) {
            self.make("localhost", name, None)?;
        }
        for names in self.pins.keys() {
            self.make("localhost", None, Some(names))?;
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

    fn make(
        &self,
        host: &str,
        identity: Option<&String>,
        pins: Option<&String>,
    ) -> Result<ClientTls, TlsError> {
        let pins = pins.and_then(|names| self.pins.get(names));
        let pins = pins.cloned().transpose()?;
        let identity = identity.and_then(|name| self.identities.get(name));
        let identity = identity.cloned().transpose()?.flatten();
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
            pins,
            suite: Suite {
                min_version: number(own.ssl_min_version, config.proxy_ssl_min_version),
                max_version: number(own.ssl_max_version, config.proxy_ssl_max_version),
                ciphers,
            },
            http2: config.proxy_enable_http2,
        };
        let sources = self
            .sources
            .as_ref()
            .expect("an API with an upstream has them");
        ClientTls::new(&wanted, &sources.system)
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

/// The public keys that are meant by names with commas between them.
fn pins_of(names: &str, sources: &Sources) -> Result<Arc<[String]>, TlsError> {
    let place = |error: TlsError| TlsError(format!("pinned_public_keys: {error}"));
    let names = names.split(',').map(str::trim);
    let names = names.filter(|name| !name.is_empty());
    let pins: Result<Vec<_>, _> = names.map(|name| sources.public_key(name)).collect();
    let pins = pins.map_err(place)?;
    if pins.is_empty() {
        return Err(place(TlsError("an entry names no key".into())));
    }
    Ok(pins.into())
}

/// The public keys of upstreams by their host. The definition's entries come first.
fn pinned<'a>(
    definition: &'a ApiDefinition,
    config: &'a Config,
) -> Vec<&'a BTreeMap<String, String>> {
    let own = &definition.pinned_public_keys;
    let own = (!definition.certificate_pinning_disabled).then_some(own);
    let common = &config.security.pinned_public_keys;
    own.into_iter().chain([common]).collect()
}

/// What is shown to upstreams by their host. The definition's entries come first.
fn shown<'a>(
    definition: &'a ApiDefinition,
    config: &'a Config,
) -> Vec<&'a BTreeMap<String, String>> {
    let own = &definition.upstream_certificates;
    let own = (!definition.upstream_certificates_disabled).then_some(own);
    let common = &config.security.certificates.upstream;
    own.into_iter().chain([common]).collect()
}

/// The entry of a host: its name with the port, its name, a wildcard for one level, `*`.
fn for_host<'a>(
    entries: &'a BTreeMap<String, String>,
    host: &str,
    port: u16,
) -> Option<&'a String> {
    let above = host.split_once('.').map(|(_, above)| format!("*.{above}"));
    let names = [Some(format!("{host}:{port}")), Some(host.to_owned()), above];
    let mut names = names.into_iter().flatten().chain(["*".to_owned()]);
    names.find_map(|name| entries.get(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_entry_of_a_host_is_used() {
        let all = ["*", "*.example", "a.example", "a.example:444"];
        let entries: BTreeMap<String, String> = all
            .into_iter()
            .map(|name| (name.to_owned(), name.to_owned()))
            .collect();
        for (host, port, expected) in [
            ("a.example", 444, "a.example:444"),
            ("a.example", 443, "a.example"),
            ("b.example", 443, "*.example"),
            ("b.a.example", 443, "*"),
            ("other", 443, "*"),
        ] {
            let found = for_host(&entries, host, port);
            assert_eq!(found.map(String::as_str), Some(expected), "{host}");
        }
        assert_eq!(for_host(&BTreeMap::new(), "a", 1), None);
    }
}

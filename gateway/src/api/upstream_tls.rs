//! TLS towards an API's upstream: from the configuration and the definition.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::config::Config;
use crate::definition::ApiDefinition;
use crate::tls::client::{ClientTls, SystemRoots, Wanted};
use crate::tls::{Suite, TlsError};
use crate::upstream::target::Target;

/// Sets up TLS for a target that wants it, by what the API and the configuration say.
pub(super) fn secure(
    target: &mut Target,
    definition: &ApiDefinition,
    config: &Config,
    system: &SystemRoots,
) -> Result<(), TlsError> {
    if !target.wants_tls() {
        return Ok(());
    }
    let own = &definition.proxy.transport;
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
        host: &target.host,
        skip_verify: own.ssl_insecure_skip_verify || config.proxy_ssl_insecure_skip_verify,
        ca_file: ca_file.clone(),
        identity: identity(target, definition, config),
        suite: Suite {
            min_version: number(own.ssl_min_version, config.proxy_ssl_min_version),
            max_version: number(own.ssl_max_version, config.proxy_ssl_max_version),
            ciphers,
        },
        http2: config.proxy_enable_http2,
    };
    let tls = ClientTls::new(&wanted, system)?;
    target.secure(tls);
    Ok(())
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

//! `upstream`: where requests go.

use serde::Deserialize;

use super::{Making, Mistake, Switch, below, seconds};

/// Most upstreams that weights may make of a list.
const MOST_TARGETS: usize = 1000;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Upstream {
    url: String,
    rate_limit: RateLimit,
    load_balancing: LoadBalancing,
    preserve_host_header: Switch,
    tls_transport: TlsTransport,
    #[serde(rename = "mutualTLS")]
    mutual_tls: MutualTls,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RateLimit {
    enabled: bool,
    rate: f64,
    per: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LoadBalancing {
    enabled: bool,
    /// Upstreams that fail are passed over in any case.
    #[serde(rename = "skipUnavailableHosts")]
    _skip_unavailable_hosts: bool,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Target {
    url: String,
    weight: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct TlsTransport {
    insecure_skip_verify: bool,
    ciphers: Vec<String>,
    min_version: String,
    max_version: String,
    /// Names are checked in any case.
    #[serde(rename = "forceCommonNameCheck")]
    _force_common_name_check: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct MutualTls {
    enabled: bool,
    domain_to_certificate_mapping: Vec<Certificate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Certificate {
    domain: String,
    certificate: String,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            url: String::new(),
            weight: 1,
        }
    }
}

impl Making<'_> {
    pub(super) fn upstream(&mut self, upstream: Upstream) -> Result<(), Mistake> {
        let limit = upstream.rate_limit;
        let definition = &mut self.definition;
        definition.global_rate_limit.disabled = !limit.enabled;
        if limit.enabled {
            definition.global_rate_limit.rate = limit.rate;
            let per = seconds("upstream.rateLimit.per", &limit.per)?;
            #[expect(clippy::cast_precision_loss, reason = "far below where that begins")]
            let per = per as f64;
            definition.global_rate_limit.per = per;
        }
        let proxy = &mut definition.proxy;
        proxy.target_url = upstream.url;
        proxy.preserve_host_header = upstream.preserve_host_header.enabled;
        proxy.enable_load_balancing = upstream.load_balancing.enabled;
        proxy.target_list = targets(upstream.load_balancing.targets)?;
        let tls = upstream.tls_transport;
        proxy.transport.ssl_insecure_skip_verify = tls.insecure_skip_verify;
        proxy.transport.ssl_ciphers = tls.ciphers;
        proxy.transport.ssl_min_version = version("minVersion", &tls.min_version)?;
        proxy.transport.ssl_max_version = version("maxVersion", &tls.max_version)?;
        definition.upstream_certificates_disabled = !upstream.mutual_tls.enabled;
        let certificates = upstream.mutual_tls.domain_to_certificate_mapping;
        definition.upstream_certificates = certificates
            .into_iter()
            .map(|entry| (entry.domain, entry.certificate))
            .collect();
        Ok(())
    }
}

/// Each upstream as often as its weight says.
fn targets(targets: Vec<Target>) -> Result<Vec<String>, Mistake> {
    let mut list = Vec::new();
    for (place, target) in targets.into_iter().enumerate() {
        if list.len().saturating_add(target.weight) > MOST_TARGETS {
            let path = below(&format!("upstream.loadBalancing.targets[{place}].weight"));
            let message = format!("weights together are at most {MOST_TARGETS}");
            return Err((path, message));
        }
        list.extend(std::iter::repeat_n(target.url, target.weight));
    }
    Ok(list)
}

/// A version of TLS as its number.
fn version(key: &str, text: &str) -> Result<u16, Mistake> {
    match text {
        "" => Ok(0),
        "1.0" => Ok(769),
        "1.1" => Ok(770),
        "1.2" => Ok(771),
        "1.3" => Ok(772),
        other => {
            let path = below(&format!("upstream.tlsTransport.{key}"));
            Err((path, format!("`{other}` is not one of 1.0, 1.1, 1.2, 1.3")))
        }
    }
}

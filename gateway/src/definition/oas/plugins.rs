//! `middleware.global`: what holds for all requests, plugins among it.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Making, Pair, Switch};
use crate::definition::{CacheOptions, Cors, HookEntry, IdExtractor};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Global {
    plugin_config: PluginConfig,
    pre_plugin: Older,
    pre_plugins: Vec<Plugin>,
    post_authentication_plugin: Older,
    post_authentication_plugins: Vec<Plugin>,
    post_plugin: Older,
    post_plugins: Vec<Plugin>,
    response_plugin: Older,
    response_plugins: Vec<Plugin>,
    cors: CorsSettings,
    cache: Cache,
    transform_request_headers: TransformHeaders,
    transform_response_headers: TransformHeaders,
    context_variables: Switch,
    request_size_limit: SizeLimit,
    skip_rate_limit: bool,
    skip_quota: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PluginConfig {
    driver: String,
    bundle: Bundle,
    data: Data,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Bundle {
    enabled: bool,
    path: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    enabled: bool,
    value: Map<String, Value>,
}

/// The older form of a list of plugins.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Older {
    plugins: Vec<Plugin>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Plugin {
    enabled: bool,
    function_name: String,
    path: String,
    raw_body_only: bool,
    require_session: bool,
    /// The language of this plugin (an addition).
    driver: String,
    /// Milliseconds that it may run (an addition).
    timeout_ms: u64,
}

/// The plugin that authenticates.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Check {
    enabled: bool,
    function_name: String,
    path: String,
    raw_body_only: bool,
    require_session: bool,
    id_extractor: Option<Extractor>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Extractor {
    enabled: bool,
    source: String,
    with: String,
    config: ExtractorSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ExtractorSettings {
    header_name: String,
    form_param_name: String,
    regexp: String,
    regexp_match_index: i64,
    #[serde(rename = "xPathExp")]
    xpath_exp: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CorsSettings {
    enabled: bool,
    max_age: u64,
    allow_credentials: bool,
    exposed_headers: Vec<String>,
    allowed_headers: Vec<String>,
    options_passthrough: bool,
    debug: bool,
    allowed_origins: Vec<String>,
    allowed_methods: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Cache {
    enabled: bool,
    timeout: u64,
    cache_all_safe_requests: bool,
    cache_response_codes: Vec<u16>,
    cache_by_headers: Vec<String>,
    enable_upstream_cache_control: bool,
    #[serde(rename = "controlTTLHeaderName")]
    control_ttl_header_name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TransformHeaders {
    pub(super) enabled: bool,
    pub(super) remove: Vec<String>,
    pub(super) add: Vec<Pair>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SizeLimit {
    pub(super) enabled: bool,
    pub(super) value: u64,
}

impl Making<'_> {
    pub(super) fn global(&mut self, global: Global) {
        let definition = &mut self.definition;
        let config = global.plugin_config;
        definition.custom_middleware_bundle = config.bundle.path;
        definition.custom_middleware_bundle_disabled = !config.bundle.enabled;
        definition.config_data = config.data.value;
        definition.config_data_disabled = !config.data.enabled;
        let hooks = &mut definition.custom_middleware;
        hooks.driver = config.driver;
        hooks.pre = entries(global.pre_plugins, global.pre_plugin);
        hooks.post_key_auth = entries(
            global.post_authentication_plugins,
            global.post_authentication_plugin,
        );
        hooks.post = entries(global.post_plugins, global.post_plugin);
        hooks.response = entries(global.response_plugins, global.response_plugin);
        definition.cors = global.cors.convert();
        definition.cache_options = global.cache.convert();
        definition.enable_context_vars |= global.context_variables.enabled;
        definition.disable_rate_limit = global.skip_rate_limit;
        definition.disable_quota = global.skip_quota;
        let version = &mut self.version;
        let headers = global.transform_request_headers;
        version.global_headers_disabled = !headers.enabled;
        version.global_headers_remove = headers.remove;
        version.global_headers = pairs(headers.add);
        let headers = global.transform_response_headers;
        version.global_response_headers_disabled = !headers.enabled;
        version.global_response_headers_remove = headers.remove;
        version.global_response_headers = pairs(headers.add);
        version.global_size_limit = global.request_size_limit.value;
        version.global_size_limit_disabled = !global.request_size_limit.enabled;
    }
}

/// A list of plugins, or its older form.
fn entries(plugins: Vec<Plugin>, older: Older) -> Vec<HookEntry> {
    let used = match plugins.is_empty() {
        true => older.plugins,
        false => plugins,
    };
    used.into_iter().map(Plugin::convert).collect()
}

/// Names and values as a map.
pub(super) fn pairs(pairs: Vec<Pair>) -> std::collections::BTreeMap<String, String> {
    let pairs = pairs.into_iter();
    pairs.map(|pair| (pair.name, pair.value)).collect()
}

impl Plugin {
    fn convert(self) -> HookEntry {
        HookEntry {
            name: self.function_name,
            path: self.path,
            disabled: !self.enabled,
            require_session: self.require_session,
            raw_body_only: self.raw_body_only,
            driver: self.driver,
            timeout_ms: self.timeout_ms,
            ..HookEntry::default()
        }
    }
}

impl Check {
    pub(super) fn convert(self) -> (HookEntry, IdExtractor) {
        let entry = HookEntry {
            name: self.function_name,
            path: self.path,
            disabled: !self.enabled,
            require_session: self.require_session,
            raw_body_only: self.raw_body_only,
            ..HookEntry::default()
        };
        let extractor = self.id_extractor.map(Extractor::convert);
        (entry, extractor.unwrap_or_default())
    }
}

impl Extractor {
    fn convert(self) -> IdExtractor {
        let mut extractor = IdExtractor {
            disabled: !self.enabled,
            extract_from: self.source,
            extract_with: self.with,
            ..IdExtractor::default()
        };
        let config = &mut extractor.extractor_config;
        config.header_name = self.config.header_name;
        config.param_name = self.config.form_param_name;
        config.regex_expression = self.config.regexp;
        config.regex_match_index = self.config.regexp_match_index;
        config.xpath_expression = self.config.xpath_exp;
        extractor
    }
}

impl CorsSettings {
    fn convert(self) -> Cors {
        Cors {
            enable: self.enabled,
            allowed_origins: self.allowed_origins,
            allowed_methods: self.allowed_methods,
            allowed_headers: self.allowed_headers,
            exposed_headers: self.exposed_headers,
            allow_credentials: self.allow_credentials,
            max_age: self.max_age,
            options_passthrough: self.options_passthrough,
            debug: self.debug,
        }
    }
}

impl Cache {
    fn convert(self) -> CacheOptions {
        CacheOptions {
            enable_cache: self.enabled,
            cache_timeout: self.timeout,
            cache_all_safe_requests: self.cache_all_safe_requests,
            cache_response_codes: self.cache_response_codes,
            enable_upstream_cache_control: self.enable_upstream_cache_control,
            cache_control_ttl_header: self.control_ttl_header_name,
            cache_by_headers: self.cache_by_headers,
        }
    }
}

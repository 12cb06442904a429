//! The process configuration (`tyk.conf`), read once at start-up.
//!
//! The file is JSON; `TYK_GW_…` variables override single values. Keys that the gateway
//! does not read are reported with their path, never ignored in silence.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::json::{self, JsonError};
use crate::limits::RateMode;
use crate::traffic::addresses::Addresses;

mod env;
mod events;
mod health;
mod http_server;
mod limits;
mod policies;
mod redis;
mod response_cache;
mod session;
mod storage;
mod tls;
mod uptime;

pub use events::{EventHandler, EventHandlers};
pub use health::HealthCheck;
pub use http_server::{CertificateEntry, HttpServerOptions};
pub use limits::LimitHeaders;
pub use policies::PolicyOptions;
pub use redis::{RedisOptions, RedisTls, Topology};
pub use response_cache::LocalResponseCache;
pub use storage::{StorageOptions, StorageType};
pub use tls::{Certificates, ExpiryMonitor, Security};
pub use uptime::UptimeOptions;

/// What the well-known sample configuration ships as its secret.
const SAMPLE_SECRET: &str = "352d20ee67be67f6340b4c0605b044b7";

/// Most header fields that the HTTP library reads.
const MOST_HEADERS: usize = 100;

/// Everything that is fixed for the life of the process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Address to listen on; empty means all.
    pub listen_address: String,
    /// Port to listen on; 0 lets the system choose.
    pub listen_port: u16,
    /// The admin API's secret; empty turns the admin API off.
    pub secret: String,
    /// Port of a listener of its own for the admin API; 0 keeps it on `listen_port`.
    pub control_api_port: u16,
    /// Folder of API definitions; every `*.json` in it is one.
    pub app_path: PathBuf,
    /// Folder of plugins that are not in a bundle: `<middleware_path>/<driver>/`.
    pub middleware_path: PathBuf,
    /// Whether bundles are downloaded.
    pub enable_bundle_downloader: bool,
    /// Where bundles are: a URL of the scheme `http`, `https` or `file`.
    pub bundle_base_url: String,
    /// Do not check the certificate of an HTTPS server of bundles.
    pub bundle_insecure_skip_verify: bool,
    /// PEM file of the key that bundles have to be signed with; empty accepts them unsigned.
    pub public_key_path: PathBuf,
    /// Do not verify bundles that are on the disk already.
    pub skip_verify_existing_plugin_bundle: bool,
    /// `debug`, `info`, `warn` or `error`.
    pub log_level: String,
    /// Data-plane threads; 0 means one per core.
    pub workers: usize,
    /// Patterns of paths do not tell upper from lower case.
    pub ignore_endpoint_case: bool,
    /// Seconds that an upstream may take to begin its answer.
    pub proxy_default_timeout: u64,
    /// Seconds that requests in flight may take to finish after SIGTERM.
    pub graceful_shutdown_timeout_duration: u64,
    /// Answer every request with `Connection: close`.
    pub close_connections: bool,
    /// Leave `X-Generator` out of error answers.
    pub hide_generator_header: bool,
    /// Accept settings that are known to be unsafe, such as the sample secret.
    pub allow_insecure_configs: bool,
    /// Path of the liveness probe, without the slash.
    pub health_check_endpoint_name: String,
    /// Path of the readiness probe, without the slash.
    pub readiness_check_endpoint_name: String,
    /// Store sessions under hashes of their keys.
    pub hash_keys: bool,
    /// `murmur32`, `murmur64`, `murmur128` or `sha256`; empty means `murmur32`, and session
    /// ids of the older form.
    pub hash_key_function: String,
    /// List hashes where keys are hashed.
    pub enable_hashed_keys_listing: bool,
    /// The shortest session id under which a stored session is accepted.
    pub min_token_length: usize,
    /// Use `global_session_lifetime` for every session.
    pub force_global_session_lifetime: bool,
    /// Seconds that every session is kept, where that is forced; 0 is for good.
    pub global_session_lifetime: i64,
    /// What a process remembers of sessions.
    pub local_session_cache: LocalSessionCache,
    /// Hold organisations to their sessions.
    pub enforce_org_quotas: bool,
    /// What `X-RateLimit-*` tell: `quotas` or `rate_limits`.
    pub rate_limit_response_headers: LimitHeaders,
    /// Where rates are counted with a store that gateways share: `exact` or `local`.
    pub rate_limit_mode: RateMode,
    /// The admin API makes keys without access rights, which are for all APIs.
    pub allow_master_keys: bool,
    /// Where policies are.
    pub policies: PolicyOptions,
    /// How many responses a process keeps (an addition).
    pub local_response_cache: LocalResponseCache,
    /// Plugins.
    pub coprocess_options: CoprocessOptions,
    /// Handlers of system events.
    pub event_handlers: EventHandlers,
    /// Where keys, sessions and plugin data are kept.
    pub storage: StorageOptions,
    /// The HTTP server.
    pub http_server_options: HttpServerOptions,
    /// Do not check the certificates of HTTPS upstreams.
    pub proxy_ssl_insecure_skip_verify: bool,
    /// PEM file of the authorities that vouch for upstreams (an addition); empty means the
    /// system's.
    pub proxy_ssl_ca_file: PathBuf,
    /// The lowest version of TLS towards upstreams, 771 is 1.2; 0 is the default.
    pub proxy_ssl_min_version: u16,
    /// The highest version; 0 is the default.
    pub proxy_ssl_max_version: u16,
    /// Ciphers of TLS 1.2 towards upstreams, by their IANA names; none means all.
    pub proxy_ssl_ciphers: Vec<String>,
    /// Offer HTTP/2 to HTTPS upstreams.
    pub proxy_enable_http2: bool,
    /// Certificates.
    pub security: Security,
    /// What is counted of requests.
    pub health_check: HealthCheck,
    /// Tests of upstreams.
    pub uptime_tests: UptimeOptions,
    /// Do not check the certificates of servers that have key sets for tokens.
    pub jwt_ssl_insecure_skip_verify: bool,
}

/// `local_session_cache`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct LocalSessionCache {
    /// Look into the store for every request.
    pub disable_cached_session_state: bool,
    /// Seconds that a session is used without another look into the store.
    pub cached_session_timeout: u64,
}

/// `coprocess_options`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct CoprocessOptions {
    /// Whether hooks run. When they do not, APIs with hooks refuse their requests.
    pub enable_coprocess: bool,
    /// Milliseconds that a hook may run, unless its entry says otherwise.
    pub hook_timeout_ms: u64,
    /// Bytes of body that are held for a hook; a longer body is refused.
    pub max_body_bytes: u64,
    /// Keys that belong to a language; it declares and checks them itself.
    #[serde(flatten)]
    pub language: Map<String, Value>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen_address: String::new(),
            listen_port: 8080,
            secret: String::new(),
            control_api_port: 0,
            app_path: "apps".into(),
            middleware_path: "middleware".into(),
            enable_bundle_downloader: false,
            bundle_base_url: String::new(),
            bundle_insecure_skip_verify: false,
            public_key_path: PathBuf::new(),
            skip_verify_existing_plugin_bundle: false,
            log_level: "info".into(),
            workers: 0,
            ignore_endpoint_case: false,
            proxy_default_timeout: 30,
            graceful_shutdown_timeout_duration: 30,
            close_connections: false,
            hide_generator_header: false,
            allow_insecure_configs: false,
            health_check_endpoint_name: "hello".into(),
            readiness_check_endpoint_name: "ready".into(),
            hash_keys: false,
            hash_key_function: String::new(),
            enable_hashed_keys_listing: false,
            min_token_length: 3,
            force_global_session_lifetime: false,
            global_session_lifetime: 0,
            local_session_cache: LocalSessionCache::default(),
            enforce_org_quotas: false,
            rate_limit_response_headers: LimitHeaders::default(),
            rate_limit_mode: RateMode::default(),
            allow_master_keys: false,
            policies: PolicyOptions::default(),
            local_response_cache: LocalResponseCache::default(),
            coprocess_options: CoprocessOptions::default(),
            event_handlers: EventHandlers::default(),
            storage: StorageOptions::default(),
            http_server_options: HttpServerOptions::default(),
            proxy_ssl_insecure_skip_verify: false,
            proxy_ssl_ca_file: PathBuf::new(),
            proxy_ssl_min_version: 0,
            proxy_ssl_max_version: 0,
            proxy_ssl_ciphers: Vec::new(),
            proxy_enable_http2: false,
            security: Security::default(),
            health_check: HealthCheck::default(),
            uptime_tests: UptimeOptions::default(),
            jwt_ssl_insecure_skip_verify: false,
        }
    }
}

impl Default for LocalSessionCache {
    fn default() -> Self {
        Self {
            disable_cached_session_state: false,
            cached_session_timeout: 10,
        }
    }
}

impl Default for CoprocessOptions {
    fn default() -> Self {
        Self {
            enable_coprocess: false,
            hook_timeout_ms: 5000,
            max_body_bytes: 32 * 1024 * 1024,
            language: Map::new(),
        }
    }
}

/// A configuration that the process cannot start with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// A variable has a value that does not fit.
    #[error("{variable}: {reason}")]
    Variable {
        /// The environment variable.
        variable: String,
        /// What was wrong and what is expected.
        reason: String,
    },
    /// A value is of the right type but cannot be used.
    #[error("{key}: {reason}")]
    Value {
        /// The key's path.
        key: &'static str,
        /// What was wrong and what to do.
        reason: String,
    },
}

/// A configuration and what should be said about it.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// Keys and variables that nothing reads, one sentence each.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads the file at `path` (or the defaults when there is none) and applies the
    /// variables. `language_options` are the keys that the linked languages read.
    pub fn load(
        path: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
        language_options: &[&str],
    ) -> Result<Loaded, ConfigError> {
        let mut warnings = Vec::new();
        let mut config = match path {
            Some(path) => read_file(path, &mut warnings)?,
            None => Self::default(),
        };
        config = env::apply(config, variables, language_options, &mut warnings)?;
        for key in config.coprocess_options.language.keys() {
            if !language_options.contains(&key.as_str()) {
                warnings.push(format!(
                    "coprocess_options.{key}: no language in this binary reads this key"
                ));
            }
        }
        config.validate()?;
        warnings.extend(config.storage.without_effect());
        warnings.extend(config.http_server_options.without_effect());
        Ok(Loaded { config, warnings })
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if self.secret == SAMPLE_SECRET && !self.allow_insecure_configs {
            return Err(ConfigError::Value {
                key: "secret",
                reason: "this is the well-known sample secret; choose your own, or set \
                         allow_insecure_configs"
                    .into(),
            });
        }
        if self.coprocess_options.hook_timeout_ms == 0 {
            return Err(ConfigError::Value {
                key: "coprocess_options.hook_timeout_ms",
                reason: "0 would refuse every request; give milliseconds above 0".into(),
            });
        }
        for (key, seconds) in [
            ("proxy_default_timeout", self.proxy_default_timeout),
            (
                "http_server_options.read_timeout",
                self.http_server_options.read_timeout,
            ),
            (
                "http_server_options.tls_handshake_timeout",
                self.http_server_options.tls_handshake_timeout,
            ),
        ] {
            if seconds == 0 {
                let reason = "0 would end every request; give seconds above 0".into();
                return Err(ConfigError::Value { key, reason });
            }
        }
        if self.http_server_options.max_request_headers > MOST_HEADERS {
            return Err(ConfigError::Value {
                key: "http_server_options.max_request_headers",
                reason: format!("at most {MOST_HEADERS} are possible"),
            });
        }
        self.validate_proxies()?;
        session::validate(self)?;
        self.policies.validate()?;
        self.validate_probes()?;
        self.storage.validate()?;
        self.uptime_tests.validate()?;
        self.health_check.validate()?;
        if crate::telemetry::log::parse_level(&self.log_level).is_none() {
            return Err(ConfigError::Value {
                key: "log_level",
                reason: format!(
                    "`{}` is not one of debug, info, warn, error",
                    self.log_level
                ),
            });
        }
        Ok(())
    }

    fn validate_probes(&self) -> Result<(), ConfigError> {
        let probes = [
            &self.health_check_endpoint_name,
            &self.readiness_check_endpoint_name,
        ];
        if probes[0] == probes[1] || probes.iter().any(|name| name.is_empty()) {
            return Err(ConfigError::Value {
                key: "readiness_check_endpoint_name",
                reason: "the two probes need names, and different ones".into(),
            });
        }
        Ok(())
    }

    fn validate_proxies(&self) -> Result<(), ConfigError> {
        let key = "http_server_options.trusted_proxies";
        let read = Addresses::parse(&self.http_server_options.trusted_proxies);
        read.map(drop)
            .map_err(|reason| ConfigError::Value { key, reason })
    }

    /// How many data-plane threads to run.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }

    /// How long a hook may run unless its entry says otherwise.
    pub fn hook_time_limit(&self) -> Duration {
        Duration::from_millis(self.coprocess_options.hook_timeout_ms)
    }
}

fn read_file(path: &Path, warnings: &mut Vec<String>) -> Result<Config, ConfigError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
        path: path.display().to_string(),
        source,
    })?;
    let parsed = json::parse::<Config>(path, &text)?;
    warnings.extend(parsed.unread.iter().map(|key| {
        format!(
            "{}: {key}: unknown or not implemented, has no effect",
            path.display()
        )
    }));
    Ok(parsed.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
        let file =
            std::env::temp_dir().join(format!("conf-{:?}.json", std::thread::current().id()));
        fs::write(&file, text).unwrap();
        let variables = variables
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Config::load(Some(&file), variables, &["some_option"])
    }

    #[test]
    fn variables_override_the_file() {
        let loaded = load(
            r#"{"listen_port": 1, "coprocess_options": {"some_option": 3}}"#,
            &[
                ("TYK_GW_LISTENPORT", "2"),
                ("TYK_GW_COPROCESSOPTIONS_ENABLECOPROCESS", "true"),
                ("TYK_GW_COPROCESSOPTIONS_SOMEOPTION", "4"),
                ("TYK_GW_HTTPSERVEROPTIONS_ENABLEWEBSOCKETS", "true"),
                ("TYK_LOGLEVEL", "debug"),
                ("OTHER", "x"),
            ],
        )
        .unwrap();
        assert_eq!(loaded.config.listen_port, 2);
        assert!(loaded.config.coprocess_options.enable_coprocess);
        assert!(loaded.config.http_server_options.enable_websockets);
        assert_eq!(loaded.config.coprocess_options.language["some_option"], 4);
        assert_eq!(loaded.config.log_level, "debug");
        assert_eq!(loaded.warnings, Vec::<String>::new());
    }

    #[test]
    fn keys_that_nothing_reads_are_named() {
        let loaded = load(
            r#"{"listen_prot": 1, "coprocess_options": {"some_optoin": 3}}"#,
            &[("TYK_GW_NOSUCHTHING", "1")],
        )
        .unwrap();
        let said = loaded.warnings.join("\n");
        for part in [
            "listen_prot",
            "coprocess_options.some_optoin",
            "TYK_GW_NOSUCHTHING",
        ] {
            assert!(said.contains(part), "{part} is missing in {said}");
        }
    }

    #[test]
    fn bad_values_name_their_source() {
        let error = load("{}", &[("TYK_GW_LISTENPORT", "many")]).unwrap_err();
        assert!(
            error.to_string().starts_with("TYK_GW_LISTENPORT: "),
            "{error}"
        );
        let error = load(&format!(r#"{{"secret": "{SAMPLE_SECRET}"}}"#), &[]).unwrap_err();
        assert!(error.to_string().starts_with("secret: "), "{error}");
        assert!(load(r#"{"log_level": "loud"}"#, &[]).is_err());
    }
}

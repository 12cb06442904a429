//! The file format of an API definition (classic JSON): what is written, not what it means.
//!
//! Only serde lives here. [`crate::api`] turns a definition into what serves requests.

pub mod access;
pub mod auth;
mod basic;
mod jwt;
mod limits;
pub mod oas;
pub mod policy;
pub mod session;
mod traffic;
pub mod unenforced;
mod upstream;
mod uptime;
mod versions;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::config::EventHandlers;
pub use traffic::{CacheOptions, Cors, ResponseProcessor};
pub use upstream::Transport;
pub use uptime::{Command, UptimeTest, UptimeTests};
pub use versions::{
    BodyTransform, CachedPath, CircuitBreaker, ExtendedPaths, HardTimeout, HeaderTransform, Match,
    MethodAction, MethodTransform, MockResponse, PathEntry, SizeLimit, TemplateData, Trigger,
    TriggerOptions, UrlRewrite, ValidateJson, Version, VersionData, VersionRule,
};

pub use auth::{Auth, AuthConfigs};
pub use basic::BasicAuth;
pub use jwt::{ScopeClaim, Scopes};
pub use limits::GlobalRateLimit;
pub use policy::{Partitions, PolicyDefinition};
pub use session::SessionDefinition;

/// One API, as its file describes it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiDefinition {
    /// A name for people.
    pub name: String,
    /// The API's identity.
    pub api_id: String,
    /// The organisation that owns it.
    pub org_id: String,
    /// No authentication.
    pub use_keyless: bool,
    /// Not looked at for definitions from files, as in the original.
    pub active: bool,
    /// Only other APIs reach it.
    pub internal: bool,
    /// The original's mark that a companion file has the API in its other form; not looked at.
    pub is_oas: bool,
    /// Where a key is found.
    pub auth: Auth,
    /// The same for each mechanism.
    pub auth_configs: AuthConfigs,
    /// A key is asked for, also where another mechanism authenticates.
    pub use_standard_auth: bool,
    /// Take credentials out of what goes to the upstream.
    pub strip_auth_data: bool,
    /// How a request says which version it wants.
    pub definition: VersionRule,
    /// The versions.
    pub version_data: VersionData,
    /// When the whole API ends, `2006-01-02 15:04` in UTC; empty and `-1` are never.
    #[serde(alias = "expires")]
    pub expiration: String,
    /// `$tyk_context.…` in transforms stands for something.
    pub enable_context_vars: bool,
    /// The original runs its transforms of responses where these are named; here they run
    /// where there are some.
    pub response_processors: Vec<ResponseProcessor>,
    /// Responses that are kept.
    pub cache_options: CacheOptions,
    /// Scripts of other origins.
    #[serde(rename = "CORS")]
    pub cors: Cors,
    /// Only `allowed_ips` may call.
    pub enable_ip_whitelisting: bool,
    /// Addresses and networks.
    pub allowed_ips: Vec<String>,
    /// `blacklisted_ips` may not call.
    pub enable_ip_blacklisting: bool,
    /// Addresses and networks.
    pub blacklisted_ips: Vec<String>,
    /// From where to where.
    pub proxy: Proxy,
    /// Tests of upstreams.
    pub uptime_tests: UptimeTests,
    /// The hooks.
    pub custom_middleware: CustomMiddleware,
    /// The bundle that brings code and hooks.
    pub custom_middleware_bundle: String,
    /// Leave the bundle aside.
    pub custom_middleware_bundle_disabled: bool,
    /// A plugin authenticates.
    pub custom_plugin_auth_enabled: bool,
    /// The older name of `custom_plugin_auth_enabled`.
    pub enable_coprocess_auth: bool,
    /// Seconds that a session is kept, unless it says otherwise itself; 0 is for good.
    pub session_lifetime: i64,
    /// A session is kept until its key expires, where that is later.
    pub session_lifetime_respects_key_expiration: bool,
    /// Which of several mechanisms provides the session.
    pub base_identity_provided_by: String,
    /// The rate of all requests together.
    pub global_rate_limit: GlobalRateLimit,
    /// Do not hold keys to their rates.
    pub disable_rate_limit: bool,
    /// Do not hold keys to their quotas.
    pub disable_quota: bool,
    /// Keys that are made or changed by the admin API keep what they have used of their
    /// quotas.
    #[serde(alias = "dont_set_quotas_on_create")]
    pub dont_set_quota_on_create: bool,
    /// Handlers of the API's events.
    pub event_handlers: EventHandlers,
    /// Settings for plugins.
    pub config_data: Map<String, Value>,
    /// Do not show `config_data` to plugins.
    pub config_data_disabled: bool,
    /// What clients are shown: ids of the store and PEM files with certificate and key.
    pub certificates: Vec<String>,
    /// What is shown to upstreams, by their host: ids and files of the same kind.
    pub upstream_certificates: BTreeMap<String, String>,
    /// Leave `upstream_certificates` aside.
    pub upstream_certificates_disabled: bool,
    /// The public keys that upstreams may have, by their host: SHA-256 in hex, ids and PEM
    /// files, with commas between them.
    pub pinned_public_keys: BTreeMap<String, String>,
    /// Leave `pinned_public_keys` aside.
    pub certificate_pinning_disabled: bool,
    /// A certificate of the client is asked for.
    pub use_mutual_tls_auth: bool,
    /// Which ones are accepted: ids of the store and PEM files, of authorities too.
    pub client_certificates: Vec<String>,
    /// User name and password are asked for.
    pub use_basic_auth: bool,
    /// How these are checked.
    pub basic_auth: BasicAuth,
    /// A signature of the request is asked for.
    pub enable_signature_checking: bool,
    /// The algorithms of signatures; none means all.
    pub hmac_allowed_algorithms: Vec<String>,
    /// Milliseconds that the date of a signed request may be away; 0 and below is any time.
    pub hmac_allowed_clock_skew: f64,
    /// A JSON Web Token is asked for.
    pub enable_jwt: bool,
    /// What its key is: `hmac`, `rsa`, `ecdsa` or `eddsa`.
    pub jwt_signing_method: String,
    /// The key in base64, or the URL of a key set; empty means the caller's session has it.
    pub jwt_source: String,
    /// The claim that says who calls; empty means `sub`.
    pub jwt_identity_base_field: String,
    /// The claim with the name of a key whose policy counts.
    pub jwt_client_base_field: String,
    /// The claim with the caller's policy.
    pub jwt_policy_field_name: String,
    /// The policies of callers whose tokens name none.
    pub jwt_default_policies: Vec<String>,
    /// The claim with scopes; the older form of `scopes.jwt`.
    pub jwt_scope_claim_name: String,
    /// Which policy a scope stands for; the older form of `scopes.jwt`.
    pub jwt_scope_to_policy_mapping: BTreeMap<String, String>,
    /// Scopes of tokens.
    pub scopes: Scopes,
    /// Seconds that a token is taken after it has expired.
    pub jwt_expires_at_validation_skew: u64,
    /// Seconds that a token may be issued in the future.
    pub jwt_issued_at_validation_skew: u64,
    /// Seconds that a token is taken before it is valid.
    pub jwt_not_before_validation_skew: u64,
    /// The name of the key is not the caller's.
    pub jwt_skip_kid: bool,
    /// Who may have issued a token (an addition); none means everybody who has the key.
    pub jwt_allowed_issuers: Vec<String>,
    /// Whom a token may be for (an addition); none means everybody.
    pub jwt_allowed_audiences: Vec<String>,
}

impl ApiDefinition {
    /// The name of the bundle that it uses.
    pub fn bundle(&self) -> Option<&str> {
        let used =
            !self.custom_middleware_bundle.is_empty() && !self.custom_middleware_bundle_disabled;
        used.then_some(self.custom_middleware_bundle.as_str())
    }
}

/// `proxy`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Proxy {
    /// The path prefix that selects this API.
    pub listen_path: String,
    /// The upstream.
    pub target_url: String,
    /// Go to the upstreams of `target_list` in turn.
    pub enable_load_balancing: bool,
    /// Several upstreams.
    pub target_list: Vec<String>,
    /// Leave upstreams out that an uptime test says are down.
    pub check_host_against_uptime_tests: bool,
    /// Take the listen path off before forwarding.
    pub strip_listen_path: bool,
    /// Send the client's `Host` to the upstream.
    pub preserve_host_header: bool,
    /// How the upstream is connected to.
    pub transport: Transport,
}

/// `custom_middleware`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CustomMiddleware {
    /// Before everything else.
    pub pre: Vec<HookEntry>,
    /// Authentication.
    pub auth_check: HookEntry,
    /// After authentication.
    pub post_key_auth: Vec<HookEntry>,
    /// Before the upstream.
    pub post: Vec<HookEntry>,
    /// On the response.
    pub response: Vec<HookEntry>,
    /// The language of all hooks that do not name one.
    pub driver: String,
    /// Where the hooks run (an addition); absent leaves it to the language's own settings.
    pub dispatch: Option<Dispatch>,
    /// Options of this API for the languages of its hooks, by driver (an addition).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub driver_options: BTreeMap<String, Map<String, Value>>,
    /// Finds the session of a caller whom `auth_check` has accepted before.
    pub id_extractor: IdExtractor,
}

/// `custom_middleware.id_extractor`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IdExtractor {
    /// Leave it aside.
    pub disabled: bool,
    /// `header`, `form` or `body`.
    pub extract_from: String,
    /// `value`, `regex` or `xpath`.
    pub extract_with: String,
    /// What the two need to know.
    pub extractor_config: ExtractorConfig,
}

/// `custom_middleware.id_extractor.extractor_config`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExtractorConfig {
    /// The header that has the id.
    pub header_name: String,
    /// The parameter of a form or query that has it.
    pub param_name: String,
    /// What the id looks like.
    pub regex_expression: String,
    /// Which match it is, counted from 0.
    pub regex_match_index: i64,
    /// Where in an XML document it is.
    pub xpath_expression: String,
}

/// One hook.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HookEntry {
    /// The function.
    pub name: String,
    /// The file; only the original's JavaScript reads it.
    pub path: String,
    /// Leave this entry out.
    pub disabled: bool,
    /// The original's drivers do not read it: a session is shown wherever there is one.
    pub require_session: bool,
    /// Do not show the body as text.
    pub raw_body_only: bool,
    /// The language of this hook, where it is not the API's (an addition).
    pub driver: String,
    /// Milliseconds that it may run (an addition); 0 means the configured limit.
    pub timeout_ms: u64,
    /// Whether the body is held for the hook (an addition).
    pub body: BodyMode,
}

/// Where hooks run, for languages that have a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dispatch {
    /// Where the language finds best.
    Auto,
    /// On the thread that has the request.
    Inline,
    /// On a thread of the language's own.
    Thread,
}

/// What a hook sees of the body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyMode {
    /// The whole body is held, shown, and may be replaced.
    #[default]
    Buffer,
    /// The body streams past: the hook sees none and cannot replace it.
    Stream,
}

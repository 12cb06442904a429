//! The session of the caller's key, as plugins see it.
//!
//! The fields and their names are those of the wire message `SessionState`; a language
//! shows them under these names.

use crate::{OrderedMap, StringMap};

/// `SessionState`: who calls, and what they may do.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(
    missing_docs,
    reason = "names and meaning are the wire contract's, see docs/plugins"
)]
pub struct Session {
    pub last_check: i64,
    pub allowance: f64,
    pub rate: f64,
    pub per: f64,
    /// Unix seconds; 0, -1 and 1 mean never.
    pub expires: i64,
    /// 0 and below mean without limit; -1 is customary.
    pub quota_max: i64,
    /// Unix seconds.
    pub quota_renews: i64,
    pub quota_remaining: i64,
    /// Seconds.
    pub quota_renewal_rate: i64,
    pub access_rights: OrderedMap<AccessDefinition>,
    pub org_id: String,
    pub oauth_client_id: String,
    pub oauth_keys: StringMap,
    pub basic_auth_data: Option<BasicAuthData>,
    pub jwt_data: Option<JwtData>,
    pub hmac_enabled: bool,
    pub hmac_secret: String,
    /// Requests may be signed with a private key. No plugin is shown it.
    pub enable_http_signature_validation: bool,
    /// The public key of that, in the certificate store. No plugin is shown it.
    pub rsa_certificate_id: String,
    pub is_inactive: bool,
    pub apply_policy_id: String,
    pub data_expires: i64,
    pub monitor: Option<Monitor>,
    pub enable_detailed_recording: bool,
    /// Free text by key; `token` names the key that the session belongs to.
    pub metadata: StringMap,
    pub tags: Vec<String>,
    pub alias: String,
    pub last_updated: String,
    /// Unix seconds.
    pub id_extractor_deadline: i64,
    /// Seconds.
    pub session_lifetime: i64,
    pub apply_policies: Vec<String>,
    pub certificate: String,
    pub max_query_depth: i64,
    pub key_id: String,
    pub post_expiry_action: String,
    pub post_expiry_grace_period: i64,
    /// Seconds between attempts of a request over the rate. No plugin is shown it.
    pub throttle_interval: f64,
    /// How many attempts there are. No plugin is shown it.
    pub throttle_retry_limit: i64,
}

/// What a key may do with one API.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "names and meaning are the wire contract's")]
pub struct AccessDefinition {
    pub api_name: String,
    pub api_id: String,
    pub versions: Vec<String>,
    pub allowed_urls: Vec<AccessSpec>,
    /// Limits for this API alone, in the place of the session's. No plugin is shown them.
    pub limit: Option<ApiLimit>,
    /// What the counters of `limit` are shared by; empty means the API alone. No plugin is
    /// shown it.
    pub allowance_scope: String,
    /// Rates of single paths, in the place of the key's. No plugin is shown them.
    pub endpoints: Vec<EndpointLimit>,
}

/// The rate of a key on one path of an API.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EndpointLimit {
    /// A pattern of paths.
    pub path: String,
    /// The method.
    pub method: String,
    /// Requests …
    pub rate: f64,
    /// … in so many seconds.
    pub per: f64,
}

/// Rate and quota of a key on one API, with the meaning that they have in a session.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(
    missing_docs,
    reason = "names and meaning are those of the stored form"
)]
pub struct ApiLimit {
    pub rate: f64,
    pub per: f64,
    pub throttle_interval: f64,
    pub throttle_retry_limit: i64,
    pub max_query_depth: i64,
    pub quota_max: i64,
    pub quota_renews: i64,
    pub quota_remaining: i64,
    pub quota_renewal_rate: i64,
}

/// A path (regular expression) and the methods allowed on it.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "names and meaning are the wire contract's")]
pub struct AccessSpec {
    pub url: String,
    pub methods: Vec<String>,
}

/// Password data of a basic-auth key.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "names and meaning are the wire contract's")]
pub struct BasicAuthData {
    pub password: String,
    pub hash: String,
}

/// Secret of a JWT key.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "names and meaning are the wire contract's")]
pub struct JwtData {
    pub secret: String,
}

/// Quota percentages at which an event fires.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "names and meaning are the wire contract's")]
pub struct Monitor {
    pub trigger_limits: Vec<f64>,
}

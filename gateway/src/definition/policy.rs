//! The file format of a policy: what is written, not what it means.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::access::{self, AccessRights, Limit};

/// One policy, as its file or the admin API describes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct PolicyDefinition {
    /// A database's own id, where the file came from one; not read.
    pub _id: Value,
    /// Its identity.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// The organisation that owns it.
    pub org_id: String,
    /// Requests …
    pub rate: f64,
    /// … in so many seconds.
    pub per: f64,
    /// Requests …
    pub quota_max: i64,
    /// … in so many seconds.
    pub quota_renewal_rate: i64,
    /// Seconds between attempts of a request over the rate.
    pub throttle_interval: f64,
    /// How many attempts.
    pub throttle_retry_limit: i64,
    /// Depth of a query.
    pub max_query_depth: i64,
    /// The APIs.
    pub access_rights: AccessRights,
    /// Keys sign their requests.
    pub hmac_enabled: bool,
    /// Its keys may sign with a private key.
    pub enable_http_signature_validation: bool,
    /// Not looked at, as in the original.
    pub active: bool,
    /// Keys with this policy are switched off.
    pub is_inactive: bool,
    /// Tags for its keys.
    pub tags: Vec<String>,
    /// Seconds after which a new key ends; 0 and below is never.
    pub key_expires_in: i64,
    /// What of a key it governs.
    pub partitions: Partitions,
    /// When it was changed; Unix seconds as text.
    pub last_updated: String,
    /// Metadata for its keys.
    pub meta_data: Map<String, Value>,
}

/// `partitions`; none of them set means all but `per_api`
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(default)]
pub struct Partitions {
    /// The quota.
    pub quota: bool,
    /// The rate.
    pub rate_limit: bool,
    /// Depth of queries.
    pub complexity: bool,
    /// The access rights.
    pub acl: bool,
    /// All, with the limits of each access right for itself.
    pub per_api: bool,
}

// === impl Partitions ===

impl Partitions {
    /// Only a part of a key is governed.
    pub fn is_partial(self) -> bool {
        self.quota || self.rate_limit || self.complexity || self.acl
    }
}

// === impl PolicyDefinition ===

impl PolicyDefinition {
    /// The limits that it has for all its APIs.
    pub fn limit(&self) -> Limit {
        Limit {
            rate: self.rate,
            per: self.per,
            throttle_interval: self.throttle_interval,
            throttle_retry_limit: self.throttle_retry_limit,
            max_query_depth: self.max_query_depth,
            quota_max: self.quota_max,
            quota_renewal_rate: self.quota_renewal_rate,
            ..Limit::default()
        }
    }

    /// What cannot be meant.
    pub fn check(&self) -> Result<(), String> {
        if self.id.is_empty() {
            return Err("id: it is missing or empty".into());
        }
        if self.partitions.per_api && self.partitions.is_partial() {
            return Err("partitions: per_api cannot be combined with the others".into());
        }
        self.limit().check("")?;
        access::check(&self.access_rights)
    }
}

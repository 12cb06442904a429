//! What the admin API takes as a session: each field with its type, to be told apart from
//! what cannot be one. Stored sessions are documents and keep what is not named here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::access::{self, AccessRights, Limit};

/// A session as it is sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
#[expect(
    missing_docs,
    reason = "the fields are those of the documentation's list"
)]
pub struct SessionDefinition {
    pub last_check: i64,
    pub allowance: f64,
    pub rate: f64,
    pub per: f64,
    pub throttle_interval: f64,
    pub throttle_retry_limit: i64,
    pub max_query_depth: i64,
    pub quota_max: i64,
    pub quota_renews: i64,
    pub quota_remaining: i64,
    pub quota_renewal_rate: i64,
    pub date_created: String,
    pub expires: i64,
    pub access_rights: AccessRights,
    pub org_id: String,
    pub oauth_client_id: String,
    pub oauth_keys: BTreeMap<String, String>,
    pub certificate: String,
    pub basic_auth_data: BasicAuth,
    pub jwt_data: JwtSecret,
    pub hmac_enabled: bool,
    pub enable_http_signature_validation: bool,
    pub hmac_string: String,
    pub rsa_certificate_id: String,
    pub is_inactive: bool,
    pub apply_policy_id: String,
    pub apply_policies: Vec<String>,
    pub data_expires: i64,
    pub monitor: Monitor,
    pub enable_detail_recording: bool,
    pub enable_detailed_recording: bool,
    pub meta_data: Map<String, Value>,
    pub tags: Vec<String>,
    pub alias: String,
    pub last_updated: String,
    pub id_extractor_deadline: i64,
    pub session_lifetime: i64,
    pub post_expiry_action: String,
    pub post_expiry_grace_period: i64,
}

/// `basic_auth_data`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct BasicAuth {
    /// The password, or a hash of it.
    pub password: String,
    /// How it is hashed.
    pub hash_type: String,
}

/// `jwt_data`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct JwtSecret {
    /// The secret.
    pub secret: String,
}

/// `monitor`
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Monitor {
    /// Percentages of the quota.
    pub trigger_limits: Vec<f64>,
}

// === impl SessionDefinition ===

impl SessionDefinition {
    /// What cannot be meant.
    pub fn check(&self) -> Result<(), String> {
        let limit = Limit {
            rate: self.rate,
            per: self.per,
            throttle_interval: self.throttle_interval,
            throttle_retry_limit: self.throttle_retry_limit,
            max_query_depth: self.max_query_depth,
            quota_max: self.quota_max,
            quota_renewal_rate: self.quota_renewal_rate,
            ..Limit::default()
        };
        limit.check("")?;
        access::check(&self.access_rights)?;
        let action = self.post_expiry_action.as_str();
        if !matches!(action, "" | "delete" | "retain") {
            return Err(format!(
                "post_expiry_action: `{action}` is not one of delete, retain"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_that_cannot_be_meant_are_named() {
        for (document, told) in [
            (json!({"rate": -1, "quota_max": -1, "per": 0.5}), None),
            (json!({"rate": -1.5}), Some("rate: -1.5")),
            (json!({"quota_max": -2}), Some("quota_max: -2")),
            (
                json!({"access_rights": {"a": {"limit": {"per": -3}}}}),
                Some("access_rights.a.limit.per: -3"),
            ),
            (
                json!({"post_expiry_action": "explode"}),
                Some("post_expiry_action: `explode`"),
            ),
        ] {
            let session: SessionDefinition = serde_json::from_value(document).unwrap();
            match (session.check(), told) {
                (Ok(()), None) => {}
                (Err(mistake), Some(told)) => assert!(mistake.starts_with(told), "{mistake}"),
                (outcome, told) => panic!("{outcome:?}, expected {told:?}"),
            }
        }
    }
}

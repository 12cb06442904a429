//! Documents in the order in which the original writes them; keys that it does not know
//! come last.

use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Map, Value};

/// The keys of a session.
const SESSION: &[&str] = &[
    "last_check",
    "allowance",
    "rate",
    "per",
    "throttle_interval",
    "throttle_retry_limit",
    "max_query_depth",
    "date_created",
    "expires",
    "quota_max",
    "quota_renews",
    "quota_remaining",
    "quota_renewal_rate",
    "access_rights",
    "org_id",
    "oauth_client_id",
    "oauth_keys",
    "certificate",
    "basic_auth_data",
    "jwt_data",
    "hmac_enabled",
    "enable_http_signature_validation",
    "hmac_string",
    "rsa_certificate_id",
    "is_inactive",
    "apply_policy_id",
    "apply_policies",
    "data_expires",
    "monitor",
    "enable_detail_recording",
    "enable_detailed_recording",
    "meta_data",
    "tags",
    "alias",
    "last_updated",
    "id_extractor_deadline",
    "session_lifetime",
    "post_expiry_action",
    "post_expiry_grace_period",
];

/// The keys of a policy.
const POLICY: &[&str] = &[
    "_id",
    "id",
    "name",
    "org_id",
    "rate",
    "per",
    "quota_max",
    "quota_renewal_rate",
    "throttle_interval",
    "throttle_retry_limit",
    "max_query_depth",
    "access_rights",
    "hmac_enabled",
    "enable_http_signature_validation",
    "active",
    "is_inactive",
    "tags",
    "key_expires_in",
    "partitions",
    "last_updated",
    "meta_data",
];

/// The keys of an access right.
const RIGHT: &[&str] = &[
    "api_name",
    "api_id",
    "versions",
    "allowed_urls",
    "limit",
    "allowance_scope",
];

/// The keys of its limit.
const LIMIT: &[&str] = &[
    "rate",
    "per",
    "throttle_interval",
    "throttle_retry_limit",
    "max_query_depth",
    "quota_max",
    "quota_renews",
    "quota_remaining",
    "quota_renewal_rate",
];

/// A document to be written in its order.
pub(super) struct Ordered<'a> {
    value: &'a Value,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Session,
    Policy,
    Rights,
    Right,
    Limit,
    Other,
}

/// A session in its order.
pub(super) fn session(document: &Value) -> Ordered<'_> {
    let kind = Kind::Session;
    Ordered {
        value: document,
        kind,
    }
}

/// A policy in its order.
pub(super) fn policy(document: &Value) -> Ordered<'_> {
    let kind = Kind::Policy;
    Ordered {
        value: document,
        kind,
    }
}

impl Kind {
    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Session => SESSION,
            Self::Policy => POLICY,
            Self::Right => RIGHT,
            Self::Limit => LIMIT,
            Self::Rights | Self::Other => &[],
        }
    }

    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::Session | Self::Policy, "access_rights") => Self::Rights,
            (Self::Rights, _) => Self::Right,
            (Self::Right, "limit") => Self::Limit,
            _ => Self::Other,
        }
    }
}

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.value, self.kind) {
            (value, Kind::Other) => value.serialize(serializer),
            (Value::Object(document), kind) => write(document, kind, serializer),
            (value, _) => value.serialize(serializer),
        }
    }
}

fn write<S: Serializer>(
    document: &Map<String, Value>,
    kind: Kind,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let known = kind.keys();
    let first = known.iter().filter_map(|key| document.get_key_value(*key));
    let others = document
        .iter()
        .filter(|(key, _)| !known.contains(&key.as_str()));
    let mut map = serializer.serialize_map(Some(document.len()))?;
    for (key, value) in first.chain(others) {
        let kind = kind.below(key);
        map.serialize_entry(key, &Ordered { value, kind })?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_stand_in_the_originals_order_and_unknown_ones_last() {
        let document = json!({
            "alias": "x", "rate": 1, "a_new_key": 2, "org_id": "o", "last_check": 3,
            "access_rights": {"b": {
                "limit": {"quota_max": 1, "rate": 2}, "api_id": "b", "api_name": "n",
            }, "a": {}},
        });
        let text = serde_json::to_string(&session(&document)).unwrap();
        assert_eq!(
            text,
            r#"{"last_check":3,"rate":1,"access_rights":{"a":{},"b":{"api_name":"n","api_id":"b","limit":{"rate":2,"quota_max":1}}},"org_id":"o","alias":"x","a_new_key":2}"#
        );
        let text = serde_json::to_string(&policy(&json!({"rate": 1, "id": "p"}))).unwrap();
        assert_eq!(text, r#"{"id":"p","rate":1}"#);
    }
}

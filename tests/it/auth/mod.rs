//! Mechanisms that authenticate callers without a plugin: what lets them in, what does not, and
//! what they are told.

mod basic;
mod jwt;
mod jwt_keys;
mod jwt_policies;
mod rsa_signatures;
mod several;
mod signatures;

use serde_json::{Value, json};
use test_harness::{Definition, GatewayBuilder, Redis, Response, Upstream};

use crate::gateway;

/// An API that asks for credentials.
fn guarded(id: &str, upstream: &Upstream) -> Definition {
    Definition::new(id)
        .upstream(upstream)
        .set("/use_keyless", false)
}

/// A gateway with policies: each has a quota of its own, which tells it from the others.
fn with_policies(quotas: &[(&str, u32)]) -> GatewayBuilder {
    let policies: serde_json::Map<String, Value> = quotas
        .iter()
        .map(|(id, quota)| {
            let policy = json!({
                "id": id, "org_id": "org", "active": true,
                "quota_max": quota, "quota_renewal_rate": 3600,
                "access_rights": {"api": {"api_id": "api", "versions": ["Default"]}}
            });
            ((*id).to_owned(), policy)
        })
        .collect();
    gateway()
        .file("policies.json", Value::Object(policies).to_string())
        .conf(json!({"policies": {
            "policy_source": "file",
            "policy_record_name": "policies.json"
        }}))
}

/// The quota that a response tells of.
fn quota(response: &Response) -> Option<&str> {
    response.header("X-RateLimit-Limit")
}

/// A gateway whose sessions are in a store that a test can write.
fn with_sessions(redis: &Redis, sessions: &[(&str, Value)]) -> GatewayBuilder {
    for (id, session) in sessions {
        put(redis, id, session);
    }
    gateway().conf(redis.conf())
}

fn put(redis: &Redis, id: &str, session: &Value) {
    let _ = redis.command(&["SET", &format!("apikey-{id}"), &session.to_string()]);
}

//! The access rights in a stored session: what a key may do with which API, within which
//! limits.

use coprocess_core::{AccessDefinition, AccessSpec, ApiLimit, Session};
use serde_json::{Map, Value};

use super::record::{Field as _, Unreadable, get, object, put, put_group, put_value};

/// One access right.
pub(super) fn read(right: &Value) -> Result<AccessDefinition, Unreadable> {
    let map = object(right, "access_rights")?;
    let mut allowed_urls = Vec::new();
    for url in &get::<Vec<Value>>(map, "allowed_urls")? {
        let url = object(url, "allowed_urls")?;
        let methods = get(url, "methods")?;
        let url = get(url, "url")?;
        allowed_urls.push(AccessSpec { url, methods });
    }
    Ok(AccessDefinition {
        api_name: get(map, "api_name")?,
        api_id: get(map, "api_id")?,
        versions: get(map, "versions")?,
        allowed_urls,
        limit: limit(map)?,
        allowance_scope: get(map, "allowance_scope")?,
    })
}

/// The limits of an access right. Those that say nothing are none: the session's count.
fn limit(right: &Map<String, Value>) -> Result<Option<ApiLimit>, Unreadable> {
    let map = get::<Map<String, Value>>(right, "limit")?;
    let limit = ApiLimit {
        rate: get(&map, "rate")?,
        per: get(&map, "per")?,
        throttle_interval: get(&map, "throttle_interval")?,
        throttle_retry_limit: get(&map, "throttle_retry_limit")?,
        max_query_depth: get(&map, "max_query_depth")?,
        quota_max: get(&map, "quota_max")?,
        quota_renews: get(&map, "quota_renews")?,
        quota_remaining: get(&map, "quota_remaining")?,
        quota_renewal_rate: get(&map, "quota_renewal_rate")?,
    };
    Ok((limit != ApiLimit::default()).then_some(limit))
}

/// Writes the access rights of `session` into a document. What the session does not have of
/// a right, its limits among it, stays as it is there.
pub(super) fn apply(map: &mut Map<String, Value>, session: &Session) {
    let mut before = get::<Map<String, Value>>(map, "access_rights").unwrap_or_default();
    let mut rights = Map::new();
    for (id, right) in &session.access_rights {
        let mut entry = match before.remove(id) {
            Some(entry) if read(&entry).is_ok_and(|shown| shown == *right) => {
                rights.insert(id.clone(), entry);
                continue;
            }
            Some(Value::Object(entry)) => entry,
            _ => Map::new(),
        };
        put(&mut entry, "api_name", &right.api_name);
        put(&mut entry, "api_id", &right.api_id);
        put(&mut entry, "versions", &right.versions);
        let urls = right.allowed_urls.iter().map(|spec| {
            let mut url = Map::new();
            put(&mut url, "url", &spec.url);
            put(&mut url, "methods", &spec.methods);
            Value::Object(url)
        });
        let urls = (!right.allowed_urls.is_empty()).then(|| urls.collect());
        put_value(&mut entry, "allowed_urls", urls);
        if let Some(limit) = &right.limit {
            put_limit(&mut entry, limit);
        }
        if !right.allowance_scope.is_empty() {
            put(&mut entry, "allowance_scope", &right.allowance_scope);
        }
        rights.insert(id.clone(), Value::Object(entry));
    }
    let rights = (!rights.is_empty()).then_some(Value::Object(rights));
    put_value(map, "access_rights", rights);
}

fn put_limit(right: &mut Map<String, Value>, limit: &ApiLimit) {
    put_group(
        right,
        "limit",
        [
            ("rate", limit.rate.json()),
            ("per", limit.per.json()),
            ("throttle_interval", limit.throttle_interval.json()),
            ("throttle_retry_limit", limit.throttle_retry_limit.json()),
            ("max_query_depth", limit.max_query_depth.json()),
            ("quota_max", limit.quota_max.json()),
            ("quota_renews", limit.quota_renews.json()),
            ("quota_remaining", limit.quota_remaining.json()),
            ("quota_renewal_rate", limit.quota_renewal_rate.json()),
        ],
    );
}

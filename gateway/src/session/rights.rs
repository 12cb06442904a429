//! What a stored session says of single APIs: rights, and limits.

use coprocess_core::{AccessDefinition, AccessSpec, ApiLimit, EndpointLimit, Session};
use serde_json::{Map, Value};

use super::record::{Unreadable, get, put, put_value};

/// The right to use one API.
pub(super) fn access(right: &Value) -> Result<AccessDefinition, Unreadable> {
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
        endpoints: endpoints(map)?,
    })
}

/// Rates of single paths.
fn endpoints(right: &Map<String, Value>) -> Result<Vec<EndpointLimit>, Unreadable> {
    let mut limits = Vec::new();
    for endpoint in &get::<Vec<Value>>(right, "endpoints")? {
        let endpoint = object(endpoint, "endpoints")?;
        let path: String = get(endpoint, "path")?;
        for method in &get::<Vec<Value>>(endpoint, "methods")? {
            let method = object(method, "endpoints.methods")?;
            let limit = &get::<Map<String, Value>>(method, "limit")?;
            limits.push(EndpointLimit {
                path: path.clone(),
                method: get(method, "name")?,
                rate: get(limit, "rate")?,
                per: get(limit, "per")?,
            });
        }
    }
    Ok(limits)
}

/// One of zeros only is none.
fn limit(right: &Map<String, Value>) -> Result<Option<ApiLimit>, Unreadable> {
    let map = &get::<Map<String, Value>>(right, "limit")?;
    let limit = ApiLimit {
        rate: get(map, "rate")?,
        per: get(map, "per")?,
        throttle_interval: get(map, "throttle_interval")?,
        throttle_retry_limit: get(map, "throttle_retry_limit")?,
        max_query_depth: get(map, "max_query_depth")?,
        quota_max: get(map, "quota_max")?,
        quota_renews: get(map, "quota_renews")?,
        quota_remaining: get(map, "quota_remaining")?,
        quota_renewal_rate: get(map, "quota_renewal_rate")?,
    };
    Ok((limit != ApiLimit::default()).then_some(limit))
}

fn put_limit(entry: &mut Map<String, Value>, limit: &ApiLimit) {
    let mut map = get::<Map<String, Value>>(entry, "limit").unwrap_or_default();
    put(&mut map, "rate", &limit.rate);
    put(&mut map, "per", &limit.per);
    put(&mut map, "throttle_interval", &limit.throttle_interval);
    put(
        &mut map,
        "throttle_retry_limit",
        &limit.throttle_retry_limit,
    );
    put(&mut map, "max_query_depth", &limit.max_query_depth);
    put(&mut map, "quota_max", &limit.quota_max);
    put(&mut map, "quota_renews", &limit.quota_renews);
    put(&mut map, "quota_remaining", &limit.quota_remaining);
    put(&mut map, "quota_renewal_rate", &limit.quota_renewal_rate);
    put_value(entry, "limit", Some(Value::Object(map)));
}

/// Takes over the rights that a plugin or a policy set. Limits that were not set stay.
pub(super) fn apply_rights(map: &mut Map<String, Value>, session: &Session) {
    let mut before = get::<Map<String, Value>>(map, "access_rights").unwrap_or_default();
    let mut rights = Map::new();
    for (id, right) in &session.access_rights {
        let mut entry = match before.remove(id) {
            Some(Value::Object(entry)) => entry,
            _ => Map::new(),
        };
        let shown = access(&Value::Object(entry.clone())).ok();
        if !shown.as_ref().is_some_and(|shown| is_same(shown, right)) {
            put_shown(&mut entry, right);
        }
        if let Some(limit) = &right.limit
            && shown.and_then(|shown| shown.limit).as_ref() != Some(limit)
        {
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

/// Whether two are the same to a plugin.
fn is_same(one: &AccessDefinition, other: &AccessDefinition) -> bool {
    one.api_name == other.api_name
        && one.api_id == other.api_id
        && one.versions == other.versions
        && one.allowed_urls == other.allowed_urls
}

fn put_shown(entry: &mut Map<String, Value>, right: &AccessDefinition) {
    put(entry, "api_name", &right.api_name);
    put(entry, "api_id", &right.api_id);
    put(entry, "versions", &right.versions);
    let urls = right.allowed_urls.iter().map(|spec| {
        let mut url = Map::new();
        put(&mut url, "url", &spec.url);
        put(&mut url, "methods", &spec.methods);
        Value::Object(url)
    });
    let urls = (!right.allowed_urls.is_empty()).then(|| urls.collect());
    put_value(entry, "allowed_urls", urls);
}

fn object<'a>(value: &'a Value, place: &str) -> Result<&'a Map<String, Value>, Unreadable> {
    value.as_object().ok_or_else(|| Unreadable {
        place: place.to_owned(),
        reason: "an entry is not an object".into(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn limits_of_one_api_are_read_and_written() {
        let stored = json!({"api_id": "a", "limit": {"rate": 3, "per": 1.5, "quota_max": 7},
            "allowance_scope": "plan"});
        let right = access(&stored).unwrap();
        let limit = right.limit.clone().unwrap();
        assert_eq!((limit.rate, limit.per, limit.quota_max), (3.0, 1.5, 7));
        assert_eq!(right.allowance_scope, "plan");
        let mut session = Session::default();
        session.access_rights.insert("a".into(), right);
        let mut map = Map::new();
        apply_rights(&mut map, &session);
        assert_eq!(Value::Object(map), json!({"access_rights": {"a": stored}}));
    }

    #[test]
    fn a_limit_of_zeros_is_none_and_one_that_does_not_fit_an_error() {
        for empty in [
            json!({}),
            json!({"limit": null}),
            json!({"limit": {"rate": 0}}),
        ] {
            assert_eq!(access(&empty).unwrap().limit, None, "{empty}");
        }
        for bad in [json!({"limit": 3}), json!({"limit": {"rate": "3"}})] {
            assert!(access(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_a_plugin_is_not_shown_stays() {
        let stored = json!({"api_id": "a", "limit": {"rate": 3, "set_by": "p"},
            "allowed_urls": [{"url": "/", "methods": ["GET"], "conditions": [1]}]});
        let mut right = access(&stored).unwrap();
        right.limit = None;
        let mut session = Session::default();
        session.access_rights.insert("a".into(), right);
        let mut map = Map::new();
        map.insert("access_rights".into(), json!({"a": stored}));
        apply_rights(&mut map, &session);
        assert_eq!(Value::Object(map), json!({"access_rights": {"a": stored}}));
    }
}

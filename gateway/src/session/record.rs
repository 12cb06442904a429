//! A session as it is stored: the JSON that the admin API shows, and what plugins see of it.
//!
//! The document is kept as JSON and not as a struct: what this gateway does not know, in the
//! document and in its parts, must survive being written back. Zero values are left out.

use std::collections::BTreeMap;

use coprocess_core::{BasicAuthData, JwtData, Monitor, Session, StringMap};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::metadata::{apply_metadata, shown};
use super::rights::{access, apply_rights};

/// The entry of the metadata that names the key which a session belongs to.
pub const TOKEN: &str = "token";

/// Whose session it is, where the name does not say so. Only the store sees it.
const FINGERPRINT: &str = "coprocess_gateway_id_sha256";

/// A whole number up to this is the same number in every JSON reader.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// One stored session.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record(Map<String, Value>);

/// A stored session that is not what it should be. It is never read as a session with fewer
/// restrictions.
#[derive(Debug, Clone, thiserror::Error)]
#[error("stored session is not readable: {place}: {reason}")]
pub struct Unreadable {
    pub(super) place: String,
    pub(super) reason: String,
}

// === impl Record ===

impl Record {
    /// The session in stored bytes.
    pub fn parse(json: &[u8]) -> Result<Self, Unreadable> {
        serde_json::from_slice(json)
            .map(Self)
            .map_err(|error| unreadable("document", &error))
    }

    /// The bytes to store.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).expect("a map of JSON values is JSON")
    }

    /// The document.
    pub fn document(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The same as a value.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// The session as plugins see it. Metadata that is not text is shown as JSON text.
    pub fn session(&self) -> Result<Session, Unreadable> {
        let map = &self.0;
        let mut session = Session::default();
        read_plain(map, &mut session)?;
        session.throttle_interval = get(map, "throttle_interval")?;
        session.throttle_retry_limit = get(map, "throttle_retry_limit")?;
        session.enable_detailed_recording =
            session.enable_detailed_recording || get(map, "enable_detail_recording")?;
        session.enable_http_signature_validation = get(map, "enable_http_signature_validation")?;
        session.rsa_certificate_id = get(map, "rsa_certificate_id")?;
        let oauth_keys = get::<BTreeMap<_, _>>(map, "oauth_keys")?;
        session.oauth_keys = oauth_keys.into_iter().collect();
        for (id, right) in &get::<Map<String, Value>>(map, "access_rights")? {
            session.access_rights.insert(id.clone(), access(right)?);
        }
        session.basic_auth_data = basic_auth(map)?;
        session.jwt_data = jwt(map)?;
        session.monitor = monitor(map)?;
        let metadata = get::<Map<String, Value>>(map, "meta_data")?;
        session.metadata = metadata.iter().map(shown).collect();
        Ok(session)
    }

    /// Takes over what a plugin set. What plugins are not shown stays: limits of single
    /// APIs, throttling, fields that this gateway does not know.
    pub fn apply(&mut self, session: &Session) {
        let map = &mut self.0;
        let recorded = get::<bool>(map, "enable_detail_recording").unwrap_or_default();
        if recorded && !session.enable_detailed_recording {
            map.remove("enable_detail_recording");
        }
        let said_by_the_older_name = recorded && session.enable_detailed_recording;
        let detailed = get::<bool>(map, "enable_detailed_recording").unwrap_or_default();
        write_plain(session, map);
        put(map, "oauth_keys", &session.oauth_keys);
        // Plugins are not shown how requests wait; what they do not set stays.
        if session.throttle_interval != 0.0 {
            put(map, "throttle_interval", &session.throttle_interval);
        }
        if session.throttle_retry_limit != 0 {
            put(map, "throttle_retry_limit", &session.throttle_retry_limit);
        }
        if said_by_the_older_name {
            put(map, "enable_detailed_recording", &detailed);
        }
        apply_rights(map, session);
        apply_metadata(map, &session.metadata);
        if basic_auth(map).ok() != Some(session.basic_auth_data.clone()) {
            let data = session.basic_auth_data.clone().unwrap_or_default();
            put_group(
                map,
                "basic_auth_data",
                [
                    ("password", data.password.json()),
                    ("hash_type", data.hash.json()),
                ],
            );
        }
        if jwt(map).ok() != Some(session.jwt_data.clone()) {
            let data = session.jwt_data.clone().unwrap_or_default();
            put_group(map, "jwt_data", [("secret", data.secret.json())]);
        }
        if monitor(map).ok() != Some(session.monitor.clone()) {
            let data = session.monitor.clone().unwrap_or_default();
            put_group(
                map,
                "monitor",
                [("trigger_limits", data.trigger_limits.json())],
            );
        }
    }

    /// A value of the document.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Sets a value of the document.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        self.0.insert(name.to_owned(), value.into());
    }

    /// Puts entries into the metadata, as the values that they are.
    pub fn add_metadata(&mut self, entries: &Map<String, Value>) {
        let mut metadata = get::<Map<String, Value>>(&self.0, "meta_data").unwrap_or_default();
        metadata.extend(entries.clone());
        let metadata = (!metadata.is_empty()).then_some(Value::Object(metadata));
        put_value(&mut self.0, "meta_data", metadata);
    }

    /// Says how a quota stands: that of an API alone, or the session's own. How many requests
    /// were made, and when the counter begins anew; nothing where there is no counter.
    pub fn show_quota(&mut self, api_id: Option<&str>, stands: Option<(i64, i64)>) {
        let map = match api_id {
            None => Some(&mut self.0),
            Some(id) => self.0.get_mut("access_rights").and_then(|rights| {
                let limit = rights.get_mut(id)?.get_mut("limit")?;
                limit.as_object_mut()
            }),
        };
        let Some(map) = map else { return };
        let max = get::<i64>(map, "quota_max").unwrap_or_default();
        if max > 0 {
            let (used, renews) = stands.unwrap_or_default();
            put(map, "quota_remaining", &max.saturating_sub(used).max(0));
            if stands.is_some() {
                put(map, "quota_renews", &renews);
            }
        }
    }

    /// Whose session it is, where that was written down.
    pub fn fingerprint(&self) -> Option<&str> {
        self.0.get(FINGERPRINT).and_then(Value::as_str)
    }

    /// Writes down whose session it is.
    pub fn set_fingerprint(&mut self, fingerprint: Option<String>) {
        put_value(&mut self.0, FINGERPRINT, fingerprint.map(Value::String));
    }

    /// Leaves the token out of the metadata, where it stands in the clear.
    pub fn forget_token(&mut self) {
        let Some(Value::Object(metadata)) = self.0.get_mut("meta_data") else {
            return;
        };
        metadata.remove(TOKEN);
        if metadata.is_empty() {
            self.0.remove("meta_data");
        }
    }
}

impl From<Map<String, Value>> for Record {
    fn from(document: Map<String, Value>) -> Self {
        Self(document)
    }
}

/// The fields that are the same on both sides, with their names in the document.
macro_rules! plain_fields {
    ($($field:ident: $name:literal),* $(,)?) => {
        fn read_plain(map: &Map<String, Value>, session: &mut Session) -> Result<(), Unreadable> {
            $(session.$field = get(map, $name)?;)*
            Ok(())
        }

        fn write_plain(session: &Session, map: &mut Map<String, Value>) {
            $(put(map, $name, &session.$field);)*
        }
    };
}

plain_fields! {
    last_check: "last_check",
    allowance: "allowance",
    rate: "rate",
    per: "per",
    max_query_depth: "max_query_depth",
    expires: "expires",
    quota_max: "quota_max",
    quota_renews: "quota_renews",
    quota_remaining: "quota_remaining",
    quota_renewal_rate: "quota_renewal_rate",
    org_id: "org_id",
    oauth_client_id: "oauth_client_id",
    certificate: "certificate",
    hmac_enabled: "hmac_enabled",
    hmac_secret: "hmac_string",
    is_inactive: "is_inactive",
    apply_policy_id: "apply_policy_id",
    apply_policies: "apply_policies",
    data_expires: "data_expires",
    enable_detailed_recording: "enable_detailed_recording",
    tags: "tags",
    alias: "alias",
    last_updated: "last_updated",
    id_extractor_deadline: "id_extractor_deadline",
    session_lifetime: "session_lifetime",
    post_expiry_action: "post_expiry_action",
    post_expiry_grace_period: "post_expiry_grace_period",
}

/// What a field writes into the document; nothing for its zero value.
pub(super) trait Field {
    fn json(&self) -> Option<Value>;
}

impl Field for bool {
    fn json(&self) -> Option<Value> {
        self.then_some(Value::Bool(true))
    }
}

impl Field for i64 {
    fn json(&self) -> Option<Value> {
        (*self != 0).then(|| (*self).into())
    }
}

impl Field for f64 {
    fn json(&self) -> Option<Value> {
        // Whole numbers are written as such, as the original does; JSON has no infinity.
        if self.fract() == 0.0 && self.abs() < EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
            return (*self as i64).json();
        }
        serde_json::Number::from_f64(*self).map(Value::Number)
    }
}

impl Field for String {
    fn json(&self) -> Option<Value> {
        (!self.is_empty()).then(|| self.as_str().into())
    }
}

impl<T: Field> Field for Vec<T> {
    fn json(&self) -> Option<Value> {
        let items = self.iter().map(|item| item.json().unwrap_or(Value::Null));
        (!self.is_empty()).then(|| items.collect())
    }
}

impl Field for StringMap {
    fn json(&self) -> Option<Value> {
        let entries = self
            .iter()
            .map(|(key, text)| (key.clone(), text.as_str().into()));
        (!self.is_empty()).then(|| Value::Object(entries.collect()))
    }
}

pub(super) fn get<T: DeserializeOwned + Default>(
    map: &Map<String, Value>,
    name: &str,
) -> Result<T, Unreadable> {
    match map.get(name) {
        None | Some(Value::Null) => Ok(T::default()),
        Some(value) => T::deserialize(value).map_err(|error| unreadable(name, &error)),
    }
}

pub(super) fn put(map: &mut Map<String, Value>, name: &str, field: &impl Field) {
    put_value(map, name, field.json());
}

pub(super) fn put_value(map: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => drop(map.insert(name.to_owned(), value)),
        None => drop(map.remove(name)),
    }
}

/// Sets fields of an object in the document and keeps its others; an empty one is left out.
pub(super) fn put_group<const N: usize>(
    map: &mut Map<String, Value>,
    name: &str,
    fields: [(&str, Option<Value>); N],
) {
    let mut group = get::<Map<String, Value>>(map, name).unwrap_or_default();
    for (field, value) in fields {
        put_value(&mut group, field, value);
    }
    put_value(
        map,
        name,
        (!group.is_empty()).then_some(Value::Object(group)),
    );
}

pub(super) fn unreadable(place: &str, error: &serde_json::Error) -> Unreadable {
    let (place, reason) = (place.to_owned(), error.to_string());
    Unreadable { place, reason }
}

fn basic_auth(map: &Map<String, Value>) -> Result<Option<BasicAuthData>, Unreadable> {
    let group = get::<Map<String, Value>>(map, "basic_auth_data")?;
    let data = BasicAuthData {
        password: get(&group, "password")?,
        hash: get(&group, "hash_type")?,
    };
    Ok((data != BasicAuthData::default()).then_some(data))
}

fn jwt(map: &Map<String, Value>) -> Result<Option<JwtData>, Unreadable> {
    let group = get::<Map<String, Value>>(map, "jwt_data")?;
    let secret = get(&group, "secret")?;
    let data = JwtData { secret };
    Ok((data != JwtData::default()).then_some(data))
}

fn monitor(map: &Map<String, Value>) -> Result<Option<Monitor>, Unreadable> {
    let group = get::<Map<String, Value>>(map, "monitor")?;
    let trigger_limits = get(&group, "trigger_limits")?;
    let data = Monitor { trigger_limits };
    Ok((data != Monitor::default()).then_some(data))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Every field that there is, and some that this gateway does not know.
    const FULL: &str = r#"{
        "last_check": 1, "allowance": 2, "rate": 1.5, "per": 4, "max_query_depth": 3,
        "expires": 5, "quota_max": 6, "quota_renews": 7, "quota_remaining": 8,
        "quota_renewal_rate": 9, "org_id": "o", "oauth_client_id": "c",
        "oauth_keys": {"a": "b"}, "certificate": "cert", "hmac_enabled": true,
        "hmac_string": "h", "is_inactive": true, "apply_policy_id": "p",
        "apply_policies": ["p", "q"], "data_expires": 10, "enable_detailed_recording": true,
        "tags": ["t"], "alias": "al", "last_updated": "11", "id_extractor_deadline": 12,
        "session_lifetime": 13, "post_expiry_action": "retain",
        "post_expiry_grace_period": -1,
        "basic_auth_data": {"password": "pw", "hash_type": "bcrypt"},
        "jwt_data": {"secret": "s"}, "monitor": {"trigger_limits": [80, 99.5]},
        "meta_data": {"text": "x", "number": 1, "deep": {"a": [true, null]}},
        "access_rights": {"id": {
            "api_name": "n", "api_id": "id", "versions": ["Default"],
            "allowed_urls": [{"url": "/a", "methods": ["GET"], "conditions": [1]}],
            "limit": {"rate": 3}, "allowance_scope": "id"
        }},
        "throttle_interval": 3, "date_created": "2026-01-02T03:04:05Z", "unheard_of": {"x": 1}
    }"#;

    fn full() -> Record {
        Record::parse(FULL.as_bytes()).unwrap()
    }

    fn record(value: Value) -> Record {
        Record::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn every_field_survives_the_way_to_a_plugin_and_back() {
        let before = full();
        let session = before.session().unwrap();
        assert_eq!(session.hmac_secret, "h");
        assert_eq!(session.metadata["deep"], r#"{"a":[true,null]}"#);
        assert_eq!(session.metadata["number"], "1");
        assert_eq!(
            session.access_rights["id"].allowed_urls.len(),
            1,
            "there are no empty entries before it"
        );
        let mut after = before.clone();
        after.apply(&session);
        assert_eq!(after, before);
        let mut fresh = Record::default();
        fresh.apply(&session);
        assert_eq!(fresh.session().unwrap(), session);
    }

    #[test]
    fn what_plugins_are_not_shown_is_kept_when_they_replace_the_rest() {
        let mut changed = full();
        let mut session = Session {
            rate: 7.0,
            ..Session::default()
        };
        session.metadata.insert("number".into(), "1".into());
        session
            .access_rights
            .insert("id".into(), Default::default());
        changed.apply(&session);
        assert_eq!(
            changed.into_value(),
            json!({
                "rate": 7, "meta_data": {"number": 1},
                "access_rights": {"id": {"limit": {"rate": 3}, "allowance_scope": "id"}},
                "throttle_interval": 3, "date_created": "2026-01-02T03:04:05Z",
                "unheard_of": {"x": 1},
            })
        );
    }

    #[test]
    fn zero_values_are_left_out_and_read_as_zero() {
        let mut empty = Record::default();
        empty.apply(&Session::default());
        assert_eq!(empty.into_value(), json!({}));
        let zeros = record(json!({
            "rate": 0, "access_rights": null, "tags": null, "meta_data": null,
            "basic_auth_data": {"password": "", "hash_type": ""}, "monitor": {"trigger_limits": null},
        }));
        assert_eq!(zeros.session().unwrap(), Session::default());
    }

    #[test]
    fn either_spelling_of_detailed_recording_counts() {
        let mut old = record(json!({"enable_detail_recording": true}));
        let mut session = old.session().unwrap();
        assert!(session.enable_detailed_recording);
        old.apply(&session);
        assert_eq!(old, record(json!({"enable_detail_recording": true})));
        session.enable_detailed_recording = false;
        old.apply(&session);
        assert_eq!(old.into_value(), json!({}));
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_never_a_session_with_fewer_limits() {
        for bad in [
            json!({"access_rights": ["x"]}),
            json!({"access_rights": {"id": 3}}),
            json!({"expires": "soon"}),
            json!({"is_inactive": "yes"}),
            json!({"access_rights": {"id": {"allowed_urls": [3]}}}),
        ] {
            assert!(record(bad.clone()).session().is_err(), "{bad}");
        }
        assert!(Record::parse(b"[]").is_err());
    }

    #[test]
    fn a_key_in_the_clear_can_be_left_out() {
        let mut only = record(json!({"meta_data": {"token": "abc"}}));
        only.forget_token();
        assert_eq!(only.into_value(), json!({}));
        let mut among = record(json!({"meta_data": {"token": "abc", "plan": "gold"}}));
        among.forget_token();
        assert_eq!(among.into_value(), json!({"meta_data": {"plan": "gold"}}));
    }
}

//! `server.authentication`: who may call.
//!
//! The document's own `components.securitySchemes` say what kind a scheme is of, and its first
//! security requirement which ones count.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::{Making, Mistake, below, plugins, seconds};
use crate::definition::{Auth, auth};
use crate::json;

/// Where the schemes are.
const SCHEMES: &str = "server.authentication.securitySchemes";

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Authentication {
    enabled: bool,
    strip_authorization_data: bool,
    base_identity_provider: String,
    hmac: Option<Hmac>,
    custom: Option<Custom>,
    security_schemes: Map<String, Value>,
    custom_key_lifetime: Lifetime,
    security_processing_mode: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Lifetime {
    enabled: bool,
    value: String,
    respect_validity: bool,
}

/// Where a credential is, if it is there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Source {
    enabled: bool,
    name: String,
}

/// Declares settings of a mechanism, each of which says where its credential is.
macro_rules! mechanisms {
    ($($name:ident { $($(#[$attribute:meta])* $field:ident: $type:ty,)* })*) => {$(
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct $name {
            enabled: bool,
            header: Option<Source>,
            cookie: Option<Source>,
            query: Option<Source>,
            $($(#[$attribute])* $field: $type,)*
        }

        impl $name {
            /// Puts the places of the credential over those that are known already.
            fn places(&self, auth: Auth) -> Auth {
                places([&self.header, &self.query, &self.cookie], auth)
            }
        }
    )*};
}

mechanisms! {
    Token {
        enable_client_certificate: bool,
    }
    Basic {
        disable_caching: bool,
        #[serde(rename = "cacheTTL")]
        cache_ttl: u64,
        extract_credentials_from_body: FromBody,
    }
    Hmac {
        allowed_algorithms: Vec<String>,
        allowed_clock_skew: f64,
    }
    Custom {
        config: Option<plugins::Check>,
    }
    Jwt {
        source: String,
        #[serde(rename = "jwksURIs")]
        jwks_uris: Vec<KeySet>,
        signing_method: String,
        identity_base_field: String,
        subject_claims: Vec<String>,
        skip_kid: bool,
        policy_field_name: String,
        base_policy_claims: Vec<String>,
        client_base_field: String,
        scopes: Scopes,
        default_policies: Vec<String>,
        issued_at_validation_skew: u64,
        not_before_validation_skew: u64,
        expires_at_validation_skew: u64,
        allowed_issuers: Vec<String>,
        allowed_audiences: Vec<String>,
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct FromBody {
    enabled: bool,
    user_regexp: String,
    password_regexp: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct KeySet {
    url: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Scopes {
    claim_name: String,
    claims: Vec<String>,
    scope_to_policy_mapping: Vec<Scope>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Scope {
    scope: String,
    policy_id: String,
}

impl Making<'_> {
    pub(super) fn authentication(&mut self, written: Authentication) -> Result<(), Mistake> {
        let definition = &mut self.definition;
        definition.use_keyless = !written.enabled;
        definition.strip_auth_data = written.strip_authorization_data;
        definition.base_identity_provided_by = written.base_identity_provider;
        let lifetime = written.custom_key_lifetime;
        if lifetime.enabled {
            let path = "server.authentication.customKeyLifetime.value";
            let kept = seconds(path, &lifetime.value)?;
            definition.session_lifetime = i64::try_from(kept).unwrap_or(i64::MAX);
            definition.session_lifetime_respects_key_expiration = lifetime.respect_validity;
        }
        if let Some(hmac) = written.hmac {
            definition.enable_signature_checking = hmac.enabled;
            let places = hmac.places(nowhere());
            definition.auth_configs.insert(auth::HMAC.into(), places);
            definition.hmac_allowed_algorithms = hmac.allowed_algorithms;
            definition.hmac_allowed_clock_skew = hmac.allowed_clock_skew;
        }
        if let Some(custom) = written.custom {
            definition.custom_plugin_auth_enabled = custom.enabled;
            let places = custom.places(nowhere());
            definition.auth_configs.insert("coprocess".into(), places);
            if let Some(check) = custom.config {
                let middleware = &mut definition.custom_middleware;
                (middleware.auth_check, middleware.id_extractor) = check.convert();
            }
        }
        if !matches!(written.security_processing_mode.as_str(), "" | "legacy") {
            let path = below("server.authentication.securityProcessingMode");
            let reason = "the first security requirement counts, as with `legacy`";
            self.lose(path, false, reason);
        }
        for (name, scheme) in &written.security_schemes {
            self.scheme(name, scheme)?;
        }
        Ok(())
    }

    /// One scheme, if it is used.
    fn scheme(&mut self, name: &str, written: &Value) -> Result<(), Mistake> {
        if json::is_off(written) || written.get("enabled").is_none() {
            return Ok(());
        }
        let path = below(&format!("{SCHEMES}.{name}"));
        let first = self.document.pointer("/security/0");
        if first.is_none_or(|first| first.get(name).is_none()) {
            let reason = "the first entry of `security` does not name it";
            self.lose(path, false, reason);
            return Ok(());
        }
        let schemes = self.document.pointer("/components/securitySchemes");
        let kind = schemes.and_then(|schemes| schemes.get(name));
        let kind = kind.unwrap_or(&Value::Null);
        let text = |key: &str| kind.get(key).and_then(Value::as_str).unwrap_or_default();
        let scheme = text("scheme").to_ascii_lowercase();
        match (text("type"), scheme.as_str()) {
            ("apiKey", _) => {
                let place = declared(text("in"), text("name"));
                let token = self.part(&path, written)?;
                self.token(&token, place);
            }
            ("http", "basic") => {
                let basic = self.part(&path, written)?;
                self.basic(basic);
            }
            ("http", "bearer") => {
                let jwt = self.part(&path, written)?;
                self.jwt(&path, jwt);
            }
            (kind, _) => {
                let reason = match kind {
                    "" => "components.securitySchemes does not say what it is".to_owned(),
                    kind => format!("schemes of the type {kind} are not implemented"),
                };
                self.lose(path, true, reason);
            }
        }
        Ok(())
    }

    /// Reads a part whose form depends on another part.
    fn part<T: DeserializeOwned>(&mut self, path: &str, value: &Value) -> Result<T, Mistake> {
        let at = |key: &str| format!("{path}.{key}");
        let read = json::read_value::<T>(value);
        let (part, unread) = read.map_err(|(key, message)| (at(&key), message))?;
        self.unread.extend(unread.iter().map(|key| at(key)));
        Ok(part)
    }

    fn token(&mut self, token: &Token, declared: Auth) {
        let definition = &mut self.definition;
        let mut places = token.places(declared);
        places.use_certificate = token.enable_client_certificate;
        definition.use_standard_auth = true;
        definition.auth = places.clone();
        definition.auth_configs.insert(auth::TOKEN.into(), places);
    }

    fn basic(&mut self, basic: Basic) {
        let definition = &mut self.definition;
        let places = basic.places(nowhere());
        definition.use_basic_auth = true;
        definition.auth_configs.insert(auth::BASIC.into(), places);
        definition.basic_auth.disable_caching = basic.disable_caching;
        definition.basic_auth.cache_ttl = basic.cache_ttl;
        let body = basic.extract_credentials_from_body;
        definition.basic_auth.extract_from_body = body.enabled;
        definition.basic_auth.body_user_regexp = body.user_regexp;
        definition.basic_auth.body_password_regexp = body.password_regexp;
    }

    fn jwt(&mut self, path: &str, jwt: Jwt) {
        for (key, count) in [
            ("jwksURIs", jwt.jwks_uris.len()),
            ("subjectClaims", jwt.subject_claims.len()),
            ("basePolicyClaims", jwt.base_policy_claims.len()),
            ("scopes.claims", jwt.scopes.claims.len()),
        ] {
            for place in 1..count {
                let reason = "only the first one counts";
                self.lose(format!("{path}.{key}[{place}]"), false, reason);
            }
        }
        self.jwt = Some(path.to_owned());
        let definition = &mut self.definition;
        let places = jwt.places(nowhere());
        definition.enable_jwt = true;
        definition.auth_configs.insert(auth::JWT.into(), places);
        let keys = jwt.jwks_uris.into_iter().map(|set| set.url);
        definition.jwt_source = first(jwt.source, keys);
        definition.jwt_signing_method = jwt.signing_method;
        definition.jwt_identity_base_field = first(jwt.identity_base_field, jwt.subject_claims);
        definition.jwt_skip_kid = jwt.skip_kid;
        definition.jwt_policy_field_name = first(jwt.policy_field_name, jwt.base_policy_claims);
        definition.jwt_client_base_field = jwt.client_base_field;
        definition.jwt_default_policies = jwt.default_policies;
        definition.jwt_issued_at_validation_skew = jwt.issued_at_validation_skew;
        definition.jwt_not_before_validation_skew = jwt.not_before_validation_skew;
        definition.jwt_expires_at_validation_skew = jwt.expires_at_validation_skew;
        definition.jwt_allowed_issuers = jwt.allowed_issuers;
        definition.jwt_allowed_audiences = jwt.allowed_audiences;
        let scopes = &mut definition.scopes.jwt;
        scopes.scope_claim_name = first(jwt.scopes.claim_name, jwt.scopes.claims);
        let policies = jwt.scopes.scope_to_policy_mapping.into_iter();
        scopes.scope_to_policy = policies
            .map(|entry| (entry.scope, entry.policy_id))
            .collect();
    }
}

/// A text, or the first of a list in its place.
fn first(text: String, list: impl IntoIterator<Item = String>) -> String {
    match text.as_str() {
        "" => list.into_iter().next().unwrap_or_default(),
        _ => text,
    }
}

/// No place yet.
fn nowhere() -> Auth {
    Auth {
        disable_header: true,
        ..Auth::default()
    }
}

/// The place that the document itself gives a key.
fn declared(place: &str, name: &str) -> Auth {
    let source = |at: &str| {
        (place == at).then(|| Source {
            enabled: true,
            name: name.to_owned(),
        })
    };
    let sources = [source("header"), source("query"), source("cookie")];
    places(sources.each_ref(), nowhere())
}

/// Puts places of a credential over others. Without any it is in the usual header.
fn places([header, query, cookie]: [&Option<Source>; 3], mut auth: Auth) -> Auth {
    let used = |source: &Option<Source>| {
        let source = source.as_ref().filter(|source| source.enabled);
        source.map(|source| source.name.clone())
    };
    if let Some(name) = used(header) {
        auth.disable_header = false;
        auth.auth_header_name = first(name, [auth.auth_header_name]);
    }
    if let Some(name) = used(query) {
        auth.use_param = true;
        auth.param_name = first(name, [auth.param_name]);
    }
    if let Some(name) = used(cookie) {
        auth.use_cookie = true;
        auth.cookie_name = first(name, [auth.cookie_name]);
    }
    if auth.disable_header && !auth.use_param && !auth.use_cookie {
        auth.disable_header = false;
    }
    auth
}

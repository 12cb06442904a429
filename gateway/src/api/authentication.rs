//! The mechanisms that authenticate the callers of one API, in the order of the contract: all
//! that are enabled have to pass, and one of them provides the session.

use std::sync::Arc;
use std::time::Duration;

use coprocess_core::HookType;
use tracing::warn;

use super::loader::lifetime;
use super::steps::{Steps, asks_plugin};
use crate::chain::Chain;
use crate::coprocess::{AuthStep, Broken, HookStep};
use crate::definition::auth;
use crate::jwt::JwtAuth;
use crate::middleware::{AuthToken, BasicAuth, ClientCertificate, Credential, SignatureAuth};

impl Steps<'_, '_> {
    pub(super) fn push_authentication(&mut self, chain: &mut Chain) -> Result<(), String> {
        let definition = self.definition;
        let mut enabled = Vec::new();
        if definition.use_basic_auth {
            chain.push(self.basic()?);
            enabled.push("basic_auth_user");
        }
        if definition.enable_signature_checking {
            chain.push(self.signature()?);
            enabled.push("hmac_key");
        }
        if definition.enable_jwt {
            chain.push(self.jwt()?);
            enabled.push("jwt_claim");
        }
        let entry = &definition.custom_middleware.auth_check;
        if asks_plugin(definition) {
            let mut hook = self.step(entry, HookType::CustomKeyCheck);
            if entry.name.is_empty() && hook.state.is_ok() {
                let reason = "plugin authentication is on but auth_check names no function";
                hook.state = Err(Broken::Code(reason.into()));
            }
            chain.push(self.plugin_authentication(hook));
            enabled.push("custom_auth");
        } else if !entry.name.is_empty() {
            warn!(
                api = definition.api_id,
                "The auth_check hook does not run: custom_plugin_auth_enabled is off or the entry \
                 is disabled."
            );
        }
        if definition.use_standard_auth || enabled.is_empty() {
            chain.push(AuthToken {
                credential: self.credential(auth::TOKEN)?,
                sessions: Arc::clone(&self.loader.sessions),
                provides_identity: self.identity_is_by("auth_token"),
                by_certificate: definition.auth_of(auth::TOKEN).0.use_certificate,
            });
            enabled.push("auth_token");
        }
        let by = definition.base_identity_provided_by.as_str();
        if !by.is_empty() && !enabled.contains(&by) {
            warn!(
                api = definition.api_id,
                by,
                ?enabled,
                "API refuses its requests: what base_identity_provided_by names is not enabled."
            );
        }
        Ok(())
    }

    /// The check of the client's certificate, which comes before all mechanisms.
    pub(super) fn push_client_certificate(&self, chain: &mut Chain) -> Result<(), String> {
        let definition = self.definition;
        let config = &self.loader.config;
        let api = definition.api_id.as_str();
        if definition.wants_certificates() && !config.http_server_options.use_ssl {
            warn!(
                api,
                "API asks for client certificates, and clients do not speak TLS: use_ssl."
            );
        }
        if !definition.use_mutual_tls_auth {
            return Ok(());
        }
        let common = config.security.certificates.apis.iter();
        let named = definition.client_certificates.iter().chain(common);
        let step = ClientCertificate::new(named.map(String::as_str), self.sources);
        let step = step.map_err(|error| self.mistake(&format!("client_certificates: {error}")))?;
        if step.is_empty() {
            warn!(
                api,
                "API refuses its requests: client_certificates names none."
            );
        }
        chain.push(step);
        Ok(())
    }

    fn mistake(&self, mistake: &str) -> String {
        format!("API `{}`: {mistake}", self.definition.api_id)
    }

    /// Where a mechanism finds its credential.
    pub(super) fn credential(&self, mechanism: &str) -> Result<Credential, String> {
        let (settings, path) = self.definition.auth_of(mechanism);
        Credential::new(settings).map_err(|mistake| self.mistake(&format!("{path}.{mistake}")))
    }

    /// Whether the session of this mechanism is the request's.
    fn identity_is_by(&self, mechanism: &str) -> bool {
        let by = self.definition.base_identity_provided_by.as_str();
        by.is_empty() || by == mechanism
    }

    fn plugin_authentication(&self, hook: HookStep) -> AuthStep {
        AuthStep {
            hook,
            extractor: self.extractor.clone(),
            sessions: Arc::clone(&self.loader.sessions),
            lifetime: lifetime(&self.loader.config, self.definition),
            provides_identity: self.identity_is_by("custom_auth"),
        }
    }

    fn basic(&self) -> Result<BasicAuth, String> {
        let step = BasicAuth::new(
            self.definition,
            self.credential(auth::BASIC)?,
            Arc::clone(&self.loader.sessions),
            self.identity_is_by("basic_auth_user"),
        );
        step.map_err(|mistake| self.mistake(&mistake))
    }

    fn signature(&self) -> Result<SignatureAuth, String> {
        let definition = self.definition;
        let skew = definition.hmac_allowed_clock_skew;
        let algorithms = SignatureAuth::allowed(&definition.hmac_allowed_algorithms);
        Ok(SignatureAuth {
            credential: self.credential(auth::HMAC)?,
            sessions: Arc::clone(&self.loader.sessions),
            certificates: Arc::clone(&self.loader.certificates),
            provides_identity: self.identity_is_by("hmac_key"),
            algorithms: algorithms.map_err(|mistake| self.mistake(&mistake))?,
            clock_skew: (skew > 0.0)
                .then(|| Duration::try_from_secs_f64(skew / 1000.0).unwrap_or(Duration::MAX)),
        })
    }

    fn jwt(&self) -> Result<JwtAuth, String> {
        let step = JwtAuth::new(
            self.definition,
            &self.loader.jwks,
            self.credential(auth::JWT)?,
            Arc::clone(&self.loader.sessions),
            (
                lifetime(&self.loader.config, self.definition),
                self.identity_is_by("jwt_claim"),
            ),
        );
        step.map_err(|mistake| self.mistake(&mistake))
    }
}

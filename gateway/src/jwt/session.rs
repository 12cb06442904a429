//! The session of a caller who has a valid token.

use std::sync::Arc;

use coprocess_core::Session;
use jsonwebtoken::DecodingKey;
use tracing::warn;

use super::claims::Claims;
use super::token::Token;
use super::{JwtAuth, Refused, invalid};
use crate::coprocess;
use crate::definition::{ApiDefinition, ScopeClaim};
use crate::exchange::Exchange;
use crate::policy;
use crate::session::key::md5_hex;
use crate::session::owner::usable;
use crate::session::{Kept, SessionError};

/// Which policies a token stands for.
pub(super) struct PolicyRules {
    claim: String,
    client_claim: String,
    default: Vec<String>,
    scopes: ScopeClaim,
}

impl PolicyRules {
    pub(super) fn new(definition: &ApiDefinition) -> Self {
        Self {
            claim: definition.jwt_policy_field_name.clone(),
            client_claim: definition.jwt_client_base_field.clone(),
            default: definition.jwt_default_policies.clone(),
            scopes: definition.jwt_scopes(),
        }
    }

    /// The policies that the token's scopes stand for, behind the token's own one. Default
    /// policies are left out where there are scopes.
    fn by_scopes(&self, claims: &Claims, own: Option<&str>) -> Option<Vec<String>> {
        let mapped = &self.scopes.scope_to_policy;
        let scopes = claims.scopes(&self.scopes.scope_claim_name);
        if mapped.is_empty() || scopes.is_empty() {
            return None;
        }
        let mut ids: Vec<String> = own.map(str::to_owned).into_iter().collect();
        for id in scopes.iter().filter_map(|scope| mapped.get(*scope)) {
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
        Some(ids)
    }
}

const NONE_FOUND: Refused = Refused::Policy("no matching policy found");

impl JwtAuth {
    /// The key of the caller that the token names, and the caller's session.
    pub(super) async fn key_of_session(
        &self,
        token: &Token<'_>,
        exchange: &Exchange,
    ) -> Result<(DecodingKey, Arc<Kept>), Refused> {
        let by_kid = token.kid().filter(|_| !self.rules.skips_kid);
        let id = match by_kid {
            Some(kid) => kid.to_owned(),
            None => self
                .identity(&token.unverified_claims()?)
                .map_err(|refused| invalid(refused.to_string()))?,
        };
        let kept = self.session_of_key(&id, exchange).await?;
        let kept = kept.ok_or_else(|| invalid("token invalid, key not found"))?;
        let secret = kept.session.jwt_data.as_ref();
        let secret = secret.map_or("", |data| data.secret.as_str());
        let key = self.rules.family.key(secret.as_bytes()).map_err(invalid)?;
        Ok((key, kept))
    }

    async fn session_of_key(
        &self,
        key: &str,
        exchange: &Exchange,
    ) -> Result<Option<Arc<Kept>>, Refused> {
        let org_id = &exchange.api.spec.org_id;
        self.sessions.of_key(org_id, key).await.map_err(failed)
    }

    /// Makes the session of the token's owner the request's.
    pub(super) fn adopt_owner(&self, kept: &Kept, exchange: &mut Exchange) -> Result<(), Refused> {
        let session = usable(kept, exchange);
        let session = session.ok_or_else(|| invalid("key is not for this API"))?;
        self.adopt(session, exchange);
        Ok(())
    }

    fn adopt(&self, session: Arc<Session>, exchange: &mut Exchange) {
        if self.provides_identity {
            exchange.session = Some(session);
        }
    }

    /// Makes a session from the claims and the policies that they stand for. It is stored
    /// under the caller's name, so that its quota goes on.
    pub(super) async fn adopt_made(
        &self,
        claims: &Claims,
        exchange: &mut Exchange,
    ) -> Result<(), Refused> {
        let identity = self.identity(claims)?;
        let policies = self.policies(claims, exchange).await?;
        let org_id = exchange.api.spec.org_id.clone();
        let digest = md5_hex(identity.as_bytes());
        let id = self.sessions.names.generate(&org_id, &digest);
        let age = self.sessions.age();
        let stored = match self.sessions.seen(&id) {
            Some(stored) => Some(stored),
            None => self.sessions.find(&id).await.map_err(failed)?,
        };
        // A token that is still taken has a session that is still used.
        let skew = i64::try_from(self.rules.time.expires).unwrap_or(i64::MAX);
        let expires = claims.expires().map_or(0, |time| time.saturating_add(skew));
        if let Some(stored) = &stored
            && stored.session.apply_policies == policies
            && stored.session.alias == identity
            && stored.session.expires >= expires
            && let Ok(session) = exchange.api.policies.of_stored(stored, &org_id)
        {
            self.adopt(session, exchange);
            return Ok(());
        }
        let mut session = Session {
            org_id,
            key_id: id.clone(),
            alias: identity,
            apply_policies: policies,
            ..Session::default()
        };
        session
            .metadata
            .insert("TykJWTSessionID".into(), id.clone());
        if let Some(stored) = &stored {
            coprocess::carry_over(&mut session, &stored.session);
        }
        self.apply_policies(&mut session, exchange)?;
        session.expires = session.expires.max(expires);
        let session = Arc::new(session);
        self.adopt(Arc::clone(&session), exchange);
        self.save(&id, &session, stored.as_deref(), age, exchange);
        Ok(())
    }

    /// The one place where the policies of a token are applied. A session whose policies
    /// are not there is not used.
    fn apply_policies(&self, session: &mut Session, exchange: &Exchange) -> Result<(), Refused> {
        let api = &*exchange.api;
        api.policies
            .apply(session, Some(&api.spec.org_id))
            .map_err(|error| {
                let policies = policy::ids(session);
                warn!(api = api.id, %error, ?policies, "Policies of a token cannot be applied.");
                match error {
                    policy::PolicyError::Missing(_) | policy::PolicyError::Foreign(_) => {
                        Refused::Policy("no matching policy")
                    }
                    _ => Refused::Policy("could not apply new policy"),
                }
            })
    }

    fn save(
        &self,
        id: &str,
        session: &Arc<Session>,
        stored: Option<&Kept>,
        age: u64,
        exchange: &mut Exchange,
    ) {
        if !self.provides_identity {
            return;
        }
        match self
            .sessions
            .to_save(id, session, stored, self.lifetime, age)
        {
            Ok(unsaved) => exchange.unsaved = unsaved.map(Box::new),
            Err(error) => warn!(api = exchange.api.id, %error, "Session is not saved."),
        }
    }

    async fn policies(&self, claims: &Claims, exchange: &Exchange) -> Result<Vec<String>, Refused> {
        let rules = &self.rules.policies;
        let own = if !rules.claim.is_empty() {
            let own = claims.text(&rules.claim).filter(|id| !id.is_empty());
            own.map(str::to_owned)
        } else if !rules.client_claim.is_empty() {
            self.policy_of_client(claims, exchange).await?
        } else {
            None
        };
        if own.is_none() && rules.default.is_empty() {
            return Err(NONE_FOUND);
        }
        if let Some(ids) = rules.by_scopes(claims, own.as_deref()) {
            if ids.is_empty() {
                return Err(Refused::Policy("no matching policy found in scope claim"));
            }
            return Ok(ids);
        }
        Ok(own.map_or_else(|| rules.default.clone(), |own| vec![own]))
    }

    /// The first policy of the key whose name is in the token.
    async fn policy_of_client(
        &self,
        claims: &Claims,
        exchange: &Exchange,
    ) -> Result<Option<String>, Refused> {
        let Some(client) = claims.text(&self.rules.policies.client_claim) else {
            return Ok(None);
        };
        let kept = self.session_of_key(client, exchange).await?;
        Ok(kept.and_then(|kept| policy::ids(&kept.session).first().cloned()))
    }
}

fn failed(error: SessionError) -> Refused {
    match error {
        SessionError::Store(error) => Refused::Store(error.to_string()),
        SessionError::Unreadable(error) => invalid(error.to_string()),
    }
}

//! Standard key authentication: the caller's key names a stored session.
//!
//! A session that was seen a moment ago is used without waiting; the store is asked for
//! others only. While the store is away, those seen a moment ago still pass.

use std::borrow::Cow;
use std::sync::Arc;

use coprocess_core::Session;
use tracing::warn;

use super::Credential;
use super::credential::without_scheme;
use crate::chain::{Flow, Middleware, Step};
use crate::error::ProxyError;
use crate::events::{Meta, names};
use crate::exchange::Exchange;
use crate::session::{Kept, SessionError, Sessions};

/// Asks for a key.
pub struct AuthToken {
    /// Where it is.
    pub credential: Credential,
    /// Where sessions are kept.
    pub sessions: Arc<Sessions>,
    /// The key's session is the request's. It is not where the definition says that another
    /// mechanism provides the identity.
    pub provides_identity: bool,
    /// Without a key, the client's certificate stands for one; and a key that belongs to a
    /// certificate is good with this certificate only.
    pub by_certificate: bool,
}

impl Middleware for AuthToken {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let found = self.credential.find(&exchange.head);
        let Some(credential) = found.or_else(|| self.of_certificate(exchange)) else {
            return Step::Done(Err(ProxyError::KeyMissing));
        };
        let key = without_scheme(&credential);
        if key.len() < self.sessions.min_id_length {
            let key = key.to_owned();
            return Step::Done(Err(refuse(&key, exchange)));
        }
        let org_id = &exchange.api.spec.org_id;
        let ids = self.sessions.names.ids_of_key(org_id, key);
        let seen = ids.iter().flatten().find_map(|id| self.sessions.seen(id));
        if let Some(kept) = seen {
            return Step::Done(self.adopt(&kept, exchange));
        }
        let key = key.to_owned();
        Step::Later(Box::pin(self.look_up(key, exchange)))
    }
}

impl AuthToken {
    /// The key that a certificate stands for.
    fn of_certificate(&self, exchange: &Exchange) -> Option<Cow<'static, str>> {
        let peer = exchange
            .client
            .tls
            .as_ref()
            .filter(|_| self.by_certificate)?;
        let org_id = &exchange.api.spec.org_id;
        let key = || self.sessions.names.generate(org_id, &peer.fingerprint);
        (!peer.fingerprint.is_empty()).then(|| Cow::Owned(key()))
    }

    /// Whether a key that belongs to a certificate was sent with this certificate. Its id
    /// may have the organisation before the fingerprint.
    fn has_certificate(&self, session: &Session, exchange: &Exchange) -> bool {
        let bound = session.certificate.as_str();
        if !self.by_certificate || bound.is_empty() {
            return true;
        }
        let peer = exchange.client.tls.as_ref();
        let shown = peer.map_or("", |peer| &peer.fingerprint);
        let id = bound.strip_prefix(&*session.org_id).unwrap_or(bound);
        !shown.is_empty() && (id == shown || bound == shown)
    }

    async fn look_up(&self, key: String, exchange: &mut Exchange) -> Result<Flow, ProxyError> {
        let org_id = exchange.api.spec.org_id.clone();
        for id in self
            .sessions
            .names
            .ids_of_key(&org_id, &key)
            .iter()
            .flatten()
        {
            match self.sessions.find(id).await {
                Ok(Some(kept)) => return self.adopt(&kept, exchange),
                Ok(None) => {}
                Err(error) => return Err(failed(&error, exchange)),
            }
        }
        Err(refuse(&key, exchange))
    }

    /// Makes the key's session the request's, if it is one for this API.
    fn adopt(&self, kept: &Kept, exchange: &mut Exchange) -> Result<Flow, ProxyError> {
        let api = &*exchange.api;
        let org_id = &api.spec.org_id;
        let Ok(session) = api.policies.of_stored(kept, org_id) else {
            return Err(refuse(&kept.session.key_id, exchange));
        };
        // A key that is for all APIs is for those of its organisation.
        let is_here = session.org_id.is_empty()
            || session.org_id == *org_id
            || session.access_rights.contains_key(&api.id);
        if !is_here || !self.has_certificate(&session, exchange) {
            return Err(refuse(&session.key_id, exchange));
        }
        if self.provides_identity {
            exchange.session = Some(session);
        }
        Ok(Flow::Continue)
    }
}

/// Refuses a key, and fires the event that says so.
fn refuse(key: &str, exchange: &Exchange) -> ProxyError {
    // With another mechanism's session the refusal is an event by itself.
    if exchange.session.is_none() {
        let meta = || Meta::of_key("Auth Failure", exchange, key);
        exchange.api.events.fire(names::AUTH_FAILURE, meta);
    }
    ProxyError::KeyUnknown
}

fn failed(error: &SessionError, exchange: &Exchange) -> ProxyError {
    match error {
        // The store says by itself that it is away.
        SessionError::Store(error) => ProxyError::KeyStore(error.to_string()),
        SessionError::Unreadable(error) => {
            warn!(api = exchange.api.id, %error, "Key is refused.");
            ProxyError::Internal(error.to_string())
        }
    }
}

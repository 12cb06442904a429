//! The hook that authenticates, and what becomes of the session that it makes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use coprocess_core::{Session, StringMap};
use tracing::{error, warn};

use super::convert::{self, Applied};
use super::{Begun, DispatchResult, HookCall, HookStep};
use crate::chain::{Flow, Middleware, Step};
use crate::definition::BodyMode;
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::session::lifetime::Lifetime;
use crate::session::record::TOKEN;
use crate::session::{Kept, SessionError, Sessions};

/// Authentication by a plugin.
pub struct AuthStep {
    /// The `auth_check` hook.
    pub hook: HookStep,
    /// Where sessions are kept.
    pub sessions: Arc<Sessions>,
    /// How long.
    pub lifetime: Lifetime,
    /// The plugin's session is the request's. It is not where the definition says that
    /// another mechanism provides the identity.
    pub provides_identity: bool,
}

/// A session that the plugin made, and what it belongs to.
struct Made {
    id: String,
    session: Box<Session>,
}

/// What the plugin says, as far as no look into the store is needed.
enum Verdict {
    Settled(Flow),
    Accepted(Made),
}

impl Middleware for AuthStep {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let call = match self.hook.callable(exchange) {
            Ok(call) => call,
            Err(refusal) => return Step::Done(Err(refusal)),
        };
        if call.body == BodyMode::Buffer && exchange.body.is_streaming() {
            return Step::Later(Box::pin(self.hold_and_ask(call, exchange)));
        }
        self.ask(call, exchange)
    }
}

impl AuthStep {
    /// Calls the plugin. Most requests come with a session that was seen a moment ago, and
    /// are done when this returns.
    fn ask<'a>(&'a self, call: &'a HookCall, exchange: &'a mut Exchange) -> Step<'a> {
        let object = convert::request_object(&self.hook, call, exchange);
        let outcome = match call.begin(object) {
            Begun::Done(outcome) => outcome,
            Begun::Waiting(dispatch) => {
                return Step::Later(Box::pin(async move {
                    let outcome = call.finish(dispatch).await;
                    self.settle(call, outcome, exchange).await
                }));
            }
        };
        let made = match self.verdict(call, outcome, exchange) {
            Ok(Verdict::Accepted(made)) => made,
            Ok(Verdict::Settled(flow)) => return Step::Done(Ok(flow)),
            Err(refusal) => return Step::Done(Err(refusal)),
        };
        match self.sessions.seen(&self.sessions.names.of_id(&made.id)) {
            Some(stored) => Step::Done(Ok(self.adopt(made, Ok(Some(stored)), exchange))),
            None => Step::Later(Box::pin(async move { self.keep(made, exchange).await })),
        }
    }

    async fn hold_and_ask(
        &self,
        call: &HookCall,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        exchange.body.hold(call.max_body_bytes).await?;
        let object = convert::request_object(&self.hook, call, exchange);
        let outcome = call.dispatch(object).await;
        self.settle(call, outcome, exchange).await
    }

    async fn settle(
        &self,
        call: &HookCall,
        outcome: DispatchResult,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        match self.verdict(call, outcome, exchange)? {
            Verdict::Accepted(made) => self.keep(made, exchange).await,
            Verdict::Settled(flow) => Ok(flow),
        }
    }

    async fn keep(&self, made: Made, exchange: &mut Exchange) -> Result<Flow, ProxyError> {
        let name = self.sessions.names.of_id(&made.id);
        let stored = self.sessions.find(&name).await;
        Ok(self.adopt(made, stored, exchange))
    }

    /// What the plugin decided: an answer of its own comes first, then the session.
    fn verdict(
        &self,
        call: &HookCall,
        outcome: DispatchResult,
        exchange: &mut Exchange,
    ) -> Result<Verdict, ProxyError> {
        let (session, metadata) = match self.hook.applied(call, outcome, exchange)? {
            Applied::Answer(response) => return Ok(Verdict::Settled(Flow::Respond(response))),
            Applied::GoesOn { session, metadata } => (session, metadata),
        };
        let made = accepted(session, metadata)?;
        self.refuse_what_is_not_enforced(&made.session, exchange)?;
        if !self.provides_identity {
            return Ok(Verdict::Settled(Flow::Continue));
        }
        Ok(Verdict::Accepted(made))
    }

    /// Makes the plugin's session the request's, and has it saved at the request's end.
    fn adopt(
        &self,
        made: Made,
        stored: Result<Option<Arc<Kept>>, SessionError>,
        exchange: &mut Exchange,
    ) -> Flow {
        let Made { id, mut session } = made;
        let org_id = &exchange.api.spec.org_id;
        session.key_id.clone_from(&id);
        session.org_id.clone_from(org_id);
        let stored = stored.inspect_err(|error| {
            let api = &*exchange.api.id;
            // Without what is stored its quota would begin anew, so it is not saved either.
            warn!(api, %error, "Session is not saved: what is stored cannot be read.");
        });
        if let Ok(Some(stored)) = &stored {
            carry_over(&mut session, &stored.session);
        }
        // An equal session is shared, so that it need not be kept twice.
        let session = match &stored {
            Ok(Some(stored)) if *stored.session == *session => Arc::clone(&stored.session),
            _ => Arc::from(session),
        };
        if let Ok(stored) = stored {
            let unsaved = self
                .sessions
                .to_save(&id, &session, stored.as_deref(), self.lifetime);
            match unsaved {
                Ok(unsaved) => exchange.unsaved = unsaved.map(Box::new),
                Err(error) => warn!(api = exchange.api.id, %error, "Session is not saved."),
            }
        }
        exchange.session = Some(session);
        Flow::Continue
    }

    /// A session that asks for restrictions which do not exist here must not pass as one
    /// without them.
    fn refuse_what_is_not_enforced(
        &self,
        session: &Session,
        exchange: &Exchange,
    ) -> Result<(), ProxyError> {
        let api = &*exchange.api;
        let mut rights = session.access_rights.values();
        let what = if !session.apply_policies.is_empty() || !session.apply_policy_id.is_empty() {
            "policies"
        } else if rights.any(|right| !right.allowed_urls.is_empty()) {
            "allowed_urls"
        } else {
            let limited = session.rate > 0.0 || session.quota_max > 0;
            if limited && !api.limits_told.swap(true, Ordering::Relaxed) {
                warn!(
                    api = api.id,
                    "Sessions of the auth_check hook have a rate or quota, which is not enforced."
                );
            }
            return Ok(());
        };
        error!(
            api = api.id,
            what, "Session of the auth_check hook needs what is not implemented."
        );
        Err(ProxyError::AuthRejected)
    }
}

/// The session that the plugin made, if it accepted the caller: it did where it named a key.
fn accepted(session: Option<Box<Session>>, metadata: StringMap) -> Result<Made, ProxyError> {
    let mut session = session.ok_or(ProxyError::AuthRejected)?;
    session.metadata.extend(metadata);
    let token = session.metadata.get(TOKEN);
    let id = token
        .filter(|token| !token.is_empty())
        .ok_or(ProxyError::AuthRejected)?
        .clone();
    Ok(Made { id, session })
}

/// What a plugin that makes its session anew each time cannot know, or did not say.
fn carry_over(made: &mut Session, stored: &Session) {
    made.quota_renews = stored.quota_renews;
    made.quota_remaining = stored.quota_remaining;
    if made.certificate.is_empty() {
        made.certificate.clone_from(&stored.certificate);
    }
    if made.max_query_depth == 0 {
        made.max_query_depth = stored.max_query_depth;
    }
}

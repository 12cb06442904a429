//! The hook that authenticates, and what becomes of the session that it makes.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use coprocess_core::{Session, StringMap};
use tokio::sync::Semaphore;
use tracing::warn;

use super::convert::{self, Applied};
use super::{Begun, DispatchResult, HookCall, HookStep, IdExtractor};
use crate::chain::{Flow, Middleware, Step};
use crate::definition::BodyMode;
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::policy;
use crate::session::lifetime::Lifetime;
use crate::session::memo::Digest;
use crate::session::record::TOKEN;
use crate::session::{Kept, SessionError, Sessions, unix_now};

/// Most bytes that are searched on the data plane's own thread.
const IN_PLACE: usize = 64 * 1024;

/// How many longer ones are searched at the same time.
static ELSEWHERE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(4)));

/// Authentication by a plugin.
pub struct AuthStep {
    /// The `auth_check` hook.
    pub hook: HookStep,
    /// Finds out who calls before the plugin is asked.
    pub extractor: Option<Arc<IdExtractor>>,
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
        if let Some(extractor) = &self.extractor {
            return self.recognize(extractor, call, exchange);
        }
        if call.body == BodyMode::Buffer && exchange.body.is_streaming() {
            return Step::Later(Box::pin(self.ask_later(call, None, exchange)));
        }
        self.ask(call, exchange)
    }
}

impl AuthStep {
    /// Finds the session of a caller who was here before. Most ids are in the head, and most
    /// callers have come a moment ago: they are done when this returns.
    fn recognize<'a>(
        &'a self,
        extractor: &'a Arc<IdExtractor>,
        call: &'a HookCall,
        exchange: &'a mut Exchange,
    ) -> Step<'a> {
        let head = &exchange.head;
        if extractor.reads_body(head) || extractor.head_text(head).len() > IN_PLACE {
            return Step::Later(Box::pin(self.recognize_later(extractor, call, exchange)));
        }
        let digest = extractor.digest(extractor.head_text(head), b"");
        let id = match self.session_id(digest, exchange) {
            Ok(id) => id,
            Err(refusal) => return Step::Done(Err(refusal)),
        };
        if let Some(stored) = self.sessions.seen(&id)
            && let Some(session) = self.enough(&stored, &id, exchange)
        {
            exchange.session = Some(session);
            return Step::Done(Ok(Flow::Continue));
        }
        Step::Later(Box::pin(self.find_or_ask(call, id, exchange)))
    }

    async fn recognize_later(
        &self,
        extractor: &Arc<IdExtractor>,
        call: &HookCall,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        let mut body = Bytes::new();
        if extractor.reads_body(&exchange.head) {
            body = exchange.body.hold(call.max_body_bytes).await?.clone();
            // What was held goes on with a length, whether a hook is called or not.
            convert::apply_body(body.clone(), exchange);
        }
        let head_text = extractor.head_text(&exchange.head);
        let digest = if head_text.len() + body.len() <= IN_PLACE {
            extractor.digest(head_text, &body)
        } else {
            let (extractor, head_text) = (Arc::clone(extractor), head_text.to_vec());
            elsewhere(move || extractor.digest(&head_text, &body)).await?
        };
        let id = self.session_id(digest, exchange)?;
        self.find_or_ask(call, id, exchange).await
    }

    fn session_id(
        &self,
        digest: Option<String>,
        exchange: &Exchange,
    ) -> Result<String, ProxyError> {
        let digest = digest.ok_or(ProxyError::ExtractorMiss)?;
        let org_id = &exchange.api.spec.org_id;
        Ok(self.sessions.names.generate(org_id, &digest))
    }

    /// A stored session that lets its caller in without the plugin, with its policies.
    fn enough(&self, stored: &Kept, id: &str, exchange: &Exchange) -> Option<Arc<Session>> {
        let session = &stored.session;
        let org_id = &exchange.api.spec.org_id;
        let is_enough = self.provides_identity
            && stored.is_owner_known
            && session.id_extractor_deadline > unix_now()
            && id.len() >= self.sessions.min_id_length
            && session.org_id == *org_id;
        if !is_enough {
            return None;
        }
        exchange.api.policies.of_stored(stored, org_id).ok()
    }

    async fn find_or_ask(
        &self,
        call: &HookCall,
        id: String,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        if !self.provides_identity {
            return self.ask_later(call, Some(id), exchange).await;
        }
        match self.sessions.find(&id).await {
            Ok(Some(stored)) if let Some(session) = self.enough(&stored, &id, exchange) => {
                exchange.session = Some(session);
                Ok(Flow::Continue)
            }
            // Whoever is not known is the plugin's to judge, also while the store is away.
            _ => self.ask_later(call, Some(id), exchange).await,
        }
    }

    /// Calls the plugin. Most requests come with a session that was seen a moment ago, and
    /// are done when this returns.
    fn ask<'a>(&'a self, call: &'a HookCall, exchange: &'a mut Exchange) -> Step<'a> {
        let object = convert::request_object(&self.hook, call, exchange);
        let outcome = match call.begin(object) {
            Begun::Done(outcome) => outcome,
            Begun::Waiting(dispatch) => {
                return Step::Later(Box::pin(async move {
                    let outcome = call.finish(dispatch).await;
                    self.settle(call, outcome, None, exchange).await
                }));
            }
        };
        let made = match self.verdict(call, outcome, None, exchange) {
            Ok(Verdict::Accepted(made)) => made,
            Ok(Verdict::Settled(flow)) => return Step::Done(Ok(flow)),
            Err(refusal) => return Step::Done(Err(refusal)),
        };
        let age = self.sessions.age();
        match self.sessions.seen(&made.id) {
            Some(stored) => Step::Done(self.adopt(made, Ok(Some(stored)), age, exchange)),
            None => Step::Later(Box::pin(self.keep(made, exchange))),
        }
    }

    /// Calls the plugin about a caller with this extracted id, if there is an extractor.
    async fn ask_later(
        &self,
        call: &HookCall,
        id: Option<String>,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        if call.body == BodyMode::Buffer {
            exchange.body.hold(call.max_body_bytes).await?;
        }
        let object = convert::request_object(&self.hook, call, exchange);
        let outcome = call.dispatch(object).await;
        self.settle(call, outcome, id, exchange).await
    }

    async fn settle(
        &self,
        call: &HookCall,
        outcome: DispatchResult,
        id: Option<String>,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        match self.verdict(call, outcome, id, exchange)? {
            Verdict::Accepted(made) => self.keep(made, exchange).await,
            Verdict::Settled(flow) => Ok(flow),
        }
    }

    async fn keep(&self, made: Made, exchange: &mut Exchange) -> Result<Flow, ProxyError> {
        let age = self.sessions.age();
        let stored = self.sessions.find(&made.id).await;
        self.adopt(made, stored, age, exchange)
    }

    /// What the plugin decided: an answer of its own comes first, then the session.
    fn verdict(
        &self,
        call: &HookCall,
        outcome: DispatchResult,
        id: Option<String>,
        exchange: &mut Exchange,
    ) -> Result<Verdict, ProxyError> {
        let (session, metadata) = match self.hook.applied(call, outcome, exchange)? {
            Applied::Answer(response) => return Ok(Verdict::Settled(Flow::Respond(response))),
            Applied::GoesOn { session, metadata } => (session, metadata),
        };
        let made = accepted(session, metadata, id)?;
        if !self.provides_identity {
            return Ok(Verdict::Settled(Flow::Continue));
        }
        Ok(Verdict::Accepted(made))
    }

    /// Makes the plugin's session the request's, and has it saved at the request's end.
    /// `stored` was looked up at `age`.
    fn adopt(
        &self,
        made: Made,
        stored: Result<Option<Arc<Kept>>, SessionError>,
        age: u64,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        let Made { id, mut session } = made;
        let org_id = &exchange.api.spec.org_id;
        let digest = Digest::of(&session, &id, org_id);
        if let (Ok(Some(stored)), Some(digest)) = (&stored, digest)
            && stored.stands_for(digest, &session, self.lifetime)
        {
            exchange.session = Some(Arc::clone(&stored.session));
            return Ok(Flow::Continue);
        }
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
        apply_policies(&mut session, exchange)?;
        // An equal session is shared, so that it need not be kept twice.
        let session = match &stored {
            Ok(Some(stored)) if *stored.session == *session => {
                if let Some(digest) = digest {
                    stored.remember(digest);
                }
                Arc::clone(&stored.session)
            }
            _ => Arc::from(session),
        };
        if let Ok(stored) = stored {
            let unsaved =
                self.sessions
                    .to_save(&id, &session, stored.as_deref(), self.lifetime, age);
            match unsaved {
                Ok(unsaved) => exchange.unsaved = unsaved.map(Box::new),
                Err(error) => warn!(api = exchange.api.id, %error, "Session is not saved."),
            }
        }
        exchange.session = Some(session);
        Ok(Flow::Continue)
    }
}

/// Runs a search on another thread, once there is room. It goes on although its client has
/// gone, and takes its room as long.
pub(crate) async fn elsewhere<T: Send + 'static>(
    search: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ProxyError> {
    let permit = Arc::clone(&ELSEWHERE).acquire_owned().await;
    let permit = permit.map_err(|error| ProxyError::Internal(error.to_string()))?;
    let search = move || {
        let _permit = permit;
        search()
    };
    let searched = tokio::task::spawn_blocking(search).await;
    searched.map_err(|error| ProxyError::Internal(error.to_string()))
}

/// Applies the policies that the plugin has given its session. Without them it must not be
/// used.
fn apply_policies(session: &mut Session, exchange: &Exchange) -> Result<(), ProxyError> {
    if !policy::has_some(session) {
        return Ok(());
    }
    let api = &*exchange.api;
    let applied = api.policies.apply(session, Some(&api.spec.org_id));
    applied.map_err(|error| {
        let policies = policy::ids(session);
        warn!(api = api.id, %error, ?policies, "Policies of a plugin's session cannot be applied.");
        ProxyError::AuthRejected
    })
}

/// The session that the plugin made, if it accepted the caller. It did where it named a key;
/// where the id was extracted, also where it asked for the caller to be remembered by it.
fn accepted(
    session: Option<Box<Session>>,
    metadata: StringMap,
    extracted: Option<String>,
) -> Result<Made, ProxyError> {
    let mut session = session.ok_or(ProxyError::AuthRejected)?;
    session.metadata.extend(metadata);
    let token = session.metadata.get(TOKEN);
    let token = token.filter(|token| !token.is_empty()).cloned();
    let id = match (extracted, token) {
        (Some(id), Some(_)) => id,
        (Some(id), None) if session.id_extractor_deadline > 0 => id,
        (None, Some(token)) => token,
        (_, None) => return Err(ProxyError::AuthRejected),
    };
    Ok(Made { id, session })
}

/// What a plugin that makes its session anew each time cannot know, or did not say.
pub(crate) fn carry_over(made: &mut Session, stored: &Session) {
    made.quota_renews = stored.quota_renews;
    made.quota_remaining = stored.quota_remaining;
    for (api_id, right) in made.access_rights.iter_mut() {
        let Some(stored) = stored.access_rights.get(api_id) else {
            continue;
        };
        if right.limit.is_none() {
            right.limit.clone_from(&stored.limit);
        }
        if right.allowance_scope.is_empty() {
            right.allowance_scope.clone_from(&stored.allowance_scope);
        }
    }
    if made.certificate.is_empty() {
        made.certificate.clone_from(&stored.certificate);
    }
    if made.max_query_depth == 0 {
        made.max_query_depth = stored.max_query_depth;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_search_whose_client_has_gone_keeps_its_room() {
        let (started, has_started) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let room = ELSEWHERE.available_permits();
        let request = tokio::spawn(elsewhere(move || {
            started.send(()).unwrap();
            let _ = released.recv();
        }));
        let has_started = tokio::task::spawn_blocking(move || has_started.recv());
        has_started.await.unwrap().unwrap();
        request.abort();
        assert!(request.await.unwrap_err().is_cancelled());
        assert_eq!(ELSEWHERE.available_permits(), room - 1);
        drop(release);
        let all = ELSEWHERE.acquire_many(u32::try_from(room).unwrap()).await;
        assert!(all.is_ok(), "it is given back");
    }
}

//! Holds all requests to the APIs of an organisation to the session of that organisation:
//! whether it is switched off, its rate, and its quota.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use coprocess_core::Session;
use tracing::warn;

use crate::chain::{Flow, Middleware, Step};
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::limits::{Demand, Key, Limits};
use crate::session::record::Record;
use crate::storage::counters::Refused;
use crate::storage::{Store, keys};

/// The organisation of one API.
pub struct Organisation {
    id: String,
    /// Of its session in the store.
    name: String,
    store: Arc<dyn Store>,
    limits: Arc<Limits>,
    fresh_for: Duration,
    seen: ArcSwapOption<Seen>,
}

/// Its session as it was found, where there is one.
struct Seen {
    session: Option<Arc<Session>>,
    at: Instant,
}

impl Organisation {
    /// The organisation with this id. Its session is used for a while without another look
    /// into the store.
    pub fn new(id: &str, store: Arc<dyn Store>, limits: Arc<Limits>, fresh_for: Duration) -> Self {
        Self {
            id: id.to_owned(),
            name: format!("{}{id}", keys::ORGANISATION),
            store,
            limits,
            fresh_for,
            seen: ArcSwapOption::empty(),
        }
    }

    async fn look_up(&self) -> Result<Option<Arc<Session>>, ProxyError> {
        let session = match self.store.get(&self.name).await {
            Ok(None) => None,
            Ok(Some(json)) => {
                let session = Record::parse(&json).and_then(|record| record.session());
                // One with fewer limits must not take its place.
                let session = session.map_err(|error| {
                    ProxyError::Internal(format!("organisation `{}`: {error}", self.id))
                })?;
                Some(Arc::new(session))
            }
            Err(error) => {
                let id = &self.id;
                warn!(organisation = id, %error, "Organisation is as it was seen last.");
                let seen = self.seen.load();
                seen.as_ref().and_then(|seen| seen.session.clone())
            }
        };
        self.seen.store(Some(Arc::new(Seen {
            session: session.clone(),
            at: Instant::now(),
        })));
        Ok(session)
    }

    async fn check_later(&self) -> Result<Flow, ProxyError> {
        let Some(session) = self.look_up().await? else {
            return Ok(Flow::Continue);
        };
        self.check_shared(session).await
    }

    async fn check_shared(&self, session: Arc<Session>) -> Result<Flow, ProxyError> {
        if session.is_inactive {
            return Err(ProxyError::OrgInactive);
        }
        let demand = demand(&session);
        let key = Key::Organisation(&self.id);
        let decision = if self.limits.is_shared(&demand, None) {
            self.limits.count_shared(demand, key, None).await
        } else {
            self.limits.count(&demand, &key, None)
        };
        settle(decision.refused)
    }
}

impl Middleware for Organisation {
    fn process<'a>(&'a self, _exchange: &'a mut Exchange) -> Step<'a> {
        let seen = self.seen.load();
        let fresh = seen
            .as_ref()
            .filter(|seen| seen.at.elapsed() < self.fresh_for);
        let Some(seen) = fresh else {
            return Step::Later(Box::pin(self.check_later()));
        };
        let Some(session) = &seen.session else {
            return Step::Done(Ok(Flow::Continue));
        };
        if session.is_inactive {
            return Step::Done(Err(ProxyError::OrgInactive));
        }
        let demand = demand(session);
        if self.limits.is_shared(&demand, None) {
            return Step::Later(Box::pin(self.check_shared(Arc::clone(session))));
        }
        let key = Key::Organisation(&self.id);
        Step::Done(settle(self.limits.count(&demand, &key, None).refused))
    }
}

fn demand(session: &Session) -> Demand<'_> {
    Demand::of(session, "")
}

fn settle(refused: Option<Refused>) -> Result<Flow, ProxyError> {
    match refused {
        None => Ok(Flow::Continue),
        Some(Refused::Quota) => Err(ProxyError::OrgQuotaExceeded),
        Some(Refused::Rate | Refused::Api) => Err(ProxyError::OrgRateLimited),
    }
}

//! Holds requests to the rate and the quota of their key, and to the rate of the whole API.

use std::sync::Arc;

use coprocess_core::Session;

use crate::chain::{Flow, Middleware, Step};
use crate::config::LimitHeaders;
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::limits::headers::LimitValues;
use crate::limits::quota::QuotaState;
use crate::limits::window::Rate;
use crate::limits::{ApiRate, Decision, Demand, Key, Limits, LimitsToTell, own_limit, pattern};
use crate::storage::counters::Refused;

/// The limits of one API's requests.
pub struct KeyLimits {
    /// Where requests are counted.
    pub limits: Arc<Limits>,
    /// What clients are told.
    pub headers: LimitHeaders,
    /// Rates of keys count.
    pub has_rates: bool,
    /// Quotas of keys count.
    pub has_quotas: bool,
    /// The rate of the whole API.
    pub api: Option<WholeApi>,
    /// Later hooks see the session, and how its quota stands.
    pub is_shown: bool,
}

/// The rate of a whole API.
pub struct WholeApi {
    /// What tells it from other APIs.
    pub name: String,
    /// The rate.
    pub rate: Rate,
}

impl Middleware for KeyLimits {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(session) = exchange.session.clone() else {
            // There are no keys, or this one was let through without.
            return match &self.api {
                Some(_) => self.check(Arc::new(Session::default()), exchange),
                None => Step::Done(Ok(Flow::Continue)),
            };
        };
        self.check(session, exchange)
    }
}

impl KeyLimits {
    fn check<'a>(&'a self, session: Arc<Session>, exchange: &'a mut Exchange) -> Step<'a> {
        let demand = self.demand(&session, &exchange.api.id);
        let api = self.api.as_ref().map(|api| ApiRate {
            name: &api.name,
            rate: api.rate,
        });
        if self.limits.is_shared(&demand, api) {
            return Step::Later(Box::pin(self.check_later(session, exchange)));
        }
        let decision = match demand == Demand::default() && api.is_none() {
            true => Decision::default(),
            false => self.limits.count(&demand, &key(&session, exchange), api),
        };
        Step::Done(self.settle(&session, decision, exchange))
    }

    async fn check_later(
        &self,
        session: Arc<Session>,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        let api_id = &Arc::clone(&exchange.api).id;
        let demand = self.demand(&session, api_id);
        let api = self.api.as_ref().map(|api| ApiRate {
            name: &api.name,
            rate: api.rate,
        });
        let key = key(&session, exchange);
        let decision = self.limits.count_shared(demand, key, api).await;
        self.settle(&session, decision, exchange)
    }

    /// What the caller is told of its limits; nothing is counted.
    pub async fn tell(&self, exchange: &Exchange) -> Result<LimitsToTell, ProxyError> {
        let session = exchange.session.clone();
        let session = &session.ok_or(ProxyError::SessionMissing)?;
        let demand = self.demand(session, &exchange.api.id);
        let standing = self.limits.standing(demand, key(session, exchange)).await;
        let standing = standing.map_err(|error| ProxyError::KeyStore(error.to_string()))?;
        let (rate, per, said) = match own_limit(session, &exchange.api.id) {
            Some((limit, _)) => (
                limit.rate,
                limit.per,
                (limit.quota_max, limit.quota_remaining, limit.quota_renews),
            ),
            None => (
                session.rate,
                session.per,
                (
                    session.quota_max,
                    session.quota_remaining,
                    session.quota_renews,
                ),
            ),
        };
        let (max, remaining, renews) = said;
        let unlimited = QuotaState {
            max,
            remaining,
            renews,
        };
        Ok(LimitsToTell {
            quota: standing.unwrap_or(unlimited),
            rate,
            per,
        })
    }

    fn demand<'a>(&self, session: &'a Session, api_id: &'a str) -> Demand<'a> {
        let said = Demand::of(session, api_id);
        Demand {
            rate: said.rate.filter(|_| self.has_rates),
            quota: said.quota.filter(|_| self.has_quotas),
            scope: said.scope,
        }
    }

    fn settle(
        &self,
        session: &Arc<Session>,
        decision: Decision,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        let told = match self.headers {
            LimitHeaders::Quotas => None,
            LimitHeaders::RateLimits => {
                Some(decision.rate.map(LimitValues::from).unwrap_or_default())
            }
        };
        match decision.refused {
            Some(Refused::Rate) => return Err(ProxyError::RateLimited(told)),
            Some(Refused::Api) => return Err(ProxyError::ApiRateLimited(told)),
            Some(Refused::Quota) => return Err(ProxyError::QuotaExceeded),
            None => {}
        }
        exchange.limits = told.or(decision.quota.map(LimitValues::from)).or_else(|| {
            let (limit, _) = own_limit(session, &exchange.api.id)?;
            Some(LimitValues::unlimited(
                limit.quota_max,
                limit.quota_remaining,
                limit.quota_renews,
            ))
        });
        if let Some(quota) = decision.quota
            && self.is_shown
            && let Some(session) = &mut exchange.session
        {
            let session = Arc::make_mut(session);
            session.quota_remaining = quota.remaining;
            session.quota_renews = quota.renews;
        }
        Ok(Flow::Continue)
    }
}

fn key<'a>(session: &'a Session, exchange: &Exchange) -> Key<'a> {
    match pattern::of(session, exchange) {
        Some(text) => Key::Pattern(text),
        None => Key::Session(&session.key_id),
    }
}

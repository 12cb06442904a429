//! Holds requests to the rate and the quota of their key, and to the rate of the whole API.

use std::sync::Arc;
use std::time::Duration;

use coprocess_core::Session;
use tracing::debug;

use super::path_rates::{self, PathRates};
use crate::chain::{Flow, Middleware, Step};
use crate::config::LimitHeaders;
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::limits::headers::LimitValues;
use crate::limits::quota::QuotaState;
use crate::limits::window::Rate;
use crate::limits::{ApiRate, Decision, Demand, Key, Limits, LimitsToTell, own_limit, pattern};
use crate::storage::counters::Refused;
use crate::traffic::paths::Meaning;

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
    /// Rates of single paths, in the place of the API's.
    pub paths: Option<PathRates>,
    /// How patterns of paths are meant.
    pub meaning: Meaning,
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

/// How a request over the rate of its key is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Throttle {
    pause: Duration,
    attempts: u32,
}

/// The longest that a request waits until its rate allows it.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl Throttle {
    /// What the session says of an API.
    fn of(session: &Session, api_id: &str) -> Option<Self> {
        let (interval, attempts) = match own_limit(session, api_id) {
            Some((limit, _)) => (limit.throttle_interval, limit.throttle_retry_limit),
            None => (session.throttle_interval, session.throttle_retry_limit),
        };
        let pause = Duration::try_from_secs_f64(interval).ok()?;
        let pause = pause.clamp(SHORTEST_PAUSE, LONGEST_WAIT);
        let most = LONGEST_WAIT.as_millis() / pause.as_millis();
        let attempts = u128::try_from(attempts).ok()?.min(most);
        let attempts = u32::try_from(attempts).ok().filter(|_| interval > 0.0)?;
        (attempts > 0).then_some(Self { pause, attempts })
    }
}

/// Closer attempts would only cost time.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

impl Middleware for KeyLimits {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let Some(session) = exchange.session.clone() else {
            // There are no keys, or this one was let through without.
            return match self.api_rate(exchange) {
                Some(_) => self.check(Arc::new(Session::default()), exchange),
                None => Step::Done(Ok(Flow::Continue)),
            };
        };
        self.check(session, exchange)
    }
}

impl KeyLimits {
    fn check<'a>(&'a self, session: Arc<Session>, exchange: &'a mut Exchange) -> Step<'a> {
        let demand = self.demand(&session, exchange);
        let api = self.api_rate(exchange);
        if self.limits.is_shared(&demand, api) {
            return Step::Later(Box::pin(self.check_later(session, exchange)));
        }
        let decision = match demand == Demand::default() && api.is_none() {
            true => Decision::default(),
            false => self.limits.count(&demand, &key(&session, exchange), api),
        };
        if decision.refused == Some(Refused::Rate)
            && let Some(throttle) = Throttle::of(&session, &exchange.api.id)
        {
            return Step::Later(Box::pin(self.hold(throttle, decision, session, exchange)));
        }
        Step::Done(self.settle(&session, decision, exchange))
    }

    async fn check_later(
        &self,
        session: Arc<Session>,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        let decision = self.count_shared(&session, exchange).await;
        match Throttle::of(&session, &exchange.api.id) {
            Some(throttle) if decision.refused == Some(Refused::Rate) => {
                self.hold(throttle, decision, session, exchange).await
            }
            _ => self.settle(&session, decision, exchange),
        }
    }

    async fn count_shared(&self, session: &Session, exchange: &Exchange) -> Decision {
        let demand = self.demand(session, exchange);
        let api = self.api_rate(exchange);
        let key = key(session, exchange);
        self.limits.count_shared(demand, key, api).await
    }

    /// Tries again until the rate allows the request, or it has been tried often enough.
    async fn hold(
        &self,
        throttle: Throttle,
        mut decision: Decision,
        session: Arc<Session>,
        exchange: &mut Exchange,
    ) -> Result<Flow, ProxyError> {
        let place = self.limits.wait();
        let attempts = if place.is_some() {
            throttle.attempts
        } else {
            0
        };
        if attempts > 0 {
            let api = &exchange.api.id;
            debug!(api, ?throttle, "Request waits until its rate allows it.");
        }
        for _ in 0..attempts {
            tokio::time::sleep(throttle.pause).await;
            // It counts in this process where nothing is shared.
            decision = self.count_shared(&session, exchange).await;
            if decision.refused != Some(Refused::Rate) {
                break;
            }
        }
        drop(place);
        self.settle(&session, decision, exchange)
    }

    /// The rate of all requests together, to the path or else to the API.
    fn api_rate(&self, exchange: &Exchange) -> Option<ApiRate<'_>> {
        let paths = self.paths.as_ref();
        let found = paths.and_then(|paths| paths.of(exchange));
        let found = found.or(self.api.as_ref())?;
        Some(ApiRate {
            name: &found.name,
            rate: found.rate,
        })
    }

    /// What the caller is told of its limits; nothing is counted.
    pub async fn tell(&self, exchange: &Exchange) -> Result<LimitsToTell, ProxyError> {
        let session = exchange.session.clone();
        let session = &session.ok_or(ProxyError::SessionMissing)?;
        let demand = self.demand(session, exchange);
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

    fn demand<'a>(&self, session: &'a Session, exchange: &Exchange) -> Demand<'a> {
        let right = session.access_rights.get(&exchange.api.id);
        let said = Demand::of_right(session, right);
        let endpoint = match right {
            Some(right) if self.has_rates => path_rates::of_key(right, exchange, self.meaning),
            _ => None,
        };
        let rate = match endpoint {
            Some(endpoint) => Rate::new(endpoint.rate, endpoint.per),
            None => said.rate,
        };
        Demand {
            rate: rate.filter(|_| self.has_rates),
            endpoint: endpoint.filter(|_| rate.is_some()),
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

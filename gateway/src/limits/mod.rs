//! Rates and quotas: how many requests a key, and an API as a whole, may make.
//!
//! One gateway counts in a table of its own ([`table`]). Gateways that share a store with
//! counters count there, in one step for all limits of a request; while that store is away,
//! each counts for itself. Quotas outlive the process: a task writes down what has changed
//! ([`Limits::keep`]), so that no request waits for a disk.

pub mod headers;
mod keep;
pub mod pattern;
pub mod quota;
mod standing;
pub mod table;
pub mod window;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use coprocess_core::{AccessDefinition, ApiLimit, EndpointLimit, Session};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};
use tracing::{error, info, warn};

use crate::session::key::{HashFunction, KeyNames};
use crate::storage::counters::{Answer, Ask, Refused, SharedQuota, SharedRate};
use crate::storage::{Store, StoreError, keys};
use quota::{Kept, QuotaLimit, QuotaState};
pub use standing::LimitsToTell;
use table::{Count, Found, Outcome, Table, Verdict};
use window::{Rate, RateState};

/// The longest key in the name of a counter; a longer one is named by its hash.
const LONGEST_KEY: usize = 512;

/// `rate_limit_mode` (an addition): where rates are counted when gateways share a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateMode {
    /// In the store, exactly, for a round trip per request.
    #[default]
    Exact,
    /// In each gateway by itself. Quotas are still counted in the store.
    Local,
}

/// Most requests that wait until their rate allows them.
const MOST_WAITING: usize = 10_000;

/// All counters, as one process sees them.
pub struct Limits {
    table: Table,
    start: Instant,
    store: Arc<dyn Store>,
    names: KeyNames,
    mode: RateMode,
    /// Held while quotas are written down or removed.
    writing: Mutex<()>,
    /// Places for requests that wait until their rate allows them.
    waiting: Semaphore,
    /// The log has said that the shared counters cannot be reached, or quotas not written.
    is_away: AtomicBool,
}

/// What a request of a session is held to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Demand<'a> {
    /// The rate of its key.
    pub rate: Option<Rate>,
    /// The path that the rate is for, where it is not for all of them.
    pub endpoint: Option<&'a EndpointLimit>,
    /// The quota of its key.
    pub quota: Option<QuotaLimit>,
    /// Whose counters they are, beside the key's.
    pub scope: &'a str,
}

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key<'a> {
    /// Those of a session.
    Session(&'a str),
    /// Those for which a pattern gave the same text.
    Pattern(String),
    /// Those to APIs of an organisation.
    Organisation(&'a str),
}

/// The rate of a whole API.
#[derive(Debug, Clone, Copy)]
pub struct ApiRate<'a> {
    /// What tells it from other APIs.
    pub name: &'a str,
    /// The rate.
    pub rate: Rate,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Decision {
    /// Which limit refuses it, if one does.
    pub refused: Option<Refused>,
    /// How the key's rate stands, or else the API's.
    pub rate: Option<RateState>,
    /// How the quota stands.
    pub quota: Option<QuotaState>,
}

/// What the names of rates begin with in the store. The original counts them differently,
/// under other names.
const RATE_PREFIX: &str = "coprocess-rate-";

// === impl Demand ===

impl<'a> Demand<'a> {
    /// What `session` says of requests to an API.
    pub fn of(session: &'a Session, api_id: &str) -> Self {
        Self::of_right(session, session.access_rights.get(api_id))
    }

    /// The same, where the session's right to the API is known already.
    pub fn of_right(session: &'a Session, right: Option<&'a AccessDefinition>) -> Self {
        match right.and_then(limit_of) {
            Some((limit, scope)) => Self {
                rate: Rate::new(limit.rate, limit.per),
                endpoint: None,
                quota: QuotaLimit::new(limit.quota_max, limit.quota_renewal_rate),
                scope,
            },
            None => Self {
                rate: Rate::new(session.rate, session.per),
                endpoint: None,
                quota: QuotaLimit::new(session.quota_max, session.quota_renewal_rate),
                scope: "",
            },
        }
    }
}

/// The limit of a session for one API alone, and what its counters are shared by.
pub fn own_limit<'a>(session: &'a Session, api_id: &str) -> Option<(&'a ApiLimit, &'a str)> {
    limit_of(session.access_rights.get(api_id)?)
}

fn limit_of(right: &AccessDefinition) -> Option<(&ApiLimit, &str)> {
    Some((right.limit.as_ref()?, &right.allowance_scope))
}

// === impl Key ===

impl Key<'_> {
    /// Its text, and what tells it from other kinds of keys.
    fn parts(&self) -> (&str, &str) {
        match self {
            Self::Session(id) => ("", id),
            Self::Pattern(text) => ("pattern", text),
            Self::Organisation(id) => ("org", id),
        }
    }

    /// The scope and the text that it is counted under.
    fn counted_under<'s>(&'s self, scope: &'s str) -> (Cow<'s, str>, &'s str) {
        let (kind, text) = self.parts();
        match kind {
            "" => (Cow::Borrowed(scope), text),
            kind => (Cow::Owned(format!("{scope}\u{0}{kind}")), text),
        }
    }
}

// === impl Limits ===

impl Limits {
    /// No request was counted yet.
    pub fn new(store: Arc<dyn Store>, names: KeyNames, mode: RateMode) -> Arc<Self> {
        Arc::new(Self {
            table: Table::default(),
            start: Instant::now(),
            store,
            names,
            mode,
            writing: Mutex::new(()),
            waiting: Semaphore::new(MOST_WAITING),
            is_away: AtomicBool::new(false),
        })
    }

    /// Where what outlives the process is kept.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// A place to wait for a rate; nothing where too many wait already.
    pub fn wait(&self) -> Option<SemaphorePermit<'_>> {
        self.waiting.try_acquire().ok()
    }

    /// Whether such a request is counted in a store that gateways share.
    pub fn is_shared(&self, demand: &Demand<'_>, api: Option<ApiRate<'_>>) -> bool {
        let rates = demand.rate.is_some() || api.is_some();
        let wanted = demand.quota.is_some() || (rates && self.mode == RateMode::Exact);
        wanted && self.store.counters().is_some()
    }

    /// Counts a request in this process if all its limits admit it.
    pub fn count(&self, demand: &Demand<'_>, key: &Key<'_>, api: Option<ApiRate<'_>>) -> Decision {
        self.count_here(demand, key, api, self.store.counters().is_none())
    }

    fn count_here(
        &self,
        demand: &Demand<'_>,
        key: &Key<'_>,
        api: Option<ApiRate<'_>>,
        is_kept: bool,
    ) -> Decision {
        let now = self.now();
        let (scope, text) = key.counted_under(demand.scope);
        // The rate of a path has a counter of its own.
        let of_path = demand
            .endpoint
            .map(|path| format!("{scope}\u{0}{}", name_of(path)));
        let path = of_path.as_ref().map(|scope| Count {
            scope,
            key: text,
            rate: demand.rate,
            quota: None,
        });
        let own = Count {
            scope: &scope,
            key: text,
            rate: demand.rate.filter(|_| path.is_none()),
            quota: demand.quota,
        };
        let mut decision = Decision::default();
        if let Some(path) = &path {
            decision = decide(self.table.count(path, now, Found::default), Refused::Rate);
            if decision.refused.is_some() {
                return decision;
            }
        }
        let is_counted = own.rate.is_some() || own.quota.is_some();
        if is_counted {
            let find = || match is_kept {
                true => self.find(demand.scope, key),
                false => Found::default(),
            };
            let found = decide(self.table.count(&own, now, find), Refused::Rate);
            decision = Decision {
                rate: found.rate.or(decision.rate),
                ..found
            };
        }
        if let Some(api) = api.filter(|_| decision.refused.is_none()) {
            decision = self.count_api(api, decision, now);
            if decision.refused.is_some() && is_counted {
                self.table.take_back(&own);
            }
        }
        if let Some(path) = path.filter(|_| decision.refused.is_some()) {
            self.table.take_back(&path);
        }
        decision
    }

    /// Counts a request, which its key may make, for the API.
    fn count_api(&self, api: ApiRate<'_>, so_far: Decision, now: u64) -> Decision {
        let whole = Count {
            scope: "\u{0}api",
            key: api.name,
            rate: Some(api.rate),
            quota: None,
        };
        let verdict = decide(self.table.count(&whole, now, Found::default), Refused::Api);
        if verdict.refused.is_some() {
            return Decision {
                quota: so_far.quota,
                ..verdict
            };
        }
        Decision {
            rate: so_far.rate.or(verdict.rate),
            ..so_far
        }
    }

    /// Counts a request where all gateways do; here, where that cannot be reached.
    pub async fn count_shared(
        &self,
        demand: Demand<'_>,
        key: Key<'_>,
        api: Option<ApiRate<'_>>,
    ) -> Decision {
        let (mut asked, mut asked_api) = (demand, api);
        let mut before = Decision::default();
        if self.mode == RateMode::Local {
            let rates = Demand {
                quota: None,
                ..demand
            };
            before = self.count_here(&rates, &key, api, false);
            if before.refused.is_some() || demand.quota.is_none() {
                return before;
            }
            (asked.rate, asked_api) = (None, None);
        }
        let decision = match self.store.counters() {
            Some(counters) => {
                let ask = self.ask(&asked, &key, asked_api);
                match counters.count(ask).await {
                    Ok(answer) => {
                        self.is_back();
                        told(&asked, asked_api, answer)
                    }
                    Err(error) => {
                        self.is_gone(&error);
                        self.count_here(&asked, &key, asked_api, false)
                    }
                }
            }
            None => self.count_here(&asked, &key, asked_api, true),
        };
        Decision {
            rate: decision.rate.or(before.rate),
            ..decision
        }
    }

    fn is_back(&self) {
        // Reading first keeps what all threads look at unwritten.
        if self.is_away.load(Ordering::Relaxed) && self.is_away.swap(false, Ordering::Relaxed) {
            info!("Limits are shared again.");
        }
    }

    fn is_gone(&self, error: &StoreError) {
        if !self.is_away.swap(true, Ordering::Relaxed) {
            warn!(%error, "Limits are counted by each gateway alone until storage is back.");
        }
    }

    fn ask(&self, demand: &Demand<'_>, key: &Key<'_>, api: Option<ApiRate<'_>>) -> Ask {
        let quota_name = self.quota_name(demand.scope, key);
        Ask {
            // What is in braces decides where a cluster has it: beside the quota.
            rate: demand.rate.map(|rate| match demand.endpoint {
                None => shared(rate, &quota_name, ""),
                Some(path) => shared(rate, &quota_name, &name_of(path)),
            }),
            quota: demand.quota.map(|quota| SharedQuota {
                name: quota_name,
                max: quota.max,
                renewal: quota.renewal,
            }),
            api: api.map(|api| shared(api.rate, &format!("api-{}", api.name), "")),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The name of a quota in the store.
    fn quota_name(&self, scope: &str, key: &Key<'_>) -> String {
        let key = match key {
            Key::Session(id) => self.names.of_id(id)[keys::SESSION.len()..].to_owned(),
            Key::Organisation(id) => format!("{}{id}", keys::ORGANISATION),
            Key::Pattern(text) => format!("pattern-{}", HashFunction::Sha256.hex(text)),
        };
        quota_name(scope, &key)
    }

    /// A quota as the store has it, for a store that answers at once.
    fn find(&self, scope: &str, key: &Key<'_>) -> Found {
        let name = self.quota_name(scope, key);
        let mut reading = self.store.get(&name);
        let mut context = Context::from_waker(Waker::noop());
        let kept = match reading.as_mut().poll(&mut context) {
            Poll::Ready(Ok(Some(json))) => read(&name, &json),
            _ => None,
        };
        drop(reading);
        Found {
            name: name.into(),
            kept,
        }
    }
}

/// What the shared counters say.
fn told(demand: &Demand<'_>, api: Option<ApiRate<'_>>, answer: Answer) -> Decision {
    let of_key = demand.rate.map(|rate| RateState {
        limit: rate.count,
        remaining: answer.rate_remaining,
        reset: answer.rate_reset,
    });
    let of_api = api.map(|api| RateState {
        limit: api.rate.count,
        remaining: answer.api_remaining,
        reset: answer.api_reset,
    });
    Decision {
        refused: answer.refused,
        rate: match answer.refused {
            Some(Refused::Api) => of_api,
            _ => of_key.or(of_api),
        },
        quota: demand.quota.map(|limit| QuotaState {
            max: limit.max,
            remaining: limit.max.saturating_sub(answer.used).max(0),
            renews: answer.renews,
        }),
    }
}

fn read(name: &str, json: &[u8]) -> Option<Kept> {
    let kept = serde_json::from_slice(json);
    kept.inspect_err(|error| error!(name, %error, "Stored quota is not readable; it begins anew."))
        .ok()
}

/// Windows of different lengths are counted apart: forgetting what a short one is done with
/// would let a long one admit too much.
fn shared(rate: Rate, whose: &str, of: &str) -> SharedRate {
    SharedRate {
        name: format!("{RATE_PREFIX}{{{whose}}}-{of}{}", rate.window),
        count: rate.count,
        window: rate.window,
        width: rate.width(),
    }
}

/// What tells the rate of a path from others of the same key.
fn name_of(path: &EndpointLimit) -> String {
    let name = format!("{} {}", path.method.to_ascii_uppercase(), path.path);
    format!("{}-", &HashFunction::Sha256.hex(&name)[..16])
}

fn decide(outcome: Outcome, rate: Refused) -> Decision {
    Decision {
        refused: match outcome.verdict {
            Verdict::Pass => None,
            Verdict::RateExceeded => Some(rate),
            Verdict::QuotaExceeded => Some(Refused::Quota),
        },
        rate: outcome.rate,
        quota: outcome.quota,
    }
}

/// The name of a quota. A brace would decide where a cluster has it.
fn quota_name(scope: &str, key: &str) -> String {
    let is_plain = |text: &str| text.len() <= LONGEST_KEY && !text.contains(['{', '}']);
    let hashed = |text: &str| match is_plain(text) {
        true => text.to_owned(),
        false => HashFunction::Sha256.hex(text),
    };
    let (scope, key) = (hashed(scope), hashed(key));
    match scope.as_str() {
        "" => format!("{}{key}", keys::QUOTA),
        _ => format!("{}{scope}-{key}", keys::QUOTA),
    }
}

#[cfg(test)]
mod tests;

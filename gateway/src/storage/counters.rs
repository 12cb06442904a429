//! Counters that several gateways share: what is asked of a store that has them.

use super::StoreFuture;

/// A request that wants to pass. Keys are names in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ask {
    /// The rate of a key, and its counter.
    pub rate: Option<SharedRate>,
    /// The quota of a key.
    pub quota: Option<SharedQuota>,
    /// The rate of a whole API.
    pub api: Option<SharedRate>,
}

/// So many requests in any stretch of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedRate {
    /// Where it is counted.
    pub name: String,
    /// How many requests.
    pub count: u32,
    /// In how many microseconds.
    pub window: u64,
    /// Requests this close to each other, in microseconds, may be counted as one moment.
    pub width: u64,
}

/// So many requests until the counter ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedQuota {
    /// Where it is counted: a number with a time to live, as the original has it.
    pub name: String,
    /// How many requests.
    pub max: i64,
    /// How many seconds the counter lives; 0 is for good.
    pub renewal: i64,
}

/// Which limit has refused the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The rate of the key.
    Rate,
    /// The quota of the key.
    Quota,
    /// The rate of the API.
    Api,
}

/// How the counters stand after a request. Numbers of limits that were not asked for are 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Answer {
    /// Nothing where the request was counted; otherwise no counter has changed.
    pub refused: Option<Refused>,
    /// How many requests the key's rate still admits.
    pub rate_remaining: u32,
    /// Microseconds until the oldest that it counts is forgotten.
    pub rate_reset: u64,
    /// How many requests the API's rate still admits.
    pub api_remaining: u32,
    /// Microseconds until the oldest that it counts is forgotten.
    pub api_reset: u64,
    /// How much of the quota is used.
    pub used: i64,
    /// When its counter ends, in Unix seconds; 0 is never.
    pub renews: i64,
}

/// A store that counts for several gateways.
pub trait Counters: Send + Sync {
    /// Counts a request if all its limits admit it: one step to everybody else.
    fn count(&self, ask: Ask) -> StoreFuture<'static, Answer>;

    /// How much of a quota is used, and when its counter ends.
    fn quota<'a>(&'a self, name: &'a str) -> StoreFuture<'a, Option<(i64, i64)>>;
}

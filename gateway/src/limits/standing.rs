//! How a quota stands, without a request being counted.

use super::quota::QuotaState;
use super::table::Count;
use super::{Demand, Key, Limits, read};
use crate::storage::StoreError;

/// What a caller is told of its limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimitsToTell {
    /// The quota, and how it stands.
    pub quota: QuotaState,
    /// Requests …
    pub rate: f64,
    /// … in so many seconds.
    pub per: f64,
}

impl Limits {
    /// How the quota of `demand` stands; nothing where there is none.
    pub async fn standing(
        &self,
        demand: Demand<'_>,
        key: Key<'_>,
    ) -> Result<Option<QuotaState>, StoreError> {
        let Some(limit) = demand.quota else {
            return Ok(None);
        };
        let (used, renews) = self.stands(&demand, &key).await?.unwrap_or_default();
        Ok(Some(QuotaState {
            max: limit.max,
            remaining: limit.max.saturating_sub(used).max(0),
            renews,
        }))
    }

    /// How many requests were made, and when the counter begins anew.
    async fn stands(
        &self,
        demand: &Demand<'_>,
        key: &Key<'_>,
    ) -> Result<Option<(i64, i64)>, StoreError> {
        let name = self.quota_name(demand.scope, key);
        if let Some(counters) = self.store.counters() {
            return counters.quota(&name).await;
        }
        let (scope, text) = key.counted_under(demand.scope);
        let count = Count {
            scope: &scope,
            key: text,
            rate: None,
            quota: demand.quota,
        };
        if let Some(kept) = self.table.quota(&count, self.now()) {
            return Ok(Some((kept.used, kept.renews)));
        }
        let kept = self.store.get(&name).await?;
        let kept = kept.and_then(|json| read(&name, &json));
        Ok(kept.map(|kept| (kept.used, kept.renews)))
    }
}

//! What of the counters outlives the process, and what the admin API does with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tracing::warn;

use super::{Limits, own_limit, quota_name, read};
use crate::session::record::Record;
use crate::storage::{StoreError, keys};

/// How often changed quotas are written down. A kill loses at most this much of them, and
/// what the store has not written yet.
const WRITE_EVERY: Duration = Duration::from_millis(250);

impl Limits {
    /// Writes down what has changed, again and again. Not where gateways share counters:
    /// those are in the store already.
    pub async fn keep(self: Arc<Self>) {
        while self.store.counters().is_none() {
            tokio::time::sleep(WRITE_EVERY).await;
            self.write().await;
        }
    }

    /// Writes down what has changed until now.
    pub async fn write(&self) {
        let _writing = self.writing.lock().await;
        let unwritten = self.table.take_unwritten(self.now());
        let mut failed = None;
        for quota in unwritten {
            let json = serde_json::to_vec(&quota.kept).expect("numbers are JSON");
            let ttl = quota.kept.left.map(Duration::from_micros);
            let written = self.store.set_soon(&quota.name, json.into(), ttl).await;
            failed = failed.or(written.err());
        }
        match failed {
            Some(error) if !self.is_away.swap(true, Ordering::Relaxed) => {
                warn!(%error, "Quotas are not written down; a restart would forget them.");
            }
            Some(_) => {}
            None => self.is_away.store(false, Ordering::Relaxed),
        }
    }

    /// Has the quotas of a session begin anew: of the one that is stored under `name`, where
    /// `record` is or was.
    pub async fn reset(&self, name: &str, record: Option<&Record>) -> Result<(), StoreError> {
        let names: Vec<_> = quotas(name, record).map(|(name, _)| name).collect();
        let _writing = self.writing.lock().await;
        self.table.forget(&names);
        for name in &names {
            self.store.delete(name).await?;
        }
        Ok(())
    }

    /// Puts into the session that is stored under `name` how its quotas stand. What is shown
    /// survives the end of the process.
    pub async fn show(&self, name: &str, record: &mut Record) -> Result<(), StoreError> {
        if self.store.counters().is_none() {
            self.write().await;
            self.store.flush().await?;
        }
        let names: Vec<_> = quotas(name, Some(record)).collect();
        for (name, api_id) in names {
            let stands = match self.store.counters() {
                Some(counters) => counters.quota(&name).await?,
                None => {
                    let json = self.store.get(&name).await?;
                    let kept = json.and_then(|json| read(&name, &json));
                    kept.map(|kept| (kept.used, kept.renews))
                }
            };
            record.show_quota(api_id.as_deref(), stands);
        }
        Ok(())
    }
}

/// The names of a session's quotas, each with the API that it is for; none is for all.
fn quotas(
    name: &str,
    record: Option<&Record>,
) -> impl Iterator<Item = (String, Option<String>)> + use<> {
    let session = record
        .and_then(|record| record.session().ok())
        .unwrap_or_default();
    let ids: Vec<_> = session.access_rights.keys().cloned().collect();
    let key = name.strip_prefix(keys::SESSION).unwrap_or(name).to_owned();
    let own = std::iter::once((quota_name("", &key), None));
    own.chain(ids.into_iter().filter_map(move |id| {
        let (_, scope) = own_limit(&session, &id)?;
        Some((quota_name(scope, &key), Some(id)))
    }))
}

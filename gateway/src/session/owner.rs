//! The stored session of a caller, for the mechanisms that authenticate by one.

use std::sync::Arc;

use coprocess_core::Session;

use super::{Kept, SessionError, Sessions};
use crate::exchange::Exchange;

impl Sessions {
    /// The stored session of a key on an API of this organisation. Keys that are too short
    /// have none.
    pub async fn of_key(&self, org_id: &str, key: &str) -> Result<Option<Arc<Kept>>, SessionError> {
        if key.len() < self.min_id_length {
            return Ok(None);
        }
        for id in self.names.ids_of_key(org_id, key).iter().flatten() {
            if let Some(kept) = self.find(id).await? {
                return Ok(Some(kept));
            }
        }
        Ok(None)
    }
}

/// A stored session with its policies, if they can be applied and it is one for the request's
/// API. One that is for all APIs is for those of its organisation.
pub fn usable(kept: &Kept, exchange: &Exchange) -> Option<Arc<Session>> {
    let api = &*exchange.api;
    let org_id = &api.spec.org_id;
    let session = api.policies.of_stored(kept, org_id).ok()?;
    let is_here = session.org_id.is_empty()
        || session.org_id == *org_id
        || session.access_rights.contains_key(&api.id);
    is_here.then_some(session)
}

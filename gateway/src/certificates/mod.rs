//! The certificate store: certificates and public keys under ids, which definitions and the
//! configuration name in the place of files.
//!
//! An id is the organisation's id and the SHA-256 of the certificate. Entries are where
//! everything else is kept that outlives a request, under the original's names.

pub mod expiry;
mod material;
mod named;
mod sealed;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::sync::Cache;
use tokio::sync::Notify;

use crate::storage::{Store, StoreError, keys};
use crate::tls::TlsError;

pub use material::{Material, Unfit};
pub use named::{Found, Sources};

/// How many hex digits of an id name the certificate.
const DIGITS: usize = 64;

/// How many certificates are remembered.
const MOST_REMEMBERED: u64 = 10_000;

/// How long a certificate is used for requests without another look into the store.
const FRESH_FOR: Duration = Duration::from_secs(10);

/// The store of certificates.
pub struct Certificates {
    store: Arc<dyn Store>,
    secret: String,
    /// What was read last, for when the store is away.
    seen: Cache<String, (Instant, Arc<Material>)>,
    /// Nothing that is in it can be known: nobody has opened the real one.
    pub is_blind: bool,
    /// Told when a load has ended that may have read other certificates.
    pub loaded: Notify,
}

/// Why an entry cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EntryError {
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// What it has.
    #[error("{0}")]
    Unusable(#[from] TlsError),
}

/// Why an entry cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum AddError {
    /// The store.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The text.
    #[error("{0}")]
    Unfit(#[from] Unfit),
    /// It is there.
    #[error("Certificate with {0} id already exists")]
    Known(String),
}

/// The SHA-256 that an id ends with; what does not end with one is no id.
pub fn fingerprint_in(id: &str) -> Option<String> {
    let start = id.len().checked_sub(DIGITS)?;
    let hex = id.get(start..)?;
    hex.bytes()
        .all(|byte| byte.is_ascii_hexdigit())
        .then(|| hex.to_ascii_lowercase())
}

// === impl Certificates ===

impl Certificates {
    /// The certificates in `store`, whose private keys are encrypted with `secret`.
    pub fn new(store: Arc<dyn Store>, secret: &str) -> Self {
        Self {
            store,
            secret: secret.to_owned(),
            seen: Cache::new(MOST_REMEMBERED),
            is_blind: false,
            loaded: Notify::new(),
        }
    }

    /// Adds what is in a PEM text; returns its id.
    pub async fn add(&self, text: &str, org_id: &str) -> Result<String, AddError> {
        let (fingerprint, text) = material::prepare(text, &self.secret)?;
        let id = format!("{org_id}{fingerprint}");
        let key = key_of(&id);
        match self.store.set_if_absent(&key, text.into(), None).await? {
            true => Ok(id),
            false => Err(AddError::Known(id)),
        }
    }

    /// The ids of an organisation's entries in order; of all of them for an empty one.
    pub async fn list(&self, org_id: &str) -> Result<Vec<String>, StoreError> {
        let found = self.store.keys(&key_of(org_id)).await?;
        let mut ids: Vec<_> = found
            .iter()
            .filter_map(|key| key.strip_prefix(keys::CERTIFICATE))
            // An organisation's id may begin with another's.
            .filter(|id| org_id.is_empty() || id.len() == org_id.len() + DIGITS)
            .map(str::to_owned)
            .collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// What is under an id, as it is in the store now.
    pub async fn get(&self, id: &str) -> Result<Option<Arc<Material>>, EntryError> {
        let text = self.store.get(&key_of(id)).await?;
        Ok(self.remember(id, text)?)
    }

    /// Reads what the store has under an id.
    fn remember(&self, id: &str, text: Option<Bytes>) -> Result<Option<Arc<Material>>, TlsError> {
        let Some(text) = text else {
            self.seen.invalidate(id);
            return Ok(None);
        };
        let read = Arc::new(Material::of_store(id, &text, &self.secret)?);
        let entry = (Instant::now(), Arc::clone(&read));
        self.seen.insert(id.to_owned(), entry);
        Ok(Some(read))
    }

    /// The same for a request: what was seen a moment ago is good enough.
    pub async fn get_recent(&self, id: &str) -> Result<Option<Arc<Material>>, EntryError> {
        match self.seen.get(id) {
            Some((seen, material)) if seen.elapsed() < FRESH_FOR => Ok(Some(material)),
            _ => self.get(id).await,
        }
    }

    /// Removes what is under an id.
    pub async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        let was_there = self.store.delete(&key_of(id)).await?;
        self.seen.invalidate(id);
        Ok(was_there)
    }

    /// What was last seen under an id.
    fn last_seen(&self, id: &str) -> Option<Arc<Material>> {
        self.seen.get(id).map(|(_, material)| material)
    }
}

fn key_of(id: &str) -> String {
    format!("{}{id}", keys::CERTIFICATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_end_with_a_fingerprint_and_paths_do_not() {
        let hex = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";
        let lower = Some(hex.to_ascii_lowercase());
        assert_eq!(fingerprint_in(hex), lower);
        assert_eq!(fingerprint_in(&format!("org{hex}")), lower);
        assert_eq!(fingerprint_in("client.pem"), None);
        assert_eq!(fingerprint_in(&format!("{hex}.pem")), None);
        assert_eq!(fingerprint_in("é".repeat(40).as_str()), None);
    }
}

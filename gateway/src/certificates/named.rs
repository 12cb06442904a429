//! Certificates by the names that definitions and the configuration use for them, files or
//! ids of the store; each is read once for a load.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use tracing::warn;

use super::{Certificates, Material, fingerprint_in, key_of};
use crate::session::key::hex;
use crate::storage::{StoreError, blocking};
use crate::tls::client::SystemRoots;
use crate::tls::{self, TlsError};

/// Longest wait for one entry; the store has a limit of its own, which is shorter.
const LIMIT: Duration = Duration::from_secs(30);

/// What certificates are read from during one load. Reading blocks.
pub struct Sources {
    /// The system's authorities.
    pub system: SystemRoots,
    store: Arc<Certificates>,
    read: Mutex<HashMap<String, Result<Found, TlsError>>>,
    /// The store did not answer: it is not asked again.
    away: Mutex<Option<StoreError>>,
}

/// What there is under a name.
#[derive(Clone)]
pub enum Found {
    /// This.
    Here(Arc<Material>),
    /// Nothing: the store has no such entry.
    Absent,
    /// Nobody has opened the store, so it may be there or not.
    Unknown,
}

// === impl Sources ===

impl Sources {
    /// For one load.
    pub fn new(store: &Arc<Certificates>) -> Self {
        Self {
            system: SystemRoots::default(),
            store: Arc::clone(store),
            read: Mutex::default(),
            away: Mutex::default(),
        }
    }

    /// What there is under a name. A file that cannot be read is an error.
    pub fn find(&self, name: &str) -> Result<Found, TlsError> {
        let known = |read: &HashMap<_, _>| read.get(name).cloned();
        if let Some(found) = known(&self.read.lock().expect("nobody panics while holding it")) {
            return found;
        }
        let found = match fingerprint_in(name) {
            None => Material::of_file(Path::new(name)).map(|read| Found::Here(Arc::new(read))),
            Some(_) if self.store.is_blind => Ok(Found::Unknown),
            Some(_) => self.ask(name),
        };
        let mut read = self.read.lock().expect("nobody panics while holding it");
        read.insert(name.to_owned(), found.clone());
        found
    }

    /// The same where there has to be something; nothing where that cannot be known.
    pub fn get(&self, name: &str) -> Result<Option<Arc<Material>>, TlsError> {
        match self.find(name)? {
            Found::Here(material) => Ok(Some(material)),
            Found::Unknown => Ok(None),
            Found::Absent => Err(TlsError(format!(
                "certificate `{name}` is not in the certificate store; add it with POST /tyk/certs"
            ))),
        }
    }

    /// What there is under these names, as far as it can be read.
    pub fn readable<'a>(&self, names: impl Iterator<Item = &'a String>) -> Vec<Arc<Material>> {
        let found = names.filter_map(|name| match self.find(name) {
            Ok(Found::Here(material)) => Some(material),
            _ => None,
        });
        found.collect()
    }

    /// The SHA-256 in hex of the public key that a name stands for: an id of the store, where
    /// it may be a certificate's, such a SHA-256 itself, or a file.
    pub fn public_key(&self, name: &str) -> Result<String, TlsError> {
        let sha256 = |key: Vec<u8>| hex(digest(&SHA256, &key).as_ref());
        let unreadable = || TlsError(format!("{name}: there is no public key in it"));
        if let Some(itself) = fingerprint_in(name) {
            return match self.find(name) {
                Ok(Found::Here(material)) => {
                    material.public_key().map(sha256).ok_or_else(unreadable)
                }
                // What is no key's name then is a name that no key has.
                _ => Ok(itself),
            };
        }
        match self.find(name) {
            Ok(Found::Here(material)) => material.public_key().map(sha256).ok_or_else(unreadable),
            _ => tls::read_public_key(Path::new(name)).map(sha256),
        }
    }

    fn ask(&self, id: &str) -> Result<Found, TlsError> {
        let mut away = self.away.lock().expect("nobody panics while holding it");
        let outcome = match &*away {
            Some(error) => Err(error.clone()),
            None => blocking::wait(self.store.store.get(&key_of(id)), LIMIT),
        };
        let error = match outcome {
            Ok(text) => {
                let material = self.store.remember(id, text)?;
                return Ok(material.map_or(Found::Absent, Found::Here));
            }
            Err(error) => error,
        };
        *away = Some(error.clone());
        match self.store.last_seen(id) {
            Some(material) => {
                warn!(%error, id, "Certificate is used as it was last seen.");
                Ok(Found::Here(material))
            }
            None => Err(TlsError(format!("certificate `{id}`: {error}"))),
        }
    }
}

//! Plugin bundles: zip files with code and the hooks that it brings.
//!
//! A load asks for all bundles that the definitions name, at once. Each is fetched, unpacked
//! and verified on its own; one that fails is replaced by its last good version, and without
//! one the APIs that name it are not loaded. Content that did not change keeps its loaded
//! code; content that did is another [`Bundle`], which lives as long as an API or a request
//! uses it.

pub mod refresh;

pub mod archive;
pub mod build;
pub mod command;
pub mod fetch;
pub mod manifest;
pub mod store;
pub mod verify;

mod path;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use coprocess_core::Plugin;
use serde::Serialize;
use tracing::{info, warn};

use archive::ArchiveError;
use fetch::FetchError;
use manifest::{Manifest, ManifestError};
use store::Folder;
use verify::VerifyError;

pub use refresh::{Bundles, Found};
pub use store::{Store, key as hash_of_name};

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Its name.
    #[error("the name {0}")]
    Name(String),
    /// It cannot be fetched.
    #[error("{source} (from {from})")]
    Fetch {
        /// Where it should have come from.
        from: String,
        /// Why.
        source: FetchError,
    },
    /// The base URL.
    #[error("{0}")]
    Base(String),
    /// It cannot be unpacked.
    #[error("{0}")]
    Archive(#[from] ArchiveError),
    /// Its manifest.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// Its content is not what its author packed.
    #[error("{0}")]
    Verify(#[from] VerifyError),
    /// Nothing can be verified.
    #[error("{0}")]
    Key(String),
    /// A placed folder holds code that nobody signed.
    #[error(
        "the folder has `{0}`, which manifest.json does not list, so that no signature covers it; \
         remove it or list it"
    )]
    Unlisted(String),
    /// The disk.
    #[error("middleware_path cannot be used for bundles: {0}")]
    Disk(#[from] std::io::Error),
    /// A bug of the gateway's.
    #[error("the gateway panicked over it; the log has the place")]
    Panicked,
    /// There is no way to get it.
    #[error("{reason}, and there is no folder {folder}")]
    Nowhere {
        /// Why nothing is downloaded.
        reason: &'static str,
        /// Where an operator could place it.
        folder: String,
    },
}

/// One version of a bundle, verified, on the disk.
pub struct Bundle {
    /// What API definitions call it.
    pub name: String,
    /// SHA-256 of its content, in hexadecimal.
    pub content: String,
    /// Where it came from.
    pub source: String,
    /// When this version came, in seconds since 1970.
    pub fetched_at: u64,
    /// Where its files are.
    pub root: PathBuf,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Its code, by driver.
    plugins: Mutex<BTreeMap<Arc<str>, Arc<dyn Plugin>>>,
    /// Keeps a downloaded version on the disk.
    folder: Option<Folder>,
}

/// A bundle as an API uses it.
#[derive(Clone)]
pub struct InUse {
    /// The version.
    pub bundle: Arc<Bundle>,
    /// Why it is not the version that should be there, if it is not.
    pub stale: Option<String>,
}

/// A bundle as the admin API shows it.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    name: &'a str,
    content: &'a str,
    source: &'a str,
    fetched_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    stale: Option<&'a str>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// === impl Bundle ===

impl Bundle {
    fn of(name: String, content: String, manifest: Manifest) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            name,
            content,
            source: String::new(),
            fetched_at: now.map_or(0, |now| now.as_secs()),
            root: PathBuf::new(),
            manifest,
            plugins: Mutex::default(),
            folder: None,
        }
    }

    fn with_source(self, source: String) -> Self {
        Self { source, ..self }
    }

    fn within(self, folder: Folder) -> Self {
        Self {
            root: folder.path().to_owned(),
            folder: Some(folder),
            ..self
        }
    }

    /// Its code in the language of `driver`, loaded by `load` unless it is there already
    /// and may run.
    pub fn plugin<E>(
        &self,
        driver: &Arc<str>,
        load: impl FnOnce() -> Result<Arc<dyn Plugin>, E>,
    ) -> Result<Arc<dyn Plugin>, E> {
        let loaded = lock(&self.plugins).get(driver).cloned();
        if let Some(plugin) = loaded.filter(|plugin| !plugin.is_disabled()) {
            return Ok(plugin);
        }
        let plugin = load()?;
        lock(&self.plugins).insert(Arc::clone(driver), Arc::clone(&plugin));
        Ok(plugin)
    }

    fn discard(&self) {
        if let Some(folder) = &self.folder {
            folder.discard();
        }
    }

    fn tell(&self) {
        let (bundle, content, source) = (&self.name, &self.content, &self.source);
        info!(bundle, content, source, "Bundle is ready.");
        for key in &self.manifest.ignored {
            warn!(
                bundle,
                key, "Key of manifest.json is unknown or not implemented, has no effect."
            );
        }
    }
}

// === impl InUse ===

impl InUse {
    /// For the admin API.
    pub fn report(&self) -> Report<'_> {
        Report {
            name: &self.bundle.name,
            content: &self.bundle.content,
            source: &self.bundle.source,
            fetched_at: self.bundle.fetched_at,
            stale: self.stale.as_deref(),
        }
    }
}

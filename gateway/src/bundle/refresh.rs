//! Gets all bundles of a load: what is new, what stays, what an earlier version stands in for.

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use aws_lc_rs::digest::{SHA256, digest};
use tokio::runtime::Handle;
use tracing::warn;

use super::archive::Archive;
use super::fetch::{FetchError, Fetched, Fetcher, Patience, Validators};
use super::manifest::{self, Manifest};
use super::store::{Record, Store};
use super::verify::{self, Digests, KeyError, PublicKey};
use super::{Bundle, BundleError, InUse, lock, path};
use crate::config::Config;

/// How many bundles are fetched at the same time. Each costs a thread, and memory for the
/// whole archive.
const AT_ONCE: usize = 8;

/// What a load found, by name.
pub type Found = HashMap<String, Result<InUse, String>>;

/// All bundles of a process.
pub struct Bundles {
    runtime: Handle,
    store: Store,
    /// `None` while nothing is downloaded, for the reason beside it.
    fetcher: Result<Fetcher, NoFetcher>,
    key: Result<Option<PublicKey>, KeyError>,
    verify_existing: bool,
    current: Mutex<HashMap<String, Version>>,
    /// Nothing serves yet, so what an earlier process left must not wait for a server.
    starting: AtomicBool,
    /// A server did not answer one bundle of this load, however often it was asked.
    silent: AtomicBool,
}

enum NoFetcher {
    Off(&'static str),
    Wrong(FetchError),
}

/// The version that serves now.
#[derive(Clone)]
struct Version {
    bundle: Arc<Bundle>,
    validators: Validators,
}

// === impl Bundles ===

impl Bundles {
    /// The bundles as `config` wants them, kept in `store`. What is wrong with the
    /// configuration is told by each bundle.
    pub fn new(config: &Config, store: Store, runtime: Handle) -> Self {
        let fetcher = if !config.enable_bundle_downloader {
            Err(NoFetcher::Off("enable_bundle_downloader is off"))
        } else if config.bundle_base_url.is_empty() {
            Err(NoFetcher::Off("bundle_base_url is not set"))
        } else {
            let unverified = config.bundle_insecure_skip_verify;
            Fetcher::new(&config.bundle_base_url, unverified).map_err(NoFetcher::Wrong)
        };
        let key = match &config.public_key_path {
            path if path.as_os_str().is_empty() => Ok(None),
            path => PublicKey::read(path).map(Some),
        };
        Self {
            store,
            runtime,
            fetcher,
            key,
            verify_existing: !config.skip_verify_existing_plugin_bundle,
            current: Mutex::default(),
            starting: true.into(),
            silent: false.into(),
        }
    }

    /// Gets all of `names`, each in its newest version that is good. Blocks for as long as
    /// the slowest one takes.
    pub fn refresh(&self, names: BTreeSet<String>) -> Found {
        self.silent.store(false, Relaxed);
        let threads = names.len().min(AT_ONCE);
        let waiting = Mutex::new(names.into_iter());
        let found = Mutex::new(Found::new());
        let work = || {
            loop {
                let Some(name) = lock(&waiting).next() else {
                    return;
                };
                // Whatever is wrong with one bundle, the others are not touched.
                let outcome = catch_unwind(AssertUnwindSafe(|| self.obtain(&name)));
                let outcome = outcome.unwrap_or(Err(BundleError::Panicked));
                let outcome = outcome.map_err(|error| format!("bundle `{name}`: {error}"));
                lock(&found).insert(name, outcome);
            }
        };
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        self.starting.store(false, Relaxed);
        found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the bundles that are not among `names`, those of earlier processes included.
    pub fn retain(&self, names: &Found) {
        lock(&self.current).retain(|name, version| {
            let stays = names.contains_key(name);
            if !stays {
                version.bundle.discard();
                self.store.forget(name, &version.bundle.content);
            }
            stays
        });
        let names = names.keys().map(String::as_str);
        self.store.retain(&names.collect());
    }

    fn obtain(&self, name: &str) -> Result<InUse, BundleError> {
        path::check_bundle_name(name).map_err(BundleError::Name)?;
        let fetcher = match &self.fetcher {
            Ok(fetcher) => fetcher,
            Err(NoFetcher::Off(reason)) => return self.placed_only(name, reason),
            Err(NoFetcher::Wrong(error)) => {
                let error = BundleError::Base(error.to_string());
                return self.fall_back(name, self.before(name), error);
            }
        };
        let before = self.before(name);
        match self.update(fetcher, name, before.as_ref()) {
            Ok(version) => Ok(self.serve(name, version, before)),
            Err(error) => self.fall_back(name, before, error),
        }
    }

    /// The version that serves, or did so in an earlier process.
    fn before(&self, name: &str) -> Option<Version> {
        if let Some(version) = lock(&self.current).get(name) {
            return Some(version.clone());
        }
        let record = self.store.record(name)?;
        match self.restore(&record) {
            Ok(version) => version,
            Err(error) => {
                let content = record.content;
                warn!(bundle = name, content, %error, "Earlier version of a bundle is not usable.");
                None
            }
        }
    }

    fn restore(&self, record: &Record) -> Result<Option<Version>, BundleError> {
        let Some(folder) = self.store.version(&record.name, &record.content)? else {
            return Ok(None);
        };
        let manifest = Manifest::read_in(folder.path())?;
        self.judge_existing(folder.path(), &manifest)?;
        let bundle = Bundle {
            fetched_at: record.fetched_at,
            ..Bundle::of(record.name.clone(), record.content.clone(), manifest)
        };
        Ok(Some(Version {
            bundle: Arc::new(bundle.with_source(record.source.clone()).within(folder)),
            validators: record.validators.clone(),
        }))
    }

    fn update(
        &self,
        fetcher: &Fetcher,
        name: &str,
        before: Option<&Version>,
    ) -> Result<Version, BundleError> {
        let validators = before.map(|version| &version.validators);
        let patience = self.patience(before);
        let fetching = fetcher.fetch(name, validators, patience);
        let fetched = self.runtime.block_on(fetching);
        if patience == Patience::FULL && fetched.as_ref().is_err_and(FetchError::may_pass) {
            self.silent.store(true, Relaxed);
        }
        let failed = |source| BundleError::Fetch {
            from: fetcher.source(name),
            source,
        };
        let (bytes, validators) = match (fetched.map_err(failed)?, before) {
            (Fetched::Bundle { bytes, validators }, _) => (bytes, validators),
            (Fetched::Unchanged, Some(before)) => return Ok(before.clone()),
            (Fetched::Unchanged, None) => return Err(failed(FetchError::Status(304))),
        };
        let content = verify::hex(digest(&SHA256, &bytes).as_ref());
        let known = before.filter(|version| version.bundle.content == content);
        let bundle = match known {
            Some(version) => Arc::clone(&version.bundle),
            None => Arc::new(
                self.install(name, content, &bytes)?
                    .with_source(fetcher.source(name)),
            ),
        };
        Ok(Version { bundle, validators })
    }

    /// How long to wait for a server. One that is away is waited for once and not by each
    /// bundle in its turn.
    fn patience(&self, before: Option<&Version>) -> Patience {
        if self.starting.load(Relaxed) && before.is_some() {
            Patience::SHORT
        } else if self.silent.load(Relaxed) {
            Patience::ONE_TRY
        } else {
            Patience::FULL
        }
    }

    fn install(&self, name: &str, content: String, bytes: &[u8]) -> Result<Bundle, BundleError> {
        let mut archive = Archive::open(bytes)?;
        let manifest = archive.manifest()?;
        let draft = self.store.draft()?;
        archive.unpack(&manifest, draft.path())?;
        Digests::of(draft.path(), &manifest)?.judge(&manifest, self.key()?)?;
        for file in archive.unlisted(&manifest) {
            let file = file.display();
            warn!(bundle = name, %file, "File is not in the manifest's file_list and is left out.");
        }
        let judge = |folder: &Path| self.judge_existing(folder, &manifest).map(drop);
        let folder = self.store.publish(draft, name, &content, judge)?;
        Ok(Bundle::of(name.to_owned(), content, manifest).within(folder))
    }

    /// Makes a version the one that serves.
    fn serve(&self, name: &str, version: Version, before: Option<Version>) -> InUse {
        let bundle = Arc::clone(&version.bundle);
        let record = Record {
            name: name.to_owned(),
            content: bundle.content.clone(),
            source: bundle.source.clone(),
            fetched_at: bundle.fetched_at,
            validators: version.validators.clone(),
        };
        let kept = match self.store.record(name) {
            Some(there) if there == record => Ok(()),
            _ => self.store.keep(&record),
        };
        match (kept, before) {
            (Err(error), _) => {
                warn!(bundle = name, %error, "Version is not remembered for the next start.");
            }
            // Not sooner: until then it is the one that the next start finds.
            (Ok(()), Some(before)) if !Arc::ptr_eq(&before.bundle, &bundle) => {
                before.bundle.discard();
            }
            (Ok(()), _) => {}
        }
        self.set_current(name, version);
        InUse {
            bundle,
            stale: None,
        }
    }

    fn set_current(&self, name: &str, version: Version) {
        let bundle = Arc::clone(&version.bundle);
        let before = lock(&self.current).insert(name.to_owned(), version);
        if !before.is_some_and(|before| Arc::ptr_eq(&before.bundle, &bundle)) {
            bundle.tell();
        }
    }

    /// What serves instead of a version that cannot be had.
    fn fall_back(
        &self,
        name: &str,
        before: Option<Version>,
        error: BundleError,
    ) -> Result<InUse, BundleError> {
        let before = match before {
            Some(before) => before,
            None => match self.placed(name) {
                Ok(Some(placed)) => placed,
                Ok(None) => return Err(error),
                Err(wrong) => {
                    let folder = self.store.placed(name);
                    warn!(bundle = name, folder = %folder.display(), error = %wrong,
                        "Placed folder of a bundle is not usable.");
                    return Err(error);
                }
            },
        };
        let (content, error) = (&before.bundle.content, error.to_string());
        warn!(
            bundle = name,
            content, error, "Bundle cannot be refreshed, its last good version serves."
        );
        let bundle = Arc::clone(&before.bundle);
        self.set_current(name, before);
        Ok(InUse {
            bundle,
            stale: Some(error),
        })
    }

    fn placed_only(&self, name: &str, reason: &'static str) -> Result<InUse, BundleError> {
        let Some(version) = self.placed(name)? else {
            return Err(BundleError::Nowhere {
                reason,
                folder: self.store.placed(name).display().to_string(),
            });
        };
        let bundle = Arc::clone(&version.bundle);
        self.set_current(name, version);
        Ok(InUse {
            bundle,
            stale: None,
        })
    }

    /// The version in the folder that an operator placed.
    fn placed(&self, name: &str) -> Result<Option<Version>, BundleError> {
        let root = self.store.placed(name);
        if !root.is_dir() {
            return Ok(None);
        }
        let manifest = Manifest::read_in(&root)?;
        let digests = self.judge_existing(&root, &manifest)?;
        let text = manifest.raw.to_string();
        let both = [digests.signed().as_ref(), text.as_bytes()].concat();
        let content = verify::hex(digest(&SHA256, &both).as_ref());
        if let Some(version) = lock(&self.current).get(name)
            && version.bundle.content == content
        {
            return Ok(Some(version.clone()));
        }
        let source = root.display().to_string();
        let bundle = Bundle::of(name.to_owned(), content, manifest).with_source(source);
        Ok(Some(Version {
            bundle: Arc::new(Bundle { root, ..bundle }),
            validators: Validators::default(),
        }))
    }

    fn judge_existing(&self, root: &Path, manifest: &Manifest) -> Result<Digests, BundleError> {
        let digests = Digests::of(root, manifest)?;
        if self.verify_existing {
            let key = self.key()?;
            digests.judge(manifest, key)?;
            if key.is_some()
                && let Some(file) = unlisted_in(root, manifest)?
            {
                return Err(BundleError::Unlisted(file));
            }
        }
        Ok(digests)
    }

    fn key(&self) -> Result<Option<&PublicKey>, BundleError> {
        match &self.key {
            Ok(key) => Ok(key.as_ref()),
            Err(error) => Err(BundleError::Key(error.to_string())),
        }
    }
}

/// A file below `root` that the manifest does not list.
fn unlisted_in(root: &Path, manifest: &Manifest) -> std::io::Result<Option<String>> {
    let listed: BTreeSet<&Path> = manifest.files.iter().map(PathBuf::as_path).collect();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let below = path.strip_prefix(root).unwrap_or(&path);
            if listed.contains(below) || below == Path::new(manifest::FILE_NAME) {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
            } else {
                return Ok(Some(below.display().to_string()));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_over_one_bundle_is_its_error_and_no_other_ones() {
        let folder = tempfile::tempdir().expect("a folder");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let handle = runtime.handle().clone();
        let config = Config {
            enable_bundle_downloader: true,
            bundle_base_url: "http://127.0.0.1:1".into(),
            ..Config::default()
        };
        let store = Store::open(folder.path().to_owned(), handle.clone());
        let bundles = Bundles::new(&config, store, handle);
        // Waiting on a runtime that has ended is a panic.
        drop(runtime);
        let found = bundles.refresh(["b.zip", "a,b"].map(str::to_owned).into());
        let error = |name: &str| found[name].as_ref().err().expect("an error").clone();
        assert!(error("b.zip").contains("panicked"), "{}", error("b.zip"));
        assert!(error("a,b").contains("comma"), "{}", error("a,b"));
    }
}

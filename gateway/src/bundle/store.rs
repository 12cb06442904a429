//! Where bundles lie on the disk, below `<middleware_path>/bundles/`:
//!
//! | name | what it is |
//! |---|---|
//! | `<md5 of the name>/` | a bundle that an operator placed, as the original lays it out |
//! | `<md5 of the name>-<content>/` | one version of a downloaded bundle |
//! | `<md5 of the name>.json` | which version was good last, and what its server said of it |
//! | `.draft-…`, `.old-…` | a version that is being unpacked, or removed |
//!
//! A version appears and disappears by a rename, so it is whole whenever it is there. Who
//! uses one holds a shared lock on its folder; who wants to remove it needs the lock alone.
//! Locks end with their process however it ends, and other processes may share the folder.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tracing::{debug, info, warn};

use super::archive::create_folder;
use super::fetch::Validators;
use super::verify::hex;

const DRAFT: &str = ".draft-";
const OLD: &str = ".old-";

/// How often others may be in the way of a version before it is given up.
const MOST_TRIES: u32 = 10;

/// The folder of all bundles.
pub struct Store {
    root: PathBuf,
    /// Where operators place bundles.
    placed: PathBuf,
    runtime: Handle,
    _temporary: Option<TempDir>,
}

/// Which version of a bundle was good last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Record {
    /// The bundle's name.
    pub name: String,
    /// Its content.
    pub content: String,
    /// Where it came from.
    pub source: String,
    /// When it came, in seconds since 1970.
    pub fetched_at: u64,
    /// To ask its server with.
    pub validators: Validators,
}

/// The folder of one version, which stays while this is held.
pub struct Folder {
    path: PathBuf,
    lock: Option<File>,
    runtime: Handle,
    unwanted: std::sync::atomic::AtomicBool,
}

// === impl Store ===

impl Store {
    /// The store in `root`, which need not exist. Removes what earlier processes left
    /// behind and nobody uses.
    pub fn open(root: PathBuf, runtime: Handle) -> Self {
        let store = Self {
            placed: root.clone(),
            root,
            runtime,
            _temporary: None,
        };
        if let Err(error) = store.sweep() {
            let root = store.root.display();
            warn!(%error, %root, "Left-over bundles cannot be removed.");
        }
        store
    }

    /// A store that ends with the process, and changes nothing in `placed`.
    pub fn temporary(placed: PathBuf, runtime: Handle) -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        Ok(Self {
            root: folder.path().to_owned(),
            placed,
            runtime,
            _temporary: Some(folder),
        })
    }

    /// The folder that an operator may have placed for `name`.
    pub fn placed(&self, name: &str) -> PathBuf {
        self.placed.join(key(name))
    }

    /// The version of `name` that was good last.
    pub fn record(&self, name: &str) -> Option<Record> {
        let text = fs::read(self.record_path(name)).ok()?;
        let record: Record = serde_json::from_slice(&text).ok()?;
        (record.name == name).then_some(record)
    }

    /// Remembers the version that is good now, on the disk when it returns.
    pub fn keep(&self, record: &Record) -> io::Result<()> {
        let gate = self.gate()?;
        let draft = tempfile::NamedTempFile::with_prefix_in(DRAFT, &self.root)?;
        serde_json::to_writer(&draft, record)?;
        draft.as_file().sync_all()?;
        draft.persist(self.record_path(&record.name))?;
        gate.sync_all()
    }

    /// Forgets a version that nobody asks for any more.
    pub fn forget(&self, name: &str, content: &str) {
        if self
            .record(name)
            .is_some_and(|record| record.content == content)
        {
            let path = self.record_path(name);
            if let Err(error) = fs::remove_file(&path) {
                warn!(%error, path = %path.display(), "Record of a bundle cannot be removed.");
            }
        }
    }

    /// Forgets all bundles that are not among `names` and that nobody uses.
    pub fn retain(&self, names: &HashSet<&str>) {
        if let Err(error) = self.try_retain(names) {
            warn!(%error, "Bundles that no API names cannot all be removed.");
        }
    }

    /// The folder of a version, if it is there.
    pub fn version(&self, name: &str, content: &str) -> io::Result<Option<Folder>> {
        self.hold(self.root.join(version_name(name, content)))
    }

    /// An empty folder to unpack into.
    pub fn draft(&self) -> io::Result<Draft> {
        let _gate = self.gate()?;
        let folder = tempfile::Builder::new()
            .prefix(DRAFT)
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(&self.root)?;
        let lock = File::open(folder.path())?;
        lock.lock_shared()?;
        Ok(Draft { folder, lock })
    }

    /// Makes a draft the version that it is. Where others use that version already, theirs
    /// is taken if `judge` accepts it: it may have been changed since it was unpacked.
    pub fn publish<E: From<io::Error>>(
        &self,
        draft: Draft,
        name: &str,
        content: &str,
        judge: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<Folder, E> {
        sync(draft.path())?;
        let path = self.root.join(version_name(name, content));
        let mut tries = 0;
        loop {
            let published = match fs::rename(draft.folder.path(), &path) {
                // It is there from an earlier process, or another one was faster.
                Err(_) if path.exists() => self.replace(&draft, &path),
                outcome => outcome,
            };
            let Err(error) = published else {
                // It is not there any more, so there is nothing to remove.
                let _gone = draft.folder.keep();
                File::open(&self.root)?.sync_all()?;
                return Ok(self.folder(path, draft.lock));
            };
            if let Some(folder) = self.hold(path.clone())? {
                judge(folder.path())?;
                return Ok(folder);
            }
            // Its last user may have removed it just now.
            tries += 1;
            if tries > MOST_TRIES {
                return Err(error.into());
            }
        }
    }

    /// Puts a draft in the place of a version that nobody uses.
    fn replace(&self, draft: &Draft, path: &Path) -> io::Result<()> {
        let lock = File::open(path)?;
        remove(&self.root, path, &lock)?;
        fs::rename(draft.folder.path(), path)
    }

    fn hold(&self, path: PathBuf) -> io::Result<Option<Folder>> {
        let lock = match File::open(&path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        lock.lock_shared()?;
        // It may have been removed while the lock was waited for.
        let held = lock.metadata()?;
        match fs::metadata(&path) {
            Ok(there) if (there.dev(), there.ino()) == (held.dev(), held.ino()) => {
                Ok(Some(self.folder(path, lock)))
            }
            _ => Ok(None),
        }
    }

    fn folder(&self, path: PathBuf, lock: File) -> Folder {
        Folder {
            path,
            lock: Some(lock),
            runtime: self.runtime.clone(),
            unwanted: false.into(),
        }
    }

    /// Keeps sweeps away while it is held.
    fn gate(&self) -> io::Result<File> {
        create_folder(&self.root)?;
        let gate = File::open(&self.root)?;
        gate.lock_shared()?;
        Ok(gate)
    }

    fn record_path(&self, name: &str) -> PathBuf {
        self.root.join(format!("{}.json", key(name)))
    }

    /// Keeps everybody else away while it is held, if there is something to keep them from.
    fn gate_alone(&self) -> io::Result<Option<File>> {
        let gate = match File::open(&self.root) {
            Ok(gate) => gate,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        gate.lock()?;
        Ok(Some(gate))
    }

    fn try_retain(&self, names: &HashSet<&str>) -> io::Result<()> {
        let Some(_gate) = self.gate_alone()? else {
            return Ok(());
        };
        for entry in fs::read_dir(&self.root)? {
            let path = entry?.path();
            if path.extension().is_none_or(|ending| ending != "json") {
                continue;
            }
            let record = serde_json::from_slice(&fs::read(&path).unwrap_or_default());
            let record: Record = record.unwrap_or_default();
            if path != self.record_path(&record.name) {
                continue;
            }
            if !names.contains(&*record.name) && !self.is_in_use(&record)? {
                info!(bundle = record.name, "Forgets a bundle that no API names.");
                fs::remove_file(&path)?;
            }
        }
        self.remove_left_overs(|name| !name.starts_with('.'))
    }

    /// Whether this process or another one uses the version of a record.
    fn is_in_use(&self, record: &Record) -> io::Result<bool> {
        let path = self.root.join(version_name(&record.name, &record.content));
        match File::open(path) {
            Ok(folder) => Ok(folder.try_lock().is_err()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn sweep(&self) -> io::Result<()> {
        match self.gate_alone()? {
            Some(_gate) => self.remove_left_overs(|_| true),
            None => Ok(()),
        }
    }

    /// Removes what nobody uses, of the names that `is_asked` takes.
    fn remove_left_overs(&self, is_asked: impl Fn(&str) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !is_asked(&name) || !self.is_left_over(&name) {
                continue;
            }
            let path = entry.path();
            let removed = if entry.file_type()?.is_dir() {
                File::open(&path).and_then(|lock| remove(&self.root, &path, &lock))
            } else {
                fs::remove_file(&path)
            };
            match removed {
                Ok(()) => info!(path = %path.display(), "Removed a left-over bundle."),
                Err(error) => debug!(%error, path = %path.display(), "Bundle stays."),
            }
        }
        Ok(())
    }

    /// Whether a name is one of ours, and of something that nothing points to.
    fn is_left_over(&self, name: &str) -> bool {
        if name.starts_with(DRAFT) || name.starts_with(OLD) {
            return true;
        }
        let Some((key, content)) = name.split_once('-') else {
            return false;
        };
        let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if key.len() != 32 || content.len() != 64 || !is_hex(key) || !is_hex(content) {
            return false;
        }
        let record = fs::read(self.root.join(format!("{key}.json"))).unwrap_or_default();
        let record: Record = serde_json::from_slice(&record).unwrap_or_default();
        record.content != content
    }
}

/// A folder that is being filled. It is removed unless it is published.
pub struct Draft {
    folder: TempDir,
    lock: File,
}

impl Draft {
    /// Where to write to.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// MD5 of a text, in hexadecimal: what the original calls a bundle's folder.
pub fn key(name: &str) -> String {
    hex(&Md5::digest(name))
}

fn version_name(name: &str, content: &str) -> String {
    format!("{}-{content}", key(name))
}

/// Writes all of a folder to the disk.
fn sync(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

/// Removes a folder, if nobody else has a lock on it.
fn remove(root: &Path, path: &Path, lock: &File) -> io::Result<()> {
    lock.try_lock()?;
    // Out of the way at once, so that half of it is never found under its name.
    let old = tempfile::Builder::new().prefix(OLD).tempdir_in(root)?;
    fs::rename(path, old.path().join("removed"))?;
    old.close()
}

// === impl Folder ===

impl Folder {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Has it removed once nothing uses it.
    pub fn discard(&self) {
        self.unwanted
            .store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        if !*self.unwanted.get_mut() {
            return;
        }
        let path = std::mem::take(&mut self.path);
        // The last user may be a request, whose thread must not wait for the disk.
        self.runtime.spawn_blocking(move || {
            let root = path.parent().unwrap_or(Path::new("."));
            match remove(root, &path, &lock) {
                Ok(()) => debug!(path = %path.display(), "Removed an old bundle."),
                Err(error) => debug!(%error, path = %path.display(), "Old bundle stays."),
            }
        });
    }
}

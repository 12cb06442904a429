//! The file: opened with all its entries, made when there is none, written in transactions.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::writer::{Change, Disk, Times};
use crate::storage::clock;
use crate::storage::table::Entry;

/// The entries: when each ends by the store's clock, and its value.
const ENTRIES: TableDefinition<'_, &str, (u64, &[u8])> = TableDefinition::new("entries");

/// What is known about the whole file.
const ABOUT: TableDefinition<'_, &str, u64> = TableDefinition::new("about");

/// The version of what is written here; a gateway does not touch a file of another one.
const FORMAT: u64 = 1;

/// What stands for "no end".
const ENDLESS: u64 = u64::MAX;

/// Memory for pages of the file. Little, because the entries are in memory anyway.
const CACHE: usize = 16 * 1024 * 1024;

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has the file.
    #[error(
        "storage.path: `{0}` is in use by another process; give every gateway a file of its \
         own, or share one Redis with storage.type `redis`"
    )]
    InUse(String),
    /// The file cannot be made, read or written.
    #[error(
        "storage.path: cannot open `{path}`: {source}; name a file in a folder that the gateway \
         may write to, or keep data in memory only with storage.type `memory`"
    )]
    Unusable {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// There is a file and it is not what was written.
    #[error(
        "storage.path: `{path}` is damaged or not a store of this gateway: {reason}; restore it \
         from a backup, or move it away to start without the keys and data in it"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The thread that writes did not start.
    #[error("cannot start the thread that writes the store: {0}")]
    Thread(io::Error),
}

/// What is in a file when it is opened.
pub(super) struct Contents {
    pub(super) entries: Vec<(Arc<str>, Entry)>,
    /// What the store's clock shows.
    pub(super) now: u64,
}

/// An open file, locked for this process. Nothing is open after a failure, until the next
/// write opens it again.
pub(super) struct File {
    path: PathBuf,
    database: Option<Database>,
}

/// Opens the file and reads it, or makes it.
pub(super) fn open(path: &Path) -> Result<(File, Contents), OpenError> {
    // Also a link that leads nowhere is something that must not be replaced.
    if let Err(error) = fs::symlink_metadata(path)
        && error.kind() == ErrorKind::NotFound
    {
        create(path)?;
    }
    let (database, contents) = guarded(path, || {
        let database = open_database(path)?;
        let contents = read(&database)?;
        Ok((database, contents))
    })?;
    let file = File {
        path: path.to_owned(),
        database: Some(database),
    };
    Ok((file, contents))
}

/// Makes the file beside its place and then links it there, so that a file is complete or
/// not there: one that is empty has been damaged.
fn create(path: &Path) -> Result<(), OpenError> {
    let mut draft = OsString::from(path);
    draft.push(format!(".{}.new", std::process::id()));
    let draft = PathBuf::from(draft);
    guarded(path, || {
        // Left by a process of the same number that was killed here.
        remove_if_there(&draft)?;
        // What is in it is worth a password.
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options.open(&draft)?;
        let mut file = File {
            path: draft.clone(),
            database: Some(Builder::new().set_cache_size(CACHE).create(&draft)?),
        };
        let now = clock::system_now();
        let times = Times {
            store: now,
            system: now,
        };
        file.write_all(&mut std::iter::empty(), times)?;
        drop(file);
        match fs::hard_link(&draft, path) {
            // Another gateway was faster; which one may have it is decided by its lock.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            // Not every file system has links.
            Err(error) if error.kind() != ErrorKind::NotFound => fs::rename(&draft, path)?,
            outcome => outcome?,
        }
        remove_if_there(&draft)?;
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(())
    })
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

fn open_database(path: &Path) -> Result<Database, redb::Error> {
    let mut builder = Builder::new();
    // Without the check, a page that was changed from outside is believed.
    builder.set_check_integrity_on_open(true);
    builder.set_cache_size(CACHE);
    Ok(builder.open(path)?)
}

fn read(database: &Database) -> Result<Contents, redb::Error> {
    let transaction = database.begin_read()?;
    let about = transaction.open_table(ABOUT)?;
    let number = |name: &str| match about.get(name)? {
        Some(number) => Ok(number.value()),
        None => Err(redb::Error::Corrupted(format!("`{name}` is missing"))),
    };
    let format = number("format")?;
    if format != FORMAT {
        let reason = format!("its format is {format}, this gateway reads {FORMAT}");
        return Err(redb::Error::Corrupted(reason));
    }
    let times = Times {
        store: number("store_time")?,
        system: number("system_time")?,
    };
    let mut entries = Vec::new();
    for entry in transaction.open_table(ENTRIES)?.iter()? {
        let (key, entry) = entry?;
        let (ends, value) = entry.value();
        let entry = Entry {
            value: Bytes::copy_from_slice(value),
            ends: (ends != ENDLESS).then_some(ends),
        };
        entries.push((key.value().into(), entry));
    }
    Ok(Contents {
        entries,
        now: times.store_now(clock::system_now()),
    })
}

// === impl File ===

impl File {
    fn write_all(
        &mut self,
        changes: &mut dyn Iterator<Item = Change>,
        times: Times,
    ) -> Result<(), redb::Error> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open_database(&self.path)?,
        };
        let mut transaction = database.begin_write()?;
        // Values come from clients. With one phase, who knows the checksum of pages could
        // make a half-written transaction look whole after a loss of power.
        transaction.set_two_phase_commit(true);
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            for (key, entry) in changes {
                match entry {
                    Some(entry) => {
                        let ends = entry.ends.unwrap_or(ENDLESS);
                        entries.insert(&*key, (ends, &*entry.value))?;
                    }
                    None => drop(entries.remove(&*key)?),
                }
            }
            let mut about = transaction.open_table(ABOUT)?;
            about.insert("format", FORMAT)?;
            about.insert("store_time", times.store)?;
            about.insert("system_time", times.system)?;
        }
        transaction.commit()?;
        // After an error it has to be opened again.
        self.database = Some(database);
        Ok(())
    }
}

impl Disk for File {
    fn write(
        &mut self,
        changes: &mut dyn Iterator<Item = Change>,
        times: Times,
    ) -> Result<(), String> {
        let path = self.path.clone();
        guarded(&path, || self.write_all(changes, times)).map_err(|error| error.to_string())
    }
}

/// Runs what works on the file. The library panics where a file contradicts itself.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, OpenError> {
    let name = || path.display().to_string();
    let damaged = |reason: String| OpenError::Damaged {
        path: name(),
        reason,
    };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch)) => {
            Err(OpenError::InUse(name()))
        }
        Ok(Err(redb::Error::Io(source))) => Err(match source.kind() {
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof => damaged(source.to_string()),
            _ => OpenError::Unusable {
                path: name(),
                source,
            },
        }),
        Ok(Err(error)) => Err(damaged(error.to_string())),
        Err(_) => Err(damaged("its pages contradict each other".into())),
    }
}

//! Unpacks a bundle. Nothing in it is trusted: not its sizes, not its names.
//!
//! Only the files that the manifest lists are written, so that no byte is there to be run
//! that a signature does not cover. It covers neither names nor where files end.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Cursor, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zip::ZipArchive;
use zip::result::ZipError;

use super::manifest::{self, Manifest, ManifestError};
use super::path;

/// Most bytes of the packed bundle.
pub(super) const MOST_BYTES: usize = 64 * 1024 * 1024;

/// Most bytes of one file of it.
const MOST_BYTES_OF_FILE: u64 = 64 * 1024 * 1024;

/// Most bytes of all files of it.
const MOST_BYTES_UNPACKED: u64 = 256 * 1024 * 1024;

/// Most entries: the files, the folders above them, the manifest.
const MOST_ENTRIES: usize = 2 * manifest::MOST_FILES;

/// How many times longer a file may be than it is packed. Code is at 3 to 10.
const MOST_RATIO: u64 = 200;

/// A file as short as this may be of any ratio.
const ANY_RATIO: u64 = 1024 * 1024;

/// What opens an entry of the archive's directory.
const ENTRY_SIGNATURE: &[u8] = b"PK\x01\x02";

/// Why a bundle cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is not a zip file.
    #[error("is not a zip file that can be read: {0}")]
    Zip(#[from] ZipError),
    /// The whole is not as it should be.
    #[error("{0}")]
    Whole(String),
    /// An entry is not as it should be.
    #[error("entry `{name}` {reason}")]
    Entry {
        /// As written, with what cannot be shown escaped.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The manifest.
    #[error("{0}")]
    Manifest(#[from] ManifestError),
    /// The disk.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Where.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// An archive whose entries have been looked at.
pub struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// The files, by where they would be written.
    entries: HashMap<PathBuf, usize>,
}

impl<'a> Archive<'a> {
    /// Looks at all entries; nothing is unpacked yet.
    pub fn open(bytes: &'a [u8]) -> Result<Self, ArchiveError> {
        if bytes.len() > MOST_BYTES {
            let text = format!("{} bytes are more than {MOST_BYTES}", bytes.len());
            return Err(ArchiveError::Whole(text));
        }
        // Counted before the directory is read, which takes more memory than it is long.
        let entries = bytes
            .windows(ENTRY_SIGNATURE.len())
            .filter(|window| *window == ENTRY_SIGNATURE);
        if entries.count() > MOST_ENTRIES {
            let text = format!("has more than {MOST_ENTRIES} entries");
            return Err(ArchiveError::Whole(text));
        }
        let mut zip = ZipArchive::new(Cursor::new(bytes))?;
        if zip.has_duplicate_names() {
            return Err(ArchiveError::Whole("has two entries of one name".into()));
        }
        let entries = check_entries(&mut zip)?;
        if zip.has_overlapping_entries()? {
            return Err(ArchiveError::Whole("has entries that overlap".into()));
        }
        Ok(Self { zip, entries })
    }

    /// Reads the manifest.
    pub fn manifest(&mut self) -> Result<Manifest, ArchiveError> {
        let Some(index) = self.entries.get(Path::new(manifest::FILE_NAME)) else {
            return Err(ArchiveError::Whole(
                "has no manifest.json at its top".into(),
            ));
        };
        Ok(Manifest::read(self.zip.by_index(*index)?)?)
    }

    /// Writes the files that `manifest` lists, and the manifest itself, below `root`, which
    /// is empty.
    pub fn unpack(&mut self, manifest: &Manifest, root: &Path) -> Result<(), ArchiveError> {
        for file in &manifest.files {
            let Some(index) = self.entries.get(file) else {
                let text = format!(
                    "manifest.json lists `{}`, which is not in the bundle",
                    file.display()
                );
                return Err(ArchiveError::Whole(text));
            };
            let index = *index;
            self.write(index, root, file)?;
        }
        let manifest = Path::new(manifest::FILE_NAME);
        self.write(self.entries[manifest], root, manifest)
    }

    /// The files that `manifest` does not list.
    pub fn unlisted(&self, manifest: &Manifest) -> Vec<PathBuf> {
        let listed: std::collections::HashSet<_> = manifest.files.iter().collect();
        let mut files: Vec<_> = self
            .entries
            .keys()
            .filter(|file| *file != Path::new(manifest::FILE_NAME) && !listed.contains(file))
            .cloned()
            .collect();
        files.sort();
        files
    }

    fn write(&mut self, index: usize, root: &Path, file: &Path) -> Result<(), ArchiveError> {
        let to = root.join(file);
        let failed = |source| ArchiveError::Write {
            path: to.display().to_string(),
            source,
        };
        if let Some(folder) = to.parent() {
            create_folder(folder).map_err(failed)?;
        }
        let mut target = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&to)
            .map_err(failed)?;
        let entry = self.zip.by_index(index)?;
        // The entry says how long it is; what it unpacks to may be another thing.
        let expected = entry.size();
        let written = io::copy(&mut entry.take(expected + 1), &mut target).map_err(|error| {
            ArchiveError::Entry {
                name: file.display().to_string(),
                reason: format!("cannot be unpacked: {error}"),
            }
        })?;
        if written == expected {
            return Ok(());
        }
        Err(ArchiveError::Entry {
            name: file.display().to_string(),
            reason: format!("is not {expected} bytes long, as it says"),
        })
    }
}

/// A folder that nobody else can look into, and those above it.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().recursive(true).mode(0o700).create(folder) {
        Err(_) if fs::metadata(folder).is_ok_and(|found| found.is_dir()) => Ok(()),
        outcome => outcome,
    }
}

fn check_entries(
    zip: &mut ZipArchive<Cursor<&[u8]>>,
) -> Result<HashMap<PathBuf, usize>, ArchiveError> {
    let mut files = HashMap::new();
    let mut seen = HashMap::new();
    let mut total = 0;
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index)?;
        let name = entry.name_raw().to_vec();
        let shown = || name.escape_ascii().to_string();
        let wrong = |reason: String| ArchiveError::Entry {
            name: shown(),
            reason,
        };
        let text = std::str::from_utf8(&name).map_err(|_| wrong("is not UTF-8".into()))?;
        let is_folder = text.ends_with('/');
        let text = text.strip_suffix('/').unwrap_or(text);
        let path = path::relative(text).map_err(wrong)?;
        total += check_size(entry.size(), entry.compressed_size()).map_err(wrong)?;
        if total > MOST_BYTES_UNPACKED {
            let text = format!("its files are longer than {MOST_BYTES_UNPACKED} bytes");
            return Err(ArchiveError::Whole(text));
        }
        if let Some(other) = seen.insert(path::folded(&path), shown()) {
            return Err(wrong(format!(
                "is there twice, or differs from `{other}` in case only"
            )));
        }
        check_kind(&entry, is_folder).map_err(wrong)?;
        if !is_folder {
            files.insert(path, index);
        }
    }
    Ok(files)
}

/// Files and folders only.
fn check_kind<R: Read>(entry: &zip::read::ZipFile<'_, R>, is_folder: bool) -> Result<(), String> {
    const KIND: u32 = 0o170_000;
    let kind = entry.unix_mode().map_or(0, |mode| mode & KIND);
    match kind {
        0 | 0o100_000 if !is_folder => {}
        0 | 0o040_000 if is_folder => {}
        0o120_000 => return Err("is a symbolic link".into()),
        _ => return Err("is neither a file nor a folder".into()),
    }
    if entry.encrypted() {
        return Err("is encrypted".into());
    }
    Ok(())
}

fn check_size(size: u64, packed: u64) -> Result<u64, String> {
    if size > MOST_BYTES_OF_FILE {
        return Err(format!(
            "of {size} bytes is longer than {MOST_BYTES_OF_FILE}"
        ));
    }
    if size > ANY_RATIO && size / packed.max(1) > MOST_RATIO {
        return Err(format!(
            "unpacks to more than {MOST_RATIO} times its length"
        ));
    }
    Ok(size)
}

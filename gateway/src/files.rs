//! Files that are there as a whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Who may read a new file.
const MODE: u32 = 0o644;

/// Most bytes of an id that names a file.
const LONGEST_ID: usize = 200;

/// Writes a file beside its place and moves it there. When it returns `Ok`, the file
/// survives the end of the machine; before, whoever reads it finds the old one.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    fs::create_dir_all(folder)?;
    let mode = fs::metadata(path).map_or_else(
        |_| Permissions::from_mode(MODE),
        |metadata| metadata.permissions(),
    );
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    draft.write_all(content)?;
    draft.as_file().set_permissions(mode)?;
    draft.as_file().sync_all()?;
    draft.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Removes a file, for good when it returns.
pub fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    File::open(folder_of(path))?.sync_all()
}

/// Whether an id can name a file, in its folder and nowhere else.
pub fn is_safe_name(id: &str) -> bool {
    let is_plain =
        |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_' | b'.');
    !id.is_empty() && id.len() <= LONGEST_ID && !id.starts_with('.') && id.bytes().all(is_plain)
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_not_safe() {
        for id in ["a", "api-1", "A_b.c", "0123456789abcdef"] {
            assert!(is_safe_name(id), "{id}");
        }
        let long = "a".repeat(LONGEST_ID + 1);
        for id in [
            "", ".", "..", ".hidden", "a/b", "../a", "a\\b", "a\0", "a b", "é", "a\n", &long,
        ] {
            assert!(!is_safe_name(id), "{id:?}");
        }
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("below/file.json");
        replace(&file, b"one").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        replace(&file, b"two").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
        remove(&file).unwrap();
        assert!(!file.exists());
    }
}

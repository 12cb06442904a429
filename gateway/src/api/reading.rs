//! From a file to a definition, and to what of it nothing does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::warn;

use super::report::Fields;
use crate::definition::{ApiDefinition, unenforced};
use crate::json;

/// A definition as it was read.
pub(super) struct Read {
    /// What it says.
    pub(super) definition: ApiDefinition,
    /// Protective keys that nothing enforces.
    pub(super) protective: Vec<String>,
    /// Keys that have no effect.
    pub(super) ignored: Vec<String>,
    /// How many fields it has, and how many of them count.
    pub(super) fields: Fields,
    /// The file.
    pub(super) text: Arc<str>,
}

/// The files of definitions in a folder, in order.
pub fn definition_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files: Vec<_> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path.is_file() && name.ends_with(".json") && !name.ends_with("-oas.json")
    });
    // Which of two APIs gets a listen path must not depend on the file system's order.
    files.sort();
    Ok(files)
}

/// Reads a file.
pub(super) fn read(file: &Path) -> Result<Read, String> {
    let text = fs::read_to_string(file)
        .map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    let read = read_text(file, &text)?;
    for key in &read.ignored {
        let file = file.display();
        warn!(%file, key, "Key is unknown or not implemented, has no effect.");
    }
    Ok(read)
}

/// Reads the text of a file.
pub(super) fn read_text(file: &Path, text: &str) -> Result<Read, String> {
    let parsed = json::parse::<ApiDefinition>(file, text).map_err(|error| error.to_string())?;
    let found = unenforced::sort(&parsed.raw, &parsed.unread);
    if parsed.value.api_id.is_empty() {
        return Err(format!("{}: api_id is missing or empty", file.display()));
    }
    Ok(Read {
        fields: Fields::count(&parsed.raw, &parsed.unread),
        definition: parsed.value,
        protective: found.protective,
        ignored: found.ignored,
        text: text.into(),
    })
}

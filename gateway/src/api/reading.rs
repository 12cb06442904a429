//! From a file to a definition, and to what of it nothing does.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;
use tracing::warn;

use super::report::{Effect, Fields, Finding};
use crate::definition::unenforced::Unenforced;
use crate::definition::{ApiDefinition, oas, unenforced};
use crate::json::{self, JsonError};

/// A definition as it was read.
pub(super) struct Read {
    /// What it says.
    pub(super) definition: ApiDefinition,
    /// What of it is not done.
    pub(super) findings: Vec<Finding>,
    /// How many fields it has, and how many of them count.
    pub(super) fields: Fields,
    /// The definition in its classic form.
    pub(super) text: Arc<str>,
    /// The OpenAPI document that it was made from.
    pub(super) oas: Option<Oas>,
}

/// The document of a definition.
pub(super) struct Oas {
    /// As it is written.
    pub(super) text: Arc<str>,
    /// The path of what it says of tokens.
    pub(super) jwt: Option<String>,
}

impl Read {
    /// What is not done and has this effect.
    pub(super) fn found(&self, effect: Effect) -> impl Iterator<Item = &Finding> {
        self.findings
            .iter()
            .filter(move |found| found.effect == effect)
    }
}

/// The files of definitions in a folder, in order.
pub fn definition_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files: Vec<_> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // The original writes an OpenAPI document beside the classic form that serves.
        let classic = name.strip_suffix("-oas.json");
        let is_companion =
            classic.is_some_and(|name| path.with_file_name(format!("{name}.json")).is_file());
        path.is_file() && name.ends_with(".json") && !is_companion
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
    for Finding { path, message, .. } in read.found(Effect::Ignored) {
        let (file, key) = (file.display(), path);
        if message.is_empty() {
            warn!(%file, key, "Key is unknown or not implemented, has no effect.");
        } else {
            warn!(%file, key, reason = message, "Key has no effect.");
        }
    }
    Ok(read)
}

/// Reads the text of a file, in either form.
pub(super) fn read_text(file: &Path, text: &str) -> Result<Read, String> {
    let read = match oas::is_oas(text) {
        true => read_oas(file, text),
        false => read_classic(file, text),
    };
    let read = read.map_err(|error| error.to_string())?;
    if read.definition.api_id.is_empty() {
        let key = match &read.oas {
            Some(_) => "x-tyk-api-gateway.info.id",
            None => "api_id",
        };
        return Err(format!("{}: {key} is missing or empty", file.display()));
    }
    Ok(read)
}

fn read_classic(file: &Path, text: &str) -> Result<Read, JsonError> {
    let parsed = json::parse::<ApiDefinition>(file, text)?;
    Ok(Read {
        findings: findings(unenforced::sort(&parsed.raw, &parsed.unread)).collect(),
        fields: Fields::count(&parsed.raw, &parsed.unread),
        definition: parsed.value,
        text: text.into(),
        oas: None,
    })
}

fn read_oas(file: &Path, text: &str) -> Result<Read, JsonError> {
    let oas::Made { parsed, lost, jwt } = oas::read(file, text)?;
    let unenforced = unenforced::sort_by(oas::PROTECTIVE, &parsed.raw, &parsed.unread);
    let mut unread = parsed.unread;
    unread.extend(lost.iter().map(|lost| lost.path.clone()));
    let of_lost = lost.into_iter().map(|lost| Finding {
        path: lost.path,
        effect: if lost.refuses {
            Effect::Refuses
        } else {
            Effect::Ignored
        },
        message: lost.reason,
    });
    // The rest of the document is not for a gateway.
    let extension = parsed.raw.get(oas::EXTENSION).cloned();
    let extension = json!({oas::EXTENSION: extension});
    let classic = serde_json::to_string_pretty(&parsed.value).expect("a definition is plain data");
    Ok(Read {
        findings: findings(unenforced).chain(of_lost).collect(),
        fields: Fields::count(&extension, &unread),
        definition: parsed.value,
        text: classic.into(),
        oas: Some(Oas {
            text: text.into(),
            jwt,
        }),
    })
}

fn findings(unenforced: Unenforced) -> impl Iterator<Item = Finding> {
    let found = |effect| {
        move |path| Finding {
            path,
            effect,
            message: String::new(),
        }
    };
    let refusing = unenforced
        .protective
        .into_iter()
        .map(found(Effect::Refuses));
    refusing.chain(unenforced.ignored.into_iter().map(found(Effect::Ignored)))
}

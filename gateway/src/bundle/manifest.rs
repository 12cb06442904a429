//! `manifest.json`: which files make up a bundle, and which hooks they bring.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::path;
use crate::definition::{CustomMiddleware, unenforced};
use crate::json::{self, JsonError};

/// Its name, at the top of a bundle.
pub const FILE_NAME: &str = "manifest.json";

/// Most bytes of a manifest.
pub(super) const MOST_BYTES: u64 = 1024 * 1024;

/// Most files of a bundle.
pub(super) const MOST_FILES: usize = 10_000;

/// A manifest that was read.
#[derive(Debug)]
pub struct Manifest {
    /// The files, in their order.
    pub files: Vec<PathBuf>,
    /// The hooks. They replace those of the API.
    pub custom_middleware: CustomMiddleware,
    /// MD5 of all files, in hexadecimal.
    pub checksum: String,
    /// Signature of all files, in Base64; empty when there is none.
    pub signature: String,
    /// Keys that protect and that nothing enforces.
    pub protective: Vec<String>,
    /// Keys that have no effect.
    pub ignored: Vec<String>,
    /// The file as written, without its nulls.
    pub raw: Value,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not there, or cannot be read.
    #[error("manifest.json cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// It is too long.
    #[error("manifest.json is longer than {MOST_BYTES} bytes")]
    TooLong,
    /// It is not text.
    #[error("manifest.json is not UTF-8")]
    NotText,
    /// It is not JSON, or a value is not what it should be.
    #[error("{0}")]
    Json(#[from] JsonError),
    /// A file that cannot be one of a bundle.
    #[error("manifest.json: file_list[{index}]: `{name}` {reason}")]
    File {
        /// Its place in the list.
        index: usize,
        /// As written.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Too many files.
    #[error("manifest.json: file_list: {0} files are more than {MOST_FILES}")]
    TooManyFiles(usize),
    /// Without a hook the bundle would take away the hooks of its API.
    #[error("manifest.json: custom_middleware: no hooks defined")]
    NoHooks,
}

/// As the file says it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    file_list: Vec<String>,
    custom_middleware: CustomMiddleware,
    checksum: String,
    signature: String,
}

impl Manifest {
    /// Reads the manifest in a folder.
    pub fn read_in(folder: &Path) -> Result<Self, ManifestError> {
        Self::read(File::open(folder.join(FILE_NAME))?)
    }

    /// Reads a manifest from anywhere.
    pub fn read(source: impl Read) -> Result<Self, ManifestError> {
        let mut bytes = Vec::new();
        source.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(ManifestError::TooLong);
        }
        Self::parse(std::str::from_utf8(&bytes).map_err(|_| ManifestError::NotText)?)
    }

    fn parse(text: &str) -> Result<Self, ManifestError> {
        let parsed = json::parse::<Written>(Path::new(FILE_NAME), text)?;
        let unenforced = unenforced::sort(&parsed.raw, &parsed.unread);
        let written = parsed.value;
        if !has_hooks(&written.custom_middleware) {
            return Err(ManifestError::NoHooks);
        }
        Ok(Self {
            files: files(written.file_list)?,
            custom_middleware: written.custom_middleware,
            checksum: written.checksum,
            signature: written.signature,
            protective: unenforced.protective,
            ignored: unenforced.ignored,
            raw: parsed.raw,
        })
    }
}

fn has_hooks(middleware: &CustomMiddleware) -> bool {
    let lists = [
        &middleware.pre,
        &middleware.post_key_auth,
        &middleware.post,
        &middleware.response,
    ];
    !middleware.auth_check.name.is_empty() || lists.iter().any(|list| !list.is_empty())
}

fn files(list: Vec<String>) -> Result<Vec<PathBuf>, ManifestError> {
    if list.len() > MOST_FILES {
        return Err(ManifestError::TooManyFiles(list.len()));
    }
    let mut seen = HashSet::from([FILE_NAME.to_owned()]);
    let mut files = Vec::new();
    for (index, name) in list.into_iter().enumerate() {
        let file = path::relative(&name).and_then(|file| {
            if path::folded(&file) == FILE_NAME {
                Err("is the manifest itself".to_owned())
            } else if seen.insert(path::folded(&file)) {
                Ok(file)
            } else {
                Err("is listed twice, or differs in case only".to_owned())
            }
        });
        files.push(file.map_err(|reason| ManifestError::File {
            index,
            name,
            reason,
        })?);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_error(text: &str, expected: &str) {
        let error = Manifest::read(text.as_bytes()).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        for (text, expected) in [
            ("", "manifest.json:1:0: EOF"),
            ("[]", "manifest.json"),
            ("{\"file_list\": \"a.py\"}", "file_list: invalid type"),
            ("{\"file_list\": [1]}", "file_list[0]: invalid type"),
            (
                "{\"custom_middleware\": {\"pre\": {}}}",
                "custom_middleware.pre",
            ),
            ("{\"checksum\": 3}", "checksum: invalid type"),
            ("{}", "no hooks defined"),
            ("{\"custom_middleware\": null}", "no hooks defined"),
        ] {
            check_error(text, expected);
        }
        for (list, expected) in [
            (r#"["../x.py"]"#, "file_list[0]: `../x.py` leads out"),
            (
                r#"["a.py", "/x.py"]"#,
                "file_list[1]: `/x.py` is an absolute",
            ),
            (
                r#"["a.py", "A.py"]"#,
                "file_list[1]: `A.py` is listed twice",
            ),
            (r#"["manifest.json"]"#, "is the manifest itself"),
            (r#"[""]"#, "file_list[0]: `` "),
        ] {
            let hooks = r#""custom_middleware": {"pre": [{"name": "F"}]}"#;
            check_error(&format!("{{\"file_list\": {list}, {hooks}}}"), expected);
        }
    }

    #[test]
    fn nulls_and_unknown_keys_do_no_harm() {
        let text = r#"{"file_list": null, "custom_middleware": {"pre": null, "post": null,
            "post_key_auth": [], "auth_check": {"name": "A", "path": null}, "response": null,
            "driver": "x", "id_extractor": {"extractor_config": null, "extract_from": ""}},
            "checksum": null, "signature": null, "extra": 1}"#;
        let manifest = Manifest::read(text.as_bytes()).expect("a manifest");
        assert_eq!(manifest.custom_middleware.auth_check.name, "A");
        assert_eq!(manifest.ignored, ["extra"]);
        assert_eq!(manifest.protective, Vec::<String>::new());
    }
}

//! Where the plugin's code is, and which hook of it is meant.

use std::fs;
use std::path::{Path, PathBuf};

use coprocess_core::{HookType, PluginSource, SourceKind};
use serde_json::{Map, Value};
use tempfile::TempDir;

use super::{CodeArguments, Problem};
use crate::bundle::archive::Archive;
use crate::bundle::manifest::{FILE_NAME, Manifest};
use crate::config::Config;
use crate::definition::{CustomMiddleware, HookEntry};

/// How deep folders below a plugin without a manifest are looked through.
const DEEPEST: usize = 8;

/// The code of one plugin.
pub(super) struct Code {
    pub(super) source: PluginSource,
    /// What the manifest says; empty without one.
    middleware: CustomMiddleware,
    driver: Option<String>,
    /// Where an archive was unpacked; goes with this.
    unpacked: Option<TempDir>,
}

/// A hook of it.
pub(super) struct Chosen {
    pub(super) hook_type: HookType,
    pub(super) driver: String,
    pub(super) entry: HookEntry,
}

impl Code {
    /// Finds the files and reads the manifest.
    pub(super) fn find(arguments: &CodeArguments, config: &Config) -> Result<Self, Problem> {
        let driver = arguments.driver.clone();
        let found = match (&arguments.bundle, &arguments.file) {
            (Some(folder), _) => Self::in_folder(folder, driver),
            (None, Some(file)) => Self::of_file(file, driver),
            (None, None) => {
                let Some(name) = driver else {
                    return Err(usage(
                        "name the code: --bundle DIR, --file FILE or --driver",
                    ));
                };
                Self::in_folder(&config.middleware_path.join(&name), Some(name))
            }
        };
        found.map_err(Problem::Usage)
    }

    /// What the manifest says to a language.
    pub(super) fn options(&self, driver: &str) -> Map<String, Value> {
        let options = self.middleware.driver_options.get(driver);
        options.cloned().unwrap_or_default()
    }

    fn in_folder(folder: &Path, driver: Option<String>) -> Result<Self, String> {
        let root = folder
            .canonicalize()
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        if root.is_file() {
            return Self::in_archive(folder, driver);
        }
        if folder.join(FILE_NAME).exists() {
            let manifest = Manifest::read_in(folder);
            let manifest = manifest.map_err(|error| format!("{}: {error}", folder.display()))?;
            return Self::of_manifest(folder, root, manifest, driver);
        }
        let mut files = Vec::new();
        list(&root, Path::new(""), 0, &mut files)
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        files.sort();
        Ok(Self {
            source: source(folder, root, files, SourceKind::Directory),
            middleware: CustomMiddleware::default(),
            driver,
            unpacked: None,
        })
    }

    fn of_manifest(
        name: &Path,
        root: PathBuf,
        manifest: Manifest,
        driver: Option<String>,
    ) -> Result<Self, String> {
        for file in &manifest.files {
            if !root.join(file).is_file() {
                return Err(format!(
                    "{}: {FILE_NAME}: file_list names {}, which is not there",
                    name.display(),
                    file.display()
                ));
            }
        }
        Ok(Self {
            source: source(name, root, manifest.files, SourceKind::Bundle),
            middleware: manifest.custom_middleware,
            driver,
            unpacked: None,
        })
    }

    /// A bundle as it is shipped, unpacked for as long as this lives.
    fn in_archive(file: &Path, driver: Option<String>) -> Result<Self, String> {
        let wrong = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let bytes = fs::read(file).map_err(|error| wrong(&error))?;
        let mut archive = Archive::open(&bytes).map_err(|error| wrong(&error))?;
        let manifest = archive.manifest().map_err(|error| wrong(&error))?;
        let folder = tempfile::tempdir().map_err(|error| wrong(&error))?;
        let outcome = archive.unpack(&manifest, folder.path());
        outcome.map_err(|error| wrong(&error))?;
        let root = folder.path().to_owned();
        let mut code = Self::of_manifest(file, root, manifest, driver)?;
        code.unpacked = Some(folder);
        Ok(code)
    }

    fn of_file(file: &Path, driver: Option<String>) -> Result<Self, String> {
        let wrong = |error: std::io::Error| format!("{}: {error}", file.display());
        let path = file.canonicalize().map_err(wrong)?;
        let (Some(root), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(format!("{} is not a file", file.display()));
        };
        let files = vec![PathBuf::from(name)];
        Ok(Self {
            source: source(file, root.to_owned(), files, SourceKind::Directory),
            middleware: CustomMiddleware::default(),
            driver,
            unpacked: None,
        })
    }

    /// The folder that the code is in.
    pub(super) fn root(&self) -> &Path {
        &self.source.root
    }

    /// The hook of that name, and of that type where one is named.
    pub(super) fn choose(&self, name: &str, wanted: Option<HookType>) -> Result<Chosen, Problem> {
        let of_name: Vec<_> = entries(&self.middleware)
            .filter(|(hook_type, entry)| {
                entry.name == name && wanted.is_none_or(|wanted| wanted == *hook_type)
            })
            .collect();
        let (hook_type, entry) = match (of_name.as_slice(), wanted) {
            ([one], _) => (one.0, one.1.clone()),
            ([], Some(wanted)) => (wanted, named(name)),
            ([], None) => return Err(usage(&self.not_found(name))),
            ([..], _) => {
                let types: Vec<_> = of_name.iter().map(|(found, _)| found.as_str()).collect();
                let text = format!("`{name}` is a hook of {}; add --type", types.join(" and "));
                return Err(usage(&text));
            }
        };
        let said = [&entry.driver, &self.middleware.driver];
        let said = said.into_iter().find(|driver| !driver.is_empty()).cloned();
        let Some(driver) = self.driver.clone().or(said) else {
            return Err(usage("no manifest names the language; add --driver"));
        };
        Ok(Chosen {
            hook_type,
            driver,
            entry,
        })
    }

    fn not_found(&self, name: &str) -> String {
        let known: Vec<_> = entries(&self.middleware)
            .map(|(hook_type, entry)| format!("{} ({})", entry.name, hook_type.as_str()))
            .collect();
        if known.is_empty() {
            format!("no manifest says what kind of hook `{name}` is; add --type")
        } else {
            let known = known.join(", ");
            format!(
                "{FILE_NAME} has no hook `{name}`; it has: {known}; for another function add --type"
            )
        }
    }
}

fn usage(text: &str) -> Problem {
    Problem::Usage(text.to_owned())
}

fn source(name: &Path, root: PathBuf, files: Vec<PathBuf>, kind: SourceKind) -> PluginSource {
    PluginSource {
        name: name.display().to_string(),
        root,
        files,
        kind,
    }
}

fn named(name: &str) -> HookEntry {
    HookEntry {
        name: name.to_owned(),
        ..HookEntry::default()
    }
}

fn list(root: &Path, below: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let name = below.join(entry?.file_name());
        let path = root.join(&name);
        if path.is_file() {
            files.push(name);
        } else if path.is_dir() && depth < DEEPEST {
            list(root, &name, depth + 1, files)?;
        }
    }
    Ok(())
}

fn entries(middleware: &CustomMiddleware) -> impl Iterator<Item = (HookType, &HookEntry)> {
    let lists = [
        (HookType::Pre, middleware.pre.as_slice()),
        (
            HookType::CustomKeyCheck,
            std::slice::from_ref(&middleware.auth_check),
        ),
        (HookType::PostKeyAuth, middleware.post_key_auth.as_slice()),
        (HookType::Post, middleware.post.as_slice()),
        (HookType::Response, middleware.response.as_slice()),
    ];
    lists
        .into_iter()
        .flat_map(|(hook_type, entries)| entries.iter().map(move |entry| (hook_type, entry)))
        .filter(|(_, entry)| !entry.name.is_empty())
}

/// The type that `--type` names.
pub(super) fn parse_type(text: Option<&str>) -> Result<Option<HookType>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    let all = [
        HookType::Pre,
        HookType::CustomKeyCheck,
        HookType::PostKeyAuth,
        HookType::Post,
        HookType::Response,
    ];
    match all.into_iter().find(|hook_type| hook_type.as_str() == text) {
        Some(found) => Ok(Some(found)),
        None => {
            let known = all.map(HookType::as_str).join(", ");
            Err(Problem::Usage(format!(
                "no hook type `{text}`; there are: {known}"
            )))
        }
    }
}

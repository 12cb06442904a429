//! What `cargo metadata` says about the workspace: packages, features, languages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::Result;

/// The workspace as Cargo sees it.
#[derive(Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) root: PathBuf,
    pub(crate) target_directory: PathBuf,
    pub(crate) packages: Vec<Package>,
    pub(crate) default_members: BTreeSet<String>,
}

/// One member of the workspace.
#[derive(Debug, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) features: BTreeMap<String, Vec<String>>,
    pub(crate) dependencies: Vec<Dependency>,
    /// `package.metadata.language.remote` of its manifest.
    pub(crate) is_remote: bool,
}

/// One entry of a member's dependency tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// The name that the member knows it by, where that is another one.
    pub(crate) rename: Option<String>,
    /// `normal`, `dev` or `build`.
    pub(crate) kind: String,
    /// A member of this workspace.
    pub(crate) local: bool,
}

/// A language that users choose by a feature of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Language {
    /// The feature, which is also the name that `gateway version` prints.
    pub(crate) feature: String,
    /// The crate that the feature turns on.
    pub(crate) package: String,
    /// What the crate's `embed` feature adds to the graph: the interpreter, and small crates
    /// that a plain build may have as well.
    pub(crate) embedded: Vec<String>,
    /// Its functions live elsewhere, so a binary with it alone needs no more of the suite than
    /// its own module; the rest runs with it and all others. A crate says so of itself.
    pub(crate) is_remote: bool,
}

impl Metadata {
    /// Asks Cargo about the workspace that this program belongs to.
    pub(crate) fn load() -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("Cargo.toml");
        let output = Command::new(cargo)
            .args(["metadata", "--format-version=1", "--no-deps"])
            .arg("--manifest-path")
            .arg(manifest)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| format!("cannot run `cargo metadata`: {error}"))?;
        if !output.status.success() {
            return Err(format!("`cargo metadata` ended with {}", output.status).into());
        }
        Self::parse(&serde_json::from_slice(&output.stdout)?)
    }

    fn parse(json: &Value) -> Result<Self> {
        let packages = array(json, "packages")?;
        let default_ids = array(json, "workspace_default_members")?;
        Ok(Self {
            root: text(json, "workspace_root")?.into(),
            target_directory: text(json, "target_directory")?.into(),
            default_members: packages
                .iter()
                .filter(|package| default_ids.contains(&package["id"]))
                .map(|package| text(package, "name"))
                .collect::<Result<_>>()?,
            packages: packages.iter().map(Package::parse).collect::<Result<_>>()?,
        })
    }

    /// The member of this name.
    pub(crate) fn package(&self, name: &str) -> Result<&Package> {
        self.packages
            .iter()
            .find(|package| package.name == name)
            .ok_or_else(|| format!("the workspace has no package `{name}`").into())
    }

    /// The languages: optional dependencies of the gateway on a `lang-*` crate, each under the
    /// name of the language, which is its feature.
    pub(crate) fn languages(&self) -> Result<Vec<Language>> {
        let gateway = self.package("gateway")?;
        let crates = gateway.dependencies.iter();
        let mut languages = crates
            .filter(|one| one.name.starts_with("lang-"))
            .filter_map(|one| Some((one.rename.clone()?, &one.name)))
            .filter(|(feature, _)| gateway.features.contains_key(feature))
            .map(|(feature, package)| {
                let member = self.package(package)?;
                Ok(Language {
                    embedded: member.embedded(),
                    is_remote: member.is_remote,
                    feature,
                    package: package.clone(),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        languages.sort_by(|one, other| one.feature.cmp(&other.feature));
        if languages.is_empty() {
            return Err(
                "package `gateway` has no optional dependency on a `lang-*` crate under the name \
                 of a language; see gateway/Cargo.toml"
                    .into(),
            );
        }
        Ok(languages)
    }
}

impl Package {
    fn parse(json: &Value) -> Result<Self> {
        let mut features = BTreeMap::new();
        for (feature, enables) in json["features"].as_object().into_iter().flatten() {
            let enables = enables.as_array().into_iter().flatten();
            features.insert(
                feature.clone(),
                enables
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect(),
            );
        }
        Ok(Self {
            name: text(json, "name")?,
            is_remote: json["metadata"]["language"]["remote"] == true,
            features,
            dependencies: array(json, "dependencies")?
                .iter()
                .map(|dependency| {
                    Ok(Dependency {
                        name: text(dependency, "name")?,
                        rename: dependency["rename"].as_str().map(str::to_owned),
                        kind: dependency["kind"].as_str().unwrap_or("normal").to_owned(),
                        local: dependency["path"].is_string(),
                    })
                })
                .collect::<Result<_>>()?,
        })
    }

    /// The optional dependencies behind the feature `embed`.
    pub(crate) fn embedded(&self) -> Vec<String> {
        self.features
            .get("embed")
            .into_iter()
            .flatten()
            .filter_map(|item| item.strip_prefix("dep:"))
            .map(str::to_owned)
            .collect()
    }
}

fn array<'a>(json: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    json[key]
        .as_array()
        .ok_or_else(|| format!("`cargo metadata` gave no list `{key}`").into())
}

fn text(json: &Value, key: &str) -> Result<String> {
    json[key]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("`cargo metadata` gave no text `{key}`").into())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A small workspace with one language, `foo`, whose interpreter crate is `foo-sys`.
    pub(crate) fn sample() -> Metadata {
        let json = serde_json::json!({
            "workspace_root": "/ws",
            "target_directory": "/ws/target",
            "workspace_default_members": ["g"],
            "packages": [
                {
                    "id": "g", "name": "gateway",
                    "features": {
                        "default": [], "external-language": [],
                        "coprocess": ["foo?/embed"],
                        "foo": ["dep:foo"],
                    },
                    "dependencies": [
                        {"name": "lang-null", "rename": null, "kind": null, "path": "/ws/lang-null"},
                        {"name": "lang-foo", "rename": "foo", "kind": null, "path": "/ws/lang-foo"},
                    ],
                },
                {
                    "id": "f", "name": "lang-foo",
                    "features": {"default": ["embed"], "embed": ["dep:foo-sys", "dep:bytes"]},
                    "dependencies": [{"name": "foo-sys", "kind": null}],
                },
            ],
        });
        Metadata::parse(&json).unwrap()
    }

    #[test]
    fn languages_are_crates_under_the_name_of_a_feature() {
        let expected = Language {
            feature: "foo".into(),
            package: "lang-foo".into(),
            embedded: vec!["foo-sys".into(), "bytes".into()],
            is_remote: false,
        };
        assert_eq!(sample().languages().unwrap(), [expected]);
    }

    #[test]
    fn this_workspace_has_languages() {
        let metadata = Metadata::load().unwrap();
        assert!(!metadata.languages().unwrap().is_empty());
        assert!(metadata.default_members.contains("gateway"));
    }

    #[test]
    fn workspace_without_languages_is_an_error() {
        let mut metadata = sample();
        metadata.packages[0].features.remove("foo");
        let error = metadata.languages().unwrap_err().to_string();
        assert!(error.contains("gateway/Cargo.toml"), "{error}");
    }
}

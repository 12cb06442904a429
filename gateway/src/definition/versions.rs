//! The versions of an API and the lists of paths that each has: what is written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// `definition`: how a request says which version it wants.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VersionRule {
    /// `header`, `url` or `url-param`.
    pub location: String,
    /// The header or parameter.
    pub key: String,
    /// Take the version out of the path; an older name of `strip_versioning_data`.
    pub strip_path: bool,
    /// Take the version out of the request.
    pub strip_versioning_data: bool,
    /// A version that does not exist means the default one.
    pub fallback_to_default: bool,
    /// With location `url`: which first segments of a path are versions.
    pub url_versioning_pattern: String,
}

/// `version_data`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VersionData {
    /// There is one version and requests do not name it.
    pub not_versioned: bool,
    /// The version of requests that name none.
    pub default_version: String,
    /// The versions by name.
    pub versions: BTreeMap<String, Version>,
}

impl VersionData {
    /// Whether requests say which version they want.
    pub fn is_versioned(&self) -> bool {
        !self.not_versioned && !self.versions.is_empty()
    }

    /// The versions that requests can be of, with their names. Without a choice it is the one
    /// named `Default`, or the first.
    pub fn used(&self) -> Vec<(&str, &Version)> {
        let all = self.versions.iter();
        let mut all = all.map(|(name, version)| (name.as_str(), version));
        if self.is_versioned() {
            return all.collect();
        }
        let default = self.versions.get_key_value("Default");
        let default = default.map(|(name, version)| (name.as_str(), version));
        default.or_else(|| all.next()).into_iter().collect()
    }
}

/// One version.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Version {
    /// Its name.
    pub name: String,
    /// When it ends, `2006-01-02 15:04` in UTC; empty and `-1` are never.
    pub expires: String,
    /// The older lists of paths, which count where `use_extended_paths` is off.
    pub paths: PlainPaths,
    /// Look at `extended_paths` instead of `paths`.
    pub use_extended_paths: bool,
    /// What is special about single paths.
    pub extended_paths: ExtendedPaths,
    /// The upstream of this version, where it is another one.
    pub override_target: String,
}

/// `paths`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PlainPaths {
    /// Not authenticated.
    pub ignored: Vec<String>,
    /// The only ones that are open.
    pub white_list: Vec<String>,
    /// Closed.
    pub black_list: Vec<String>,
}

/// `extended_paths`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExtendedPaths {
    /// Not authenticated.
    pub ignored: Vec<PathEntry>,
    /// The only ones that are open.
    pub white_list: Vec<PathEntry>,
    /// Closed.
    pub black_list: Vec<PathEntry>,
}

/// One path of a list.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PathEntry {
    /// The pattern.
    pub path: String,
    /// The method; empty is all.
    pub method: String,
    /// Leave this entry out.
    pub disabled: bool,
    /// Upper and lower case are the same.
    pub ignore_case: bool,
    /// What happens by method; where there are some, other methods do not count.
    pub method_actions: BTreeMap<String, MethodAction>,
}

/// What happens to a method of a path.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MethodAction {
    /// `no_action` or `reply`.
    pub action: String,
    /// The status of a reply.
    pub code: u16,
    /// Its body.
    pub data: String,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
}

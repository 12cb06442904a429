//! The versions of an API and the lists of paths that each has: what is written.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// Headers that every request gets.
    pub global_headers: BTreeMap<String, String>,
    /// Headers that every request loses.
    pub global_headers_remove: Vec<String>,
    /// Leave these two aside.
    pub global_headers_disabled: bool,
    /// Headers that every response gets.
    pub global_response_headers: BTreeMap<String, String>,
    /// Headers that every response loses.
    pub global_response_headers_remove: Vec<String>,
    /// Leave these two aside.
    pub global_response_headers_disabled: bool,
    /// Most bytes of a request's body; 0 is no limit.
    pub global_size_limit: u64,
    /// Leave that aside.
    pub global_size_limit_disabled: bool,
}

impl Version {
    /// The extended paths, where they count.
    pub fn extended(&self) -> &ExtendedPaths {
        static NONE: LazyLock<ExtendedPaths> = LazyLock::new(ExtendedPaths::default);
        if self.use_extended_paths {
            &self.extended_paths
        } else {
            &NONE
        }
    }
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
    /// How large a body may be.
    pub size_limits: Vec<SizeLimit>,
    /// The rates of all requests together.
    pub rate_limit: Vec<PathRate>,
    /// How long the upstream may take.
    pub hard_timeouts: Vec<HardTimeout>,
    /// Which method the upstream sees.
    pub method_transforms: Vec<MethodTransform>,
    /// Headers that requests get and lose.
    pub transform_headers: Vec<HeaderTransform>,
    /// Headers that responses get and lose.
    pub transform_response_headers: Vec<HeaderTransform>,
    /// Which URL the upstream sees.
    pub url_rewrites: Vec<UrlRewrite>,
    /// When an upstream that fails is left alone.
    pub circuit_breakers: Vec<CircuitBreaker>,
    /// What becomes of requests' bodies.
    pub transform: Vec<BodyTransform>,
    /// What becomes of responses' bodies.
    pub transform_response: Vec<BodyTransform>,
    /// What bodies must look like.
    pub validate_json: Vec<ValidateJson>,
    /// Answers in the upstream's place.
    pub mock_response: Vec<MockResponse>,
    /// Whose responses are kept.
    pub cache: Vec<String>,
    /// The same, with settings.
    pub advance_cache_config: Vec<CachedPath>,
}

/// Declares entries of a list that have a path, a method and a switch.
macro_rules! entries {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $name {
            /// The pattern.
            pub path: String,
            /// The method; empty is all.
            pub method: String,
            /// Leave this entry out.
            pub disabled: bool,
            $($(#[$field_doc])* pub $field: $type,)*
        }
    )*};
}

entries! {
    /// How often a path may be asked for, by all callers together.
    PathRate {
        /// Requests …
        rate: f64,
        /// … in so many seconds.
        per: f64,
    }

    /// How large a body may be.
    SizeLimit {
        /// Most bytes.
        size_limit: u64,
    }
    /// How long the upstream may take.
    HardTimeout {
        /// Seconds until it must begin its answer.
        timeout: u64,
    }
    /// Which method the upstream sees.
    MethodTransform {
        /// The method.
        to_method: String,
    }
    /// Headers that messages get and lose.
    HeaderTransform {
        /// Names.
        delete_headers: Vec<String>,
        /// Names and values.
        add_headers: BTreeMap<String, String>,
        /// The original's tools write it; it has no effect.
        act_on: bool,
    }
    /// What becomes of bodies.
    BodyTransform {
        /// The template.
        template_data: TemplateData,
    }
    /// What bodies must look like.
    ValidateJson {
        /// The schema.
        schema: Value,
        /// The same in Base64.
        schema_b64: String,
        /// The status of the refusal; 0 is 422.
        error_response_code: u16,
    }
    /// An answer in the upstream's place.
    MockResponse {
        /// Upper and lower case are the same.
        ignore_case: bool,
        /// The status; 0 is 200.
        code: u16,
        /// The body.
        body: String,
        /// The headers.
        headers: BTreeMap<String, String>,
    }
    /// Whose responses are kept.
    CachedPath {
        /// What of a body a response belongs to; empty is all of it.
        cache_key_regex: String,
        /// Only these statuses; empty leaves it to `cache_options`.
        cache_response_codes: Vec<u16>,
        /// Seconds; 0 leaves it to `cache_options`.
        timeout: u64,
    }
    /// When an upstream that fails is left alone.
    CircuitBreaker {
        /// The share of failures, up to 1.
        threshold_percent: f64,
        /// How many answers it takes to tell.
        samples: u64,
        /// Seconds that it is left alone.
        return_to_service_after: u64,
        /// All requests pass afterwards, not one first.
        disable_half_open_state: bool,
    }
    /// Which URL the upstream sees.
    UrlRewrite {
        /// What the URL must look like.
        match_pattern: String,
        /// What it becomes.
        rewrite_to: String,
        /// What it becomes instead, under conditions.
        triggers: Vec<Trigger>,
    }
}

impl MockResponse {
    /// The same as an entry of a list of paths.
    pub fn as_reply(&self) -> PathEntry {
        let action = MethodAction {
            action: "reply".into(),
            code: if self.code == 0 { 200 } else { self.code },
            data: self.body.clone(),
            headers: self.headers.clone(),
        };
        PathEntry {
            path: self.path.clone(),
            disabled: self.disabled,
            ignore_case: self.ignore_case,
            method_actions: BTreeMap::from([(self.method.clone(), action)]),
            ..PathEntry::default()
        }
    }
}

/// A template of bodies.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TemplateData {
    /// `blob` or `file`.
    pub template_mode: String,
    /// The template in Base64, or the name of its file.
    pub template_source: String,
    /// `json` or `xml`.
    pub input_type: String,
    /// The template sees the session's metadata.
    pub enable_session: bool,
}

/// A condition of a rewrite.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Trigger {
    /// `all` or `any` of the kinds of matches must hold.
    pub on: String,
    /// What must match.
    pub options: TriggerOptions,
    /// What the URL becomes then.
    pub rewrite_to: String,
}

/// What must match for a trigger.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TriggerOptions {
    /// Headers.
    pub header_matches: BTreeMap<String, Match>,
    /// Parameters of the query.
    pub query_val_matches: BTreeMap<String, Match>,
    /// Some segment of the path; the names are for the variables.
    pub path_part_matches: BTreeMap<String, Match>,
    /// Values of the session's metadata.
    pub session_meta_matches: BTreeMap<String, Match>,
    /// Variables of the request.
    pub request_context_matches: BTreeMap<String, Match>,
    /// The body.
    pub payload_matches: Match,
}

/// What a value must look like.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Match {
    /// The pattern.
    pub match_rx: String,
    /// It must not look so.
    pub reverse: bool,
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

//! Tyk OAS definitions: an OpenAPI document whose extension says what a gateway does with it.
//!
//! Such a document becomes an [`ApiDefinition`], so that everything behind the reading knows
//! one form. What has no place there is left unread, and told with its path.

mod auth;
mod operations;
mod paths;
mod plugins;
mod server;
mod upstream;

use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::{ApiDefinition, Version};
use crate::json::{self, JsonError, Parsed};

/// The extension.
pub const EXTENSION: &str = "x-tyk-api-gateway";

/// Keys below the extension that, when they ask for something, protect the API.
pub const PROTECTIVE: &[&str] = &[
    "x-tyk-api-gateway.info.versioning.enabled",
    "x-tyk-api-gateway.server.authentication.oidc.enabled",
    "x-tyk-api-gateway.server.authentication.securitySchemes.*.allowedSubjects",
    "x-tyk-api-gateway.server.authentication.securitySchemes.*.customClaimValidation",
    "x-tyk-api-gateway.server.authentication.securitySchemes.*.jtiValidation",
    "x-tyk-api-gateway.server.authentication.securitySchemes.*.signatureValidation.enabled",
    "x-tyk-api-gateway.server.customDomain.enabled",
    "x-tyk-api-gateway.server.port",
    "x-tyk-api-gateway.upstream.authentication.requestSigning.enabled",
    "x-tyk-api-gateway.upstream.certificatePinning.enabled",
    "x-tyk-api-gateway.middleware.global.ignoreCase.enabled",
    "x-tyk-api-gateway.middleware.operations.*.internal.enabled",
    "x-tyk-api-gateway.middleware.operations.*.mockResponse.fromOASExamples.enabled",
    "x-tyk-api-gateway.middleware.operations.*.postPlugins",
    "x-tyk-api-gateway.middleware.operations.*.rateLimit.enabled",
    "x-tyk-api-gateway.middleware.operations.*.virtualEndpoint.enabled",
];

/// What the document says, beside what is looked up in it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Document {
    openapi: String,
    #[serde(rename = "x-tyk-api-gateway")]
    extension: Option<Extension>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Extension {
    info: Info,
    upstream: upstream::Upstream,
    server: server::Server,
    middleware: Middleware,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Info {
    id: String,
    #[serde(rename = "dbId")]
    _db_id: Value,
    org_id: String,
    name: String,
    expiration: String,
    state: State,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    active: bool,
    internal: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Middleware {
    global: plugins::Global,
    operations: operations::Operations,
}

/// What many objects of the extension consist of.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Switch {
    enabled: bool,
}

/// A name and a value.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pair {
    name: String,
    value: String,
}

/// A key that is not done although it is read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// Its path in the document.
    pub path: String,
    /// Why.
    pub reason: String,
    /// The API must not serve without it.
    pub refuses: bool,
}

/// A definition that is being made from a document.
struct Making<'a> {
    document: &'a Value,
    definition: ApiDefinition,
    version: Version,
    lost: Vec<Lost>,
    unread: Vec<String>,
    /// Where tokens are configured.
    jwt: Option<String>,
}

/// What a document has become.
pub struct Made {
    /// The definition, with the keys below the extension that nothing read.
    pub parsed: Parsed<ApiDefinition>,
    /// What else is not done.
    pub lost: Vec<Lost>,
    /// The path of what is said of tokens.
    pub jwt: Option<String>,
}

/// A mistake: where, and what is wrong.
type Mistake = (String, String);

/// Whether a text is such a document, or means to be one.
pub fn is_oas(text: &str) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Probe {
        openapi: Option<IgnoredAny>,
        #[serde(rename = "x-tyk-api-gateway")]
        extension: Option<IgnoredAny>,
    }
    let probe = serde_json::from_str::<Probe>(text).unwrap_or_default();
    probe.openapi.is_some() || probe.extension.is_some()
}

/// The id that a document gives its API.
pub fn id_of(document: &Map<String, Value>) -> Option<&str> {
    document.get(EXTENSION)?.get("info")?.get("id")?.as_str()
}

/// Reads a document.
pub fn read(file: &Path, text: &str) -> Result<Made, JsonError> {
    let parsed = json::parse::<Document>(file, text)?;
    let wrong = |(path, message): Mistake| JsonError {
        file: file.display().to_string(),
        place: None,
        path: Some(path),
        message,
    };
    let Document { openapi, extension } = parsed.value;
    if !openapi.starts_with("3.") {
        let message = format!("`{openapi}` is no version of OpenAPI from 3.0 on");
        return Err(wrong(("openapi".into(), message)));
    }
    let extension = extension.ok_or_else(|| {
        let message = "is missing; it says what the gateway does with the API";
        wrong((EXTENSION.into(), message.into()))
    })?;
    let is_below = |path: &String| path.starts_with(EXTENSION);
    let mut making = Making {
        document: &parsed.raw,
        definition: ApiDefinition::default(),
        version: Version::default(),
        lost: Vec::new(),
        unread: parsed.unread.into_iter().filter(is_below).collect(),
        jwt: None,
    };
    making.make(extension).map_err(wrong)?;
    let Making {
        definition,
        lost,
        unread,
        jwt,
        ..
    } = making;
    Ok(Made {
        parsed: Parsed {
            value: definition,
            raw: parsed.raw,
            unread,
        },
        lost,
        jwt,
    })
}

/// A path below the extension.
fn below(path: &str) -> String {
    format!("{EXTENSION}.{path}")
}

impl Making<'_> {
    fn make(&mut self, extension: Extension) -> Result<(), Mistake> {
        let Extension {
            info,
            upstream,
            server,
            middleware,
        } = extension;
        let definition = &mut self.definition;
        definition.api_id = info.id;
        definition.org_id = info.org_id;
        definition.name = info.name;
        definition.expiration = info.expiration;
        definition.active = info.state.active;
        definition.internal = info.state.internal;
        definition.is_oas = true;
        self.version.name = "Default".into();
        self.version.use_extended_paths = true;
        self.upstream(upstream)?;
        self.server(server)?;
        self.global(middleware.global);
        self.operations(middleware.operations)?;
        let versions = &mut self.definition.version_data;
        versions.not_versioned = true;
        let version = std::mem::take(&mut self.version);
        versions.versions.insert("Default".into(), version);
        Ok(())
    }

    /// Notes a key that is read and not done.
    fn lose(&mut self, path: String, refuses: bool, reason: impl Into<String>) {
        self.lost.push(Lost {
            path,
            reason: reason.into(),
            refuses,
        });
    }
}

/// `1h30m` in seconds.
fn seconds(path: &str, text: &str) -> Result<u64, Mistake> {
    let wrong = || {
        let message = format!("`{text}` is no time; write it like 1h30m or 10s");
        (below(path), message)
    };
    let mut total = 0_u64;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let scale = match rest[digits..].chars().next() {
            Some('h') => 3600,
            Some('m') => 60,
            Some('s') => 1,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(scale).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = &rest[digits + 1..];
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, expected) in [
            ("", Some(0)),
            ("10s", Some(10)),
            ("1h30m", Some(5400)),
            ("2m5s", Some(125)),
            ("10", None),
            ("10ms", None),
            ("s", None),
            ("99999999999999999999h", None),
            ("9999999999999999999h", None),
        ] {
            assert_eq!(seconds("x", text).ok(), expected, "{text}");
        }
    }
}

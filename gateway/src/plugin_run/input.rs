//! The request that a hook is run on, as a file describes it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Problem, wire};
use crate::json;

/// A request, and what goes with it.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Input {
    pub(super) method: String,
    /// `/path?query`, or absolute; then its host is the `Host` header.
    pub(super) url: String,
    pub(super) headers: BTreeMap<String, Values>,
    body: Option<Value>,
    body_base64: Option<String>,
    body_file: Option<PathBuf>,
    #[serde(skip)]
    pub(super) raw_body: Bytes,
    /// The session of the caller, as the admin API shows one.
    pub(super) session: Option<Map<String, Value>>,
    pub(super) config_data: Map<String, Value>,
    pub(super) api_id: String,
    pub(super) org_id: String,
    pub(super) listen_path: String,
    pub(super) client_address: IpAddr,
    /// The upstream's, for response hooks.
    pub(super) response: Option<Response>,
}

/// The upstream's response.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, Values>,
    body: Option<Value>,
    body_base64: Option<String>,
    body_file: Option<PathBuf>,
    #[serde(skip)]
    pub(super) raw_body: Bytes,
}

/// The values of one header.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Values {
    One(String),
    Several(Vec<String>),
}

impl Default for Input {
    fn default() -> Self {
        Self {
            method: "GET".into(),
            url: "/".into(),
            headers: BTreeMap::new(),
            body: None,
            body_base64: None,
            body_file: None,
            raw_body: Bytes::new(),
            session: None,
            config_data: Map::new(),
            api_id: "plugin-run".into(),
            org_id: String::new(),
            listen_path: "/".into(),
            client_address: IpAddr::from([127, 0, 0, 1]),
            response: None,
        }
    }
}

impl Default for Response {
    fn default() -> Self {
        Self {
            status: 200,
            headers: BTreeMap::new(),
            body: None,
            body_base64: None,
            body_file: None,
            raw_body: Bytes::new(),
        }
    }
}

impl Values {
    pub(super) fn all(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }
}

impl Input {
    /// Reads the bodies. Files are relative to the file that names them.
    pub(super) fn complete(mut self, folder: &Path) -> Result<Self, Problem> {
        let said = (
            self.body.take(),
            self.body_base64.take(),
            self.body_file.take(),
        );
        self.raw_body = body(said, folder)?;
        if let Some(response) = &mut self.response {
            let said = (
                response.body.take(),
                response.body_base64.take(),
                response.body_file.take(),
            );
            response.raw_body = body(said, folder)?;
        }
        Ok(self)
    }
}

/// A body, in one of the three ways to say it. What is not text becomes JSON text.
fn body(
    said: (Option<Value>, Option<String>, Option<PathBuf>),
    folder: &Path,
) -> Result<Bytes, Problem> {
    match said {
        (None, None, None) => Ok(Bytes::new()),
        (Some(Value::String(text)), None, None) => Ok(text.into()),
        (Some(json), None, None) => Ok(json.to_string().into()),
        (None, Some(text), None) => BASE64_STANDARD
            .decode(text)
            .map(Bytes::from)
            .map_err(|error| Problem::Usage(format!("body_base64: {error}"))),
        (None, None, Some(file)) => {
            let path = folder.join(file);
            let wrong = |error| Problem::Usage(format!("body_file: {}: {error}", path.display()));
            fs::read(&path).map(Bytes::from).map_err(wrong)
        }
        _ => Err(Problem::Usage(
            "body, body_base64 and body_file are three ways to say one thing; give one".into(),
        )),
    }
}

/// Reads the file that is named; `-` is standard input.
pub(super) fn read(path: &Path) -> Result<Input, Problem> {
    let bytes = if path == Path::new("-") {
        let mut bytes = Vec::new();
        let outcome = std::io::stdin().lock().read_to_end(&mut bytes);
        outcome.map(|_| bytes)
    } else {
        fs::read(path)
    };
    let wrong = |reason: String| Problem::Usage(format!("{}: {reason}", path.display()));
    let bytes = bytes.map_err(|error| wrong(error.to_string()))?;
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'{') {
        return wire::read(&bytes).map_err(wrong);
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| wrong(error.to_string()))?;
    let parsed = json::parse::<Input>(path, text);
    let input = parsed.map_err(|error| Problem::Usage(error.to_string()))?;
    input.value.complete(path.parent().unwrap_or(Path::new("")))
}

//! The lists of paths of a version, and what happens on a path of one.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::chain::Flow;
use crate::coprocess::overrides::sniff;
use crate::definition::{MethodAction, PathEntry, Version as Written};
use crate::traffic::paths::{Meaning, Rule, Rules};
use crate::upstream::body::ResponseBody;

/// What happens on a path of a list.
pub(super) enum Action {
    /// What the list is for.
    Usual,
    /// An answer that the definition has ready.
    Reply(Box<Reply>),
}

pub(super) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// The three lists of a version, whichever way they are written.
pub(super) struct Lists {
    pub(super) closed: Vec<PathEntry>,
    pub(super) ignored: Vec<PathEntry>,
    pub(super) open: Vec<PathEntry>,
}

// === impl Lists ===

impl Lists {
    pub(super) fn of(version: &Written) -> Self {
        if version.use_extended_paths {
            return Self::extended(version);
        }
        let paths = &version.paths;
        let list = |paths: &[String]| {
            let entry = |path: &String| PathEntry {
                path: path.clone(),
                ..PathEntry::default()
            };
            paths.iter().map(entry).collect()
        };
        Self {
            closed: list(&paths.black_list),
            ignored: list(&paths.ignored),
            open: list(&paths.white_list),
        }
    }

    pub(super) fn extended(version: &Written) -> Self {
        let paths = &version.extended_paths;
        Self {
            closed: paths.black_list.clone(),
            ignored: paths.ignored.clone(),
            open: paths.white_list.clone(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.ignored.is_empty() && self.open.is_empty()
    }
}

pub(super) fn compile(
    entries: &[PathEntry],
    meaning: Meaning,
) -> Result<Option<Rules<Action>>, String> {
    let mut rules = Vec::new();
    let mut push = |entry, method, value| rules.push(rule(entry, method, value));
    for (place, entry) in entries.iter().enumerate() {
        if entry.disabled {
            continue;
        }
        if entry.method_actions.is_empty() {
            push(entry, &entry.method, Action::Usual);
        }
        for (method, action) in &entry.method_actions {
            let value = Action::new(action)
                .map_err(|wrong| format!("[{place}].method_actions.{method}.{wrong}"))?;
            push(entry, method, value);
        }
    }
    Rules::compile(rules, meaning)
}

fn rule<'a>(entry: &'a PathEntry, method: &'a str, value: Action) -> Rule<'a, Action> {
    Rule {
        path: &entry.path,
        method,
        ignore_case: entry.ignore_case,
        value,
    }
}

// === impl Action, Reply ===

impl Action {
    fn new(written: &MethodAction) -> Result<Self, String> {
        match written.action.as_str() {
            "" | "no_action" => return Ok(Self::Usual),
            "reply" => {}
            other => return Err(format!("action: `{other}` is not one of no_action, reply")),
        }
        let status = StatusCode::from_u16(written.code).ok();
        let status = status.filter(|status| !status.is_informational());
        let status = status.ok_or_else(|| format!("code: {} is no status", written.code))?;
        let mut headers = HeaderMap::new();
        for (name, value) in &written.headers {
            let wrong = |what: &str| format!("headers: `{name}` {what}");
            let parsed = HeaderName::from_bytes(name.as_bytes());
            let parsed = parsed.map_err(|_| wrong("is no header"))?;
            let value = HeaderValue::from_str(value).map_err(|_| wrong("has an unusable value"))?;
            // The body is ours to frame.
            if parsed != header::CONTENT_LENGTH && parsed != header::TRANSFER_ENCODING {
                headers.insert(parsed, value);
            }
        }
        if !written.data.is_empty() && !headers.contains_key(header::CONTENT_TYPE) {
            let found = HeaderValue::from_static(sniff(&written.data));
            headers.insert(header::CONTENT_TYPE, found);
        }
        Ok(Self::Reply(Box::new(Reply {
            status,
            headers,
            body: written.data.clone().into(),
        })))
    }
}

impl Reply {
    pub(super) fn flow(&self) -> Flow {
        let mut response = Response::new(ResponseBody::full(self.body.clone()));
        *response.status_mut() = self.status;
        response.headers_mut().clone_from(&self.headers);
        Flow::Respond(response)
    }
}

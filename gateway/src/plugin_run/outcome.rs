//! What a run did: messages before and after, as data and as lines.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use coprocess_core::canonical_name;
use http::HeaderMap;
use serde_json::{Map, Value, json};

use super::host::Record;

/// How much of a body that is not text is shown.
const SHOWN_BYTES: usize = 24;

/// One run of one hook.
pub(super) struct Outcome {
    pub(super) before: Message,
    pub(super) result: Result<Effect, String>,
    pub(super) record: Record,
    pub(super) took: Duration,
}

/// What a hook that ran has done.
pub(super) enum Effect {
    /// The request, or the response of a response hook, as it goes on.
    GoesOn(Message),
    /// The hook answers the client itself; the request as it is by then, and the answer.
    Answers(Message, Message),
    /// An `auth_check` hook accepted the caller: the request, and the session as the admin
    /// API will show it.
    Accepts(Message, Value),
    /// It did not.
    Rejects(Message),
}

/// A request or a response.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) start: Start,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What a message begins with.
#[derive(Debug, Clone)]
pub(super) enum Start {
    Request { method: String, url: String },
    Response { status: u16 },
}

impl Message {
    /// The message as text lines, for people and for comparison. Headers come in the order
    /// of their names: a changed value must not look like a moved line.
    pub(super) fn lines(&self) -> String {
        let mut text = match &self.start {
            Start::Request { method, url } => format!("{method} {url}\n"),
            Start::Response { status } => format!("{status}\n"),
        };
        for (name, values) in self.header_values() {
            for value in values {
                text.push_str(&format!("{name}: {value}\n"));
            }
        }
        text.push('\n');
        match std::str::from_utf8(&self.body) {
            Ok(body) if body.is_empty() || body.ends_with('\n') => text.push_str(body),
            Ok(body) => {
                text.push_str(body);
                text.push('\n');
            }
            Err(_) => {
                let shown = &self.body[..self.body.len().min(SHOWN_BYTES)];
                let hex: Vec<_> = shown.iter().map(|byte| format!("{byte:02x}")).collect();
                let (length, hex) = (self.body.len(), hex.join(" "));
                text.push_str(&format!("({length} bytes that are not text: {hex} …)\n"));
            }
        }
        text
    }

    fn header_values(&self) -> Vec<(String, Vec<String>)> {
        let mut headers: Vec<_> = self
            .headers
            .keys()
            .map(|name| {
                let values = self.headers.get_all(name).iter();
                let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
                let values = values.map(std::borrow::Cow::into_owned).collect();
                (canonical_name(name).into_owned(), values)
            })
            .collect();
        headers.sort();
        headers
    }

    /// The message as data.
    pub(super) fn to_json(&self) -> Value {
        let mut message = match &self.start {
            Start::Request { method, url } => json!({ "method": method, "url": url }),
            Start::Response { status } => json!({ "status": status }),
        };
        let headers: Map<_, _> = self
            .header_values()
            .into_iter()
            .map(|(name, values)| {
                let value = match <[String; 1]>::try_from(values) {
                    Ok([one]) => Value::from(one),
                    Err(several) => Value::from(several),
                };
                (name, value)
            })
            .collect();
        message["headers"] = headers.into();
        let (key, value) = bytes_as_json("body", &self.body);
        message[key] = value;
        message
    }
}

/// Bytes as text where they are, else in Base64 under a name that says so.
pub(super) fn bytes_as_json(key: &str, bytes: &[u8]) -> (String, Value) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (key.to_owned(), text.into()),
        Err(_) => (
            format!("{key}_base64"),
            BASE64_STANDARD.encode(bytes).into(),
        ),
    }
}

impl Outcome {
    /// All of it as one JSON object.
    pub(super) fn to_json(&self) -> Value {
        let mut all = json!({
            "ok": self.result.is_ok(),
            "before": self.before.to_json(),
            "took_us": self.took.as_secs_f64() * 1e6,
        });
        match &self.result {
            Err(error) => all["error"] = error.as_str().into(),
            Ok(Effect::GoesOn(after)) => all["after"] = after.to_json(),
            Ok(Effect::Answers(after, answer)) => {
                all["after"] = after.to_json();
                all["overrides"] = answer.to_json();
            }
            Ok(Effect::Accepts(after, session)) => {
                all["after"] = after.to_json();
                all["accepted"] = true.into();
                all["session"] = session.clone();
            }
            Ok(Effect::Rejects(after)) => {
                all["after"] = after.to_json();
                all["accepted"] = false.into();
            }
        }
        let logs = self.record.logs.iter().map(|(level, message)| {
            json!({ "level": format!("{level:?}").to_lowercase(), "message": message })
        });
        all["logs"] = logs.collect();
        let events = self.record.events.iter();
        let events = events.map(|(name, payload)| json!({ "name": name, "payload": payload }));
        all["events"] = events.collect();
        let data = self.record.data.iter().map(|(key, (value, ttl))| {
            let mut stored = json!({ "ttl": ttl });
            let (name, value) = bytes_as_json("value", value);
            stored[name] = value;
            (key.clone(), stored)
        });
        all["data"] = Value::Object(data.collect());
        all
    }
}

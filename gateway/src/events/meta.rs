//! What an event tells about itself: a message, the request, and fields by the event's kind.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use coprocess_core::canonical_name;
use http::header;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::exchange::Exchange;
use crate::upstream::body::RequestBody;

/// Most bytes of a request that travel with an event. A body that does not fit is left
/// out, a head that does not fit is cut.
const MAX_REQUEST: usize = 16 << 10;

/// The `Meta` of an event. Its JSON keys are the contract's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    message: String,
    /// HTTP/1.1 as it would be on the wire; empty for system events.
    request: Vec<u8>,
    /// More keys, in the order in which they are written.
    fields: Vec<(&'static str, Value)>,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    Text(String),
    Number(i64),
}

impl fmt::Display for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Number(number) => number.fmt(formatter),
        }
    }
}

impl Meta {
    /// A message and nothing else.
    pub fn new(message: &str) -> Self {
        Self {
            message: message.to_owned(),
            request: Vec::new(),
            fields: Vec::new(),
        }
    }

    /// What events about a caller tell: where the request went, where it came from, and
    /// the key that it was made with, as far as that is known.
    pub fn of_key(message: &str, exchange: &Exchange, key: &str) -> Self {
        let origin = exchange.client.text.to_str().unwrap_or_default();
        let mut meta = Self::new(message)
            .with("Path", exchange.head.uri.path())
            .with("Origin", origin)
            .with("Key", key);
        meta.request = wire(exchange);
        meta
    }

    /// The same with one more field.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: &str) -> Self {
        self.fields.push((key, Value::Text(value.to_owned())));
        self
    }

    /// The same with one more number.
    #[must_use]
    pub fn with_number(mut self, key: &'static str, value: i64) -> Self {
        self.fields.push((key, Value::Number(value)));
        self
    }

    /// The same without the request, for when it is not whole any more.
    #[must_use]
    pub fn without_request(mut self) -> Self {
        self.request = Vec::new();
        self
    }

    /// `Message`.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// The value of a field.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(name, _)| *name == key);
        match found {
            Some((_, Value::Text(text))) => Some(text),
            _ => None,
        }
    }

    /// All keys with their values.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let fields = self.fields.iter();
        [
            ("Message", Value::Text(self.message.clone())),
            (
                "OriginatingRequest",
                Value::Text(STANDARD.encode(&self.request)),
            ),
        ]
        .into_iter()
        .chain(fields.map(|(key, value)| (*key, value.clone())))
    }

    /// About as many bytes as it takes.
    pub(super) fn size(&self) -> usize {
        let sizes = self.fields.iter().map(|(_, value)| match value {
            Value::Text(text) => text.len(),
            Value::Number(_) => size_of::<i64>(),
        });
        let fields: usize = sizes.sum();
        self.message.len() + self.request.len() + fields
    }
}

impl Serialize for Meta {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len() + 2))?;
        for (key, value) in self.entries() {
            map.serialize_entry(key, &value)?;
        }
        map.end()
    }
}

/// The request as the chain has left it, in HTTP/1.1.
fn wire(exchange: &Exchange) -> Vec<u8> {
    let head = &exchange.head;
    let target = head
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let mut wire = format!("{} {target} HTTP/1.1\r\n", head.method).into_bytes();
    let host = head.headers.get(header::HOST);
    let host = host.map(|value| (&header::HOST, value));
    let others = head
        .headers
        .iter()
        .filter(|(name, _)| *name != header::HOST);
    for (name, value) in host.into_iter().chain(others) {
        wire.extend_from_slice(canonical_name(name).as_bytes());
        wire.extend_from_slice(b": ");
        wire.extend_from_slice(value.as_bytes());
        wire.extend_from_slice(b"\r\n");
        if wire.len() > MAX_REQUEST {
            break;
        }
    }
    wire.extend_from_slice(b"\r\n");
    if let RequestBody::Whole(body) = &exchange.body
        && wire.len() + body.len() <= MAX_REQUEST
    {
        wire.extend_from_slice(body);
    }
    wire.truncate(MAX_REQUEST);
    wire
}

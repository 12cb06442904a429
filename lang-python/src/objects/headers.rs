//! Headers that were sent and what a hook changes in them, without a map of all.

use std::borrow::Cow;
use std::sync::Arc;

use coprocess_core::{StringMap, canonical_name, first_values};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Headers as they were sent, and the changes since.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EditedHeaders {
    sent: Arc<HeaderMap>,
    /// Name and new value, nothing where it was removed. Each name is there once at most.
    edits: Vec<(String, Option<String>)>,
}

impl EditedHeaders {
    pub(crate) fn new(sent: Arc<HeaderMap>) -> Self {
        Self {
            sent,
            edits: Vec::new(),
        }
    }

    /// The first value of a header, by its name as plugins know it.
    pub(crate) fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        if let Some((_, edited)) = self.edits.iter().find(|(edited, _)| edited == name) {
            return edited.as_deref().map(Cow::Borrowed);
        }
        let value = self.sent.get(name)?;
        Some(String::from_utf8_lossy(value.as_bytes()))
    }

    /// Sets a header, or removes it.
    pub(crate) fn edit(&mut self, name: String, value: Option<String>) {
        let mut edits = self.edits.iter_mut();
        match edits.find(|(edited, _)| *edited == name) {
            Some(edit) => edit.1 = value,
            None => self.edits.push((name, value)),
        }
    }

    /// All of them as a map.
    pub(crate) fn to_map(&self) -> StringMap {
        let mut map = first_values(&self.sent);
        for (name, value) in &self.edits {
            match value {
                Some(value) => drop(map.insert(name.clone(), value.clone())),
                None => drop(map.shift_remove(name)),
            }
        }
        map
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.to_map().is_empty()
    }

    /// Ends the view on what was sent: the changes alone.
    pub(crate) fn into_edits(self) -> Edits {
        Edits(self.edits)
    }
}

/// Changes of headers, apart from those that they are made to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Edits(Vec<(String, Option<String>)>);

impl Edits {
    pub(crate) fn of(self, sent: Arc<HeaderMap>) -> EditedHeaders {
        EditedHeaders {
            sent,
            edits: self.0,
        }
    }

    /// Makes the changes, all or none: whether they can be made. A value takes the place of
    /// the first of its name. What frames the message is not the hook's to change.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) -> bool {
        let parsed: Option<Vec<_>> = self.0.iter().map(parsed).collect();
        let Some(parsed) = parsed else { return false };
        for (name, value) in parsed {
            let is_gateways = matches!(
                name,
                header::HOST | header::CONTENT_LENGTH | header::TRANSFER_ENCODING
            );
            match value {
                _ if is_gateways => {}
                None => drop(headers.remove(name)),
                Some((text, value)) => match headers.get_mut(&name) {
                    // As it is shown; its bytes may not be text.
                    Some(sent) if String::from_utf8_lossy(sent.as_bytes()) == text => {}
                    Some(sent) => *sent = value,
                    None => drop(headers.insert(name, value)),
                },
            }
        }
        true
    }
}

type Field<'a> = (HeaderName, Option<(&'a str, HeaderValue)>);

fn parsed((name, value): &(String, Option<String>)) -> Option<Field<'_>> {
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    let value = match value {
        Some(text) => Some((text.as_str(), HeaderValue::from_str(text).ok()?)),
        None => None,
    };
    Some((name, value))
}

/// A header's name as plugins know it; text that is no name stays as it is.
pub(crate) fn header_key(key: &str) -> Cow<'_, str> {
    match HeaderName::from_bytes(key.as_bytes()) {
        Ok(name) => canonical_name(&name),
        Err(_) => Cow::Borrowed(key),
    }
}

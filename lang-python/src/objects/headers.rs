//! Headers that were sent and what a hook changes in them, without a map of all.

use std::borrow::Cow;
use std::sync::Arc;

use coprocess_core::{
    HeaderEdit, StringMap, canonical_name, first_values, is_gateways_own, set_first_value,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers as they were sent, and the changes since.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct EditedHeaders {
    sent: Arc<HeaderMap>,
    edits: Edits,
}

/// Changes of headers, apart from those that they are made to. Each name is there once.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Edits(Vec<(HeaderName, Edit)>);

#[derive(Debug, Clone, PartialEq)]
enum Edit {
    Removed,
    Set(HeaderValue),
    /// What no header can be set to, which is for the gateway to tell.
    Unfit(String),
}

impl Edit {
    fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Removed => None,
            Self::Set(value) => Some(shown(value)),
            Self::Unfit(text) => Some(Cow::Borrowed(text)),
        }
    }
}

impl EditedHeaders {
    pub(crate) fn new(sent: Arc<HeaderMap>, edits: Edits) -> Self {
        Self { sent, edits }
    }

    /// The first value of a header, its name in any case.
    pub(crate) fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut edits = self.edits.0.iter();
        match edits.find(|(edited, _)| edited.as_str().eq_ignore_ascii_case(name)) {
            Some((_, edit)) => edit.text(),
            None => self.sent.get(name).map(shown),
        }
    }

    /// Sets a header, or removes it; whether its name is one.
    pub(crate) fn edit(&mut self, name: &str, value: Option<&str>) -> bool {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
            return false;
        };
        let edit = match value {
            None => Edit::Removed,
            Some(text) => match HeaderValue::from_str(text) {
                Ok(value) => Edit::Set(value),
                Err(_) => Edit::Unfit(text.to_owned()),
            },
        };
        let edits = &mut self.edits.0;
        match edits.iter_mut().find(|(edited, _)| *edited == name) {
            Some(known) => known.1 = edit,
            None => edits.push((name, edit)),
        }
        true
    }

    /// All of them as a map.
    pub(crate) fn to_map(&self) -> StringMap {
        let mut map = first_values(&self.sent);
        for (name, edit) in &self.edits.0 {
            let name = canonical_name(name);
            match edit.text() {
                Some(text) => drop(map.insert(name.into_owned(), text.into_owned())),
                None => drop(map.shift_remove(&name)),
            }
        }
        map
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.to_map().is_empty()
    }

    /// Ends the view on what was sent: the changes alone.
    pub(crate) fn into_edits(self) -> Edits {
        self.edits
    }
}

impl Edits {
    /// Whether all of them can be made.
    pub(crate) fn are_fit(&self) -> bool {
        let mut edits = self.0.iter();
        !edits.any(|(_, edit)| matches!(edit, Edit::Unfit(_)))
    }

    /// Makes the changes that can be made, and gives back the others, of which there are none
    /// below the most headers of a message. What frames it is not the hook's to change.
    pub(crate) fn apply(self, headers: &mut HeaderMap) -> Vec<HeaderEdit> {
        let mut left = Vec::new();
        for (name, edit) in self.0 {
            match edit {
                _ if is_gateways_own(&name) => {}
                Edit::Unfit(_) => {}
                Edit::Removed => drop(headers.remove(name)),
                Edit::Set(value) => {
                    if !set_first_value(headers, name.clone(), value.clone()) {
                        left.push(HeaderEdit {
                            key: canonical_name(&name).into_owned(),
                            value: Some(shown(&value).into_owned()),
                        });
                    }
                }
            }
        }
        left
    }
}

fn shown(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}

/// A header's name as plugins know it; text that is no name stays as it is.
pub(crate) fn header_key(key: &str) -> Cow<'_, str> {
    match HeaderName::from_bytes(key.as_bytes()) {
        Ok(name) => canonical_name(&name),
        Err(_) => Cow::Borrowed(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("set-cookie", &b"a=1"[..]),
            ("set-cookie", b"b=2"),
            ("content-length", b"3"),
            ("x-bytes", b"\xe9"),
            ("x-one", b"1"),
        ] {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    fn check(edits: &[(&str, Option<&str>)], expected: &[(&str, &[u8])]) {
        let mut edited = EditedHeaders::new(Arc::new(sent()), Edits::default());
        for (name, value) in edits {
            assert!(edited.edit(name, *value));
        }
        let mut headers = sent();
        assert_eq!(edited.into_edits().apply(&mut headers), []);
        let mut found: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected, "after {edits:?}");
    }

    #[test]
    fn only_what_was_changed_is_different_afterwards() {
        let (length, bytes) = (("content-length", &b"3"[..]), ("x-bytes", &b"\xe9"[..]));
        let (a, b) = (("set-cookie", &b"a=1"[..]), ("set-cookie", &b"b=2"[..]));
        let one = ("x-one", &b"1"[..]);
        let as_it_was = [length, a, b, bytes, one];
        check(&[], &as_it_was);
        check(&[("X-Bytes", Some("\u{fffd}"))], &as_it_was);
        check(
            &[("Content-Length", Some("9")), ("content-length", None)],
            &as_it_was,
        );
        check(&[("Set-Cookie", None)], &[length, bytes, one]);
        check(
            &[("Set-Cookie", Some("c")), ("X-ONE", Some("2"))],
            &[length, b, ("set-cookie", b"c"), bytes, ("x-one", b"2")],
        );
        check(
            &[("x-new", Some("1")), ("X-New", Some("2")), ("x-one", None)],
            &[length, a, b, bytes, ("x-new", b"2")],
        );
    }

    #[test]
    fn changes_are_seen_by_names_in_any_case_and_in_the_map_of_all() {
        let mut edited = EditedHeaders::new(Arc::new(sent()), Edits::default());
        assert!(edited.edit("x-new", Some("new\n")) && edited.edit("X-ONE", None));
        assert!(!edited.edit("no name", Some("")));
        assert_eq!(edited.get("X-New").as_deref(), Some("new\n"));
        assert_eq!(edited.get("set-COOKIE").as_deref(), Some("a=1"));
        assert_eq!(edited.get("x-one"), None);
        let map = edited.to_map();
        let names: Vec<_> = map.keys().map(String::as_str).collect();
        assert_eq!(names, ["Set-Cookie", "Content-Length", "X-Bytes", "X-New"]);
        assert!(!edited.into_edits().are_fit());
    }
}

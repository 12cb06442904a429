//! The response that a response hook sees and may change.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use crate::headers::{from_canonical, is_gateways_own, set_first_value};
use crate::object::text;
use crate::{StringMap, all_values, first_values, is_canonical};

/// The upstream's response, and what a hook changes in it.
#[derive(Debug)]
pub struct Response {
    /// The status; a hook may replace it.
    pub status_code: i32,
    /// The headers as the upstream sent them, or as the hook before left them.
    pub headers: HeaderMap,
    /// Set by a language when the hook looked at the headers in a way that may have
    /// changed them; the gateway works out what did change. A language that knows that
    /// itself may change `headers` instead, but for the fields that are the gateway's own:
    /// `Host`, `Content-Length` and `Transfer-Encoding`.
    pub edited_headers: Option<ResponseHeaders>,
    /// Edits of single headers, for as long as there are no `edited_headers`: see
    /// [`edit_header`](Self::edit_header).
    pub header_edits: Vec<HeaderEdit>,
    /// The whole body; a hook may replace it.
    pub raw_body: Bytes,
    /// The hook entry asked not to be shown the body as text.
    pub raw_body_only: bool,
}

impl Response {
    /// The headers as plugins see them, in both forms.
    pub fn header_views(&self) -> ResponseHeaders {
        ResponseHeaders {
            headers: first_values(&self.headers),
            multivalue_headers: all_values(&self.headers),
        }
    }

    /// Sets one entry of the form that has first values, at once where nothing was edited in
    /// another way before. Costs less than [`edit_header`](Self::edit_header) of two texts.
    pub fn set_header(&mut self, key: &str, value: &str) {
        if self.edited_headers.is_none()
            && self.header_edits.is_empty()
            && let Some(name) = from_canonical(key)
            && let Ok(field) = HeaderValue::from_str(value)
            && (is_gateways_own(&name) || set_first_value(&mut self.headers, name, field))
        {
            return;
        }
        // What cannot be a header, or is one too many, is for the gateway to refuse.
        self.edit_header(key.to_owned(), Some(value.to_owned()));
    }

    /// Sets one entry of the form that has first values, or takes it out. Costs little: the
    /// other headers are neither shown nor looked at again.
    pub fn edit_header(&mut self, key: String, value: Option<String>) {
        let edit = HeaderEdit { key, value };
        match &mut self.edited_headers {
            Some(edited) => edit.apply(edited),
            // Under another spelling it is another entry beside the one that is there.
            None if is_canonical(&edit.key) => self.header_edits.push(edit),
            None => edit.apply(self.edited_headers_mut()),
        }
    }

    /// Both forms, as they were edited so far, to be edited further.
    pub fn edited_headers_mut(&mut self) -> &mut ResponseHeaders {
        let views = match self.edited_headers.take() {
            Some(edited) => edited,
            None => self.edited_views(),
        };
        self.header_edits.clear();
        self.edited_headers.insert(views)
    }

    /// Both forms as the hook left them; nothing when it did not edit any.
    pub fn edited(&self) -> Option<ResponseHeaders> {
        match &self.edited_headers {
            None if self.header_edits.is_empty() => None,
            None => Some(self.edited_views()),
            edited => edited.clone(),
        }
    }

    fn edited_views(&self) -> ResponseHeaders {
        let mut views = self.header_views();
        for edit in &self.header_edits {
            edit.clone().apply(&mut views);
        }
        views
    }

    /// The body as text; empty when it is not UTF-8 or the hook entry says `raw_body_only`.
    pub fn body(&self) -> &str {
        text(&self.raw_body, self.raw_body_only)
    }
}

/// An edit of one header of a response, in the form that has first values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderEdit {
    /// The name, written as plugins know it.
    pub key: String,
    /// The new value; nothing where the name was taken out.
    pub value: Option<String>,
}

impl HeaderEdit {
    fn apply(self, edited: &mut ResponseHeaders) {
        match self.value {
            Some(value) => drop(edited.headers.insert(self.key, value)),
            None => drop(edited.headers.shift_remove(&self.key)),
        }
    }
}

/// The headers of a response in the two forms that plugins may edit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResponseHeaders {
    /// First value of each.
    pub headers: StringMap,
    /// All values of each.
    pub multivalue_headers: Vec<Header>,
}

/// A header with all its values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// The name.
    pub key: String,
    /// The values, in order.
    pub values: Vec<String>,
}

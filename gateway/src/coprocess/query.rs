//! Edits of the query that a hook asks for. Parameters that it does not name keep their
//! order and their spelling.

use std::borrow::Cow;

use coprocess_core::Request;
use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use super::convert::Unusable;

/// What stands for itself in a query value.
pub(crate) const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// `base` without the parameters that the hook removes or replaces, and with those that it
/// adds at the end.
pub(super) fn edit(base: &Uri, request: &Request) -> Result<Uri, Unusable> {
    let goes = |key: &str| {
        request.delete_params.iter().any(|name| name == key) || request.add_params.contains_key(key)
    };
    let mut target = base.path().to_owned();
    let mut separator = '?';
    let mut push = |pair: &str| {
        target.push(separator);
        target.push_str(pair);
        separator = '&';
    };
    for pair in base
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let key = pair.split('=').next().unwrap_or_default();
        if !goes(&decode(key)) {
            push(pair);
        }
    }
    for (key, value) in &request.add_params {
        let key = utf8_percent_encode(key, ENCODED);
        push(&format!("{key}={}", utf8_percent_encode(value, ENCODED)));
    }
    PathAndQuery::try_from(target)
        .map(Uri::from)
        .map_err(|error| format!("hook left a query that cannot be sent: {error}"))
}

/// The target without the parameters of this name.
pub(crate) fn without(base: &Uri, key: &str) -> Result<Uri, String> {
    let pairs = base.query().unwrap_or_default().split('&');
    let kept: Vec<_> = pairs
        .filter(|pair| decode(pair.split('=').next().unwrap_or_default()) != key)
        .collect();
    let mut target = base.path().to_owned();
    if !kept.is_empty() {
        target.push('?');
        target.push_str(&kept.join("&"));
    }
    PathAndQuery::try_from(target)
        .map(Uri::from)
        .map_err(|error| error.to_string())
}

/// The target with another path.
pub(crate) fn with_path(base: &Uri, path: &str) -> Result<Uri, String> {
    let target = match base.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    target.map(Uri::from).map_err(|error| error.to_string())
}

/// A segment of a path, decoded.
pub(crate) fn decode_path(segment: &str) -> String {
    percent_decode(segment.as_bytes())
        .decode_utf8_lossy()
        .into_owned()
}

/// A name or value of a query, decoded.
pub(crate) fn decode(key: &str) -> Cow<'_, str> {
    if key.contains(['%', '+']) {
        let spaced = key.replace('+', " ");
        Cow::Owned(
            percent_decode(spaced.as_bytes())
                .decode_utf8_lossy()
                .into_owned(),
        )
    } else {
        Cow::Borrowed(key)
    }
}

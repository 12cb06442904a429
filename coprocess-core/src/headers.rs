//! Header names as plugins see them: `X-Request-Id`, not `x-request-id`.

use std::borrow::Cow;

use http::header::Entry;
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Writes a header name the way plugins know it: the first letter and each letter after a
/// `-` in upper case, the rest in lower case.
///
/// The names that nearly every request carries come from a table, without allocation.
pub fn canonical_name(name: &HeaderName) -> Cow<'static, str> {
    match common_name(name.as_str()) {
        Some(common) => Cow::Borrowed(common),
        None => Cow::Owned(capitalise(name.as_str())),
    }
}

/// Whether a text is a header name, written the way plugins know it.
pub fn is_canonical(name: &str) -> bool {
    from_canonical(name).is_some()
}

/// The header's name, where the text is one and written the way plugins know it.
pub(crate) fn from_canonical(name: &str) -> Option<HeaderName> {
    let mut upper = true;
    let rightly_written = name.bytes().all(|byte| {
        let right = !if upper {
            byte.is_ascii_lowercase()
        } else {
            byte.is_ascii_uppercase()
        };
        upper = byte == b'-';
        right
    });
    if !rightly_written {
        return None;
    }
    HeaderName::from_bytes(name.as_bytes()).ok()
}

/// Framing and routing: what a hook sets here has no effect, because the message on the
/// wire must be what these say.
pub fn is_gateways_own(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::HOST | header::CONTENT_LENGTH | header::TRANSFER_ENCODING
    )
}

/// Sets the first value of a header, as a hook does that is shown first values. Whether there
/// was room: a message has no more than some 24,000 names.
#[must_use]
pub fn set_first_value(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> bool {
    match headers.try_entry(name) {
        Err(_) => return false,
        // What was not text is shown as one that is not it; as long as that stays, it does.
        Ok(Entry::Occupied(first)) if shows_as(first.get(), &value) => {}
        Ok(Entry::Occupied(mut first)) => *first.get_mut() = value,
        Ok(Entry::Vacant(place)) => return place.try_insert(value).is_ok(),
    }
    true
}

fn shows_as(sent: &HeaderValue, value: &HeaderValue) -> bool {
    String::from_utf8_lossy(sent.as_bytes()).as_bytes() == value.as_bytes()
}

fn capitalise(name: &str) -> String {
    let mut upper = true;
    let written = name.bytes().map(|letter| {
        let written = if upper {
            letter.to_ascii_uppercase()
        } else {
            letter.to_ascii_lowercase()
        };
        upper = letter == b'-';
        written
    });
    String::from_utf8(written.collect()).expect("letters of ASCII change into such")
}

fn common_name(name: &str) -> Option<&'static str> {
    Some(match name {
        "accept" => "Accept",
        "accept-encoding" => "Accept-Encoding",
        "accept-language" => "Accept-Language",
        "authorization" => "Authorization",
        "cache-control" => "Cache-Control",
        "connection" => "Connection",
        "content-encoding" => "Content-Encoding",
        "content-length" => "Content-Length",
        "content-type" => "Content-Type",
        "cookie" => "Cookie",
        "date" => "Date",
        "etag" => "Etag",
        "host" => "Host",
        "origin" => "Origin",
        "referer" => "Referer",
        "server" => "Server",
        "set-cookie" => "Set-Cookie",
        "transfer-encoding" => "Transfer-Encoding",
        "user-agent" => "User-Agent",
        "x-forwarded-for" => "X-Forwarded-For",
        "x-request-id" => "X-Request-Id",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_plugins_know_them() {
        for (wire, shown) in [
            ("host", "Host"),
            ("x-request-id", "X-Request-Id"),
            ("x-RATELIMIT-limit", "X-Ratelimit-Limit"),
            ("etag", "Etag"),
            ("a", "A"),
            ("x--y", "X--Y"),
        ] {
            let name = HeaderName::from_bytes(wire.as_bytes()).unwrap();
            assert_eq!(canonical_name(&name), shown);
        }
    }

    #[test]
    fn a_name_in_any_other_spelling_is_told() {
        for (name, expected) in [
            ("Host", true),
            ("X-Request-Id", true),
            ("X--Y", true),
            ("X-1a", true),
            ("X-1A", false),
            ("host", false),
            ("X-ID", false),
            ("", false),
            ("No Name", false),
        ] {
            assert_eq!(is_canonical(name), expected, "{name:?}");
        }
    }

    #[test]
    fn table_agrees_with_the_rule() {
        for name in [
            "accept",
            "x-forwarded-for",
            "set-cookie",
            "content-length",
            "etag",
        ] {
            assert_eq!(common_name(name).unwrap(), capitalise(name));
        }
    }
}

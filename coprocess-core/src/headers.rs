//! Header names as plugins see them: `X-Request-Id`, not `x-request-id`.

use std::borrow::Cow;

use http::HeaderName;

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

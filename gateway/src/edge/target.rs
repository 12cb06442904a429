//! The path of a request: read once, and the same by everybody.
//!
//! Routing, path rules and the upstream must not disagree on which resource a path names.
//! The path is never rewritten; one that could be read in two ways is refused.

use http::Uri;

use super::Policy;

/// Checks a target in origin form; the error says what it has. Plugins that change the URL
/// are held to it too.
pub fn check(uri: &Uri, policy: Policy) -> Result<(), &'static str> {
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    // One pass over all bytes finds the paths that need a closer look; most do not.
    let mut look_closer = false;
    for byte in target.bytes() {
        match byte {
            b'%' | b'.' | b'\\' => look_closer = true,
            0x21..=0x7e => {}
            _ => {
                return Err("request target has a byte that is not ASCII");
            }
        }
    }
    if !target.starts_with('/') {
        return Err("request target does not begin with `/`");
    }
    if look_closer {
        check_path(uri.path(), policy)
    } else {
        Ok(())
    }
}

fn check_path(path: &str, policy: Policy) -> Result<(), &'static str> {
    for segment in path.split('/') {
        if is_dot_segment(segment) {
            return Err("request path has a dot segment");
        }
    }
    let bytes = path.as_bytes();
    for (place, byte) in bytes.iter().enumerate() {
        match byte {
            b'\\' => return Err("request path has a backslash"),
            b'%' => check_escape(bytes.get(place + 1..place + 3), policy)?,
            _ => {}
        }
    }
    Ok(())
}

fn check_escape(digits: Option<&[u8]>, policy: Policy) -> Result<(), &'static str> {
    let digits = digits.unwrap_or_default();
    if digits.len() != 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err("request path has an incomplete percent-encoding");
    }
    match (digits[0], digits[1].to_ascii_lowercase()) {
        (b'0' | b'1', _) | (b'7', b'f') => Err("request path has an encoded control character"),
        (b'2', b'f') if !policy.allow_encoded_slash => Err("request path has an encoded slash"),
        (b'5', b'c') => Err("request path has an encoded backslash"),
        _ => Ok(()),
    }
}

/// `.` and `..`, with any of the dots percent-encoded, and with a parameter behind it,
/// because some servers take parameters off before they resolve dots.
fn is_dot_segment(segment: &str) -> bool {
    let name = segment.split(';').next().unwrap_or_default();
    let plain = name.replace("%2e", ".").replace("%2E", ".");
    plain == "." || plain == ".."
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::tests::POLICY;

    fn passes(target: &str, policy: Policy) -> bool {
        let uri: Uri = target.parse().unwrap();
        check(&uri, policy).is_ok()
    }

    #[test]
    fn paths_with_one_reading_pass() {
        for target in [
            "/",
            "/a/b.c/..d",
            "/a//b",
            "/a;v=1/b",
            "/%41",
            "/%e2%82%ac",
            "/a?x=../y",
            "/a?%",
            "/a?q=[1]&r={2}|3",
            "/...",
            "/a.",
        ] {
            assert!(passes(target, POLICY), "{target}");
        }
    }

    #[test]
    fn paths_with_two_readings_are_refused() {
        for target in [
            "/..",
            "/a/../b",
            "/a/./b",
            "/%2e%2e/b",
            "/.%2E",
            "/a/%2e",
            "/..;x/b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a%00",
            "/a%0a",
            "/%7f",
            "/%",
            "/%4",
            "/%zz",
            "/é",
        ] {
            assert!(!passes(target, POLICY), "{target}");
        }
    }

    #[test]
    fn encoded_slash_passes_where_the_operator_says_so() {
        assert!(passes(
            "/a%2fb",
            Policy {
                allow_encoded_slash: true,
                ..POLICY
            }
        ));
        assert!(!passes(
            "/a%5cb",
            Policy {
                allow_encoded_slash: true,
                ..POLICY
            }
        ));
    }
}

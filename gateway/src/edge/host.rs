//! The `Host` field: a name or address, and a port.

use std::net::Ipv6Addr;

use crate::error::ProxyError;

/// Checks `host[:port]`. Stricter than RFC 3986 on purpose: of the characters that its
/// grammar allows in a name, only those that names have are taken, so that a list or a
/// userinfo part cannot pass as a host.
pub(super) fn check(value: &[u8]) -> Result<(), ProxyError> {
    let text = std::str::from_utf8(value).map_err(|_| ProxyError::Malformed("Host is not text"))?;
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest
                .split_once(']')
                .ok_or(ProxyError::Malformed("Host has an unclosed `[`"))?;
            address
                .parse::<Ipv6Addr>()
                .map_err(|_| ProxyError::Malformed("Host has a malformed IPv6 address"))?;
            match after.strip_prefix(':') {
                Some(port) => ("[]", Some(port)),
                None if after.is_empty() => ("[]", None),
                None => return Err(ProxyError::Malformed("Host goes on behind its address")),
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    if host.is_empty() {
        return Err(ProxyError::Malformed("Host is empty"));
    }
    if host != "[]" && !host.bytes().all(is_name_byte) {
        return Err(ProxyError::Malformed(
            "Host has a character that no host name has",
        ));
    }
    match port {
        // RFC 3986 allows a colon without a port.
        None | Some("") => Ok(()),
        Some(port)
            if port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok() =>
        {
            Ok(())
        }
        Some(_) => Err(ProxyError::Malformed("Host has a malformed port")),
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_hosts_pass() {
        for host in [
            "a",
            "a.b-c.d",
            "1.2.3.4:80",
            "[::1]",
            "[::1]:8080",
            "a:",
            "a_b",
        ] {
            assert!(check(host.as_bytes()).is_ok(), "{host}");
        }
    }

    #[test]
    fn hosts_that_are_something_else_do_not() {
        for host in [
            "", ":80", "a b", "u@a", "a/b", "a?b", "a#b", "[", "[::1", "[x]", "[::1]x", "a:b",
            "a:99999", "a:+1", "a:80:80", "a,b", "a%00", "a\\b", "é",
        ] {
            assert!(check(host.as_bytes()).is_err(), "{host}");
        }
    }
}

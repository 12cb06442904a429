//! Where a server is, as configurations write it.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

/// The port of `https` where none is written.
const TLS_PORT: u16 = 443;

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// As it was written, for logs.
    pub(crate) text: String,
    /// Where to connect to.
    pub(crate) place: Place,
    /// Whether it speaks TLS.
    pub(crate) tls: bool,
}

/// What a connection is made to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A host by name or address, and a port.
    Host(String, u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Target {
    /// Reads the forms that gRPC knows: `tcp://host:port`, `dns:///host:port`, `host:port`, an
    /// address with a port, `unix:///path`; and `http://` and `https://`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let target = |place, tls| Self {
            text: text.to_owned(),
            place,
            tls,
        };
        if let Some(path) = text.strip_prefix("unix:") {
            // Three slashes are a path from the root; without any it is relative.
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path {
                "" => Err("expected a path behind `unix:`".to_owned()),
                path => Ok(target(Place::Unix(path.into()), false)),
            };
        }
        if let Some(rest) = text.strip_prefix("dns:") {
            let name = match rest.strip_prefix("//") {
                // What stands between the slashes is a DNS server.
                Some(rest) => rest.strip_prefix('/').ok_or(
                    "a DNS server of its own cannot be asked; write three slashes: \
                     dns:///host:port",
                )?,
                None => rest,
            };
            return Ok(target(host_and_port(name, None)?, false));
        }
        let (tls, rest) = match text.split_once("://") {
            None => (false, text),
            Some(("tcp" | "http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some((scheme, _)) => {
                return Err(format!(
                    "scheme `{scheme}` is none of tcp, dns, unix, http, https"
                ));
            }
        };
        let place = host_and_port(rest, tls.then_some(TLS_PORT))?;
        Ok(target(place, tls))
    }

    /// The host's name where it has one.
    pub(crate) fn host(&self) -> Option<&str> {
        match &self.place {
            Place::Host(host, _) => Some(host),
            Place::Unix(_) => None,
        }
    }

    /// What calls say for `:authority` unless they are told otherwise.
    pub(crate) fn authority(&self) -> String {
        match &self.place {
            Place::Host(host, port) if host.contains(':') => format!("[{host}]:{port}"),
            Place::Host(host, port) => format!("{host}:{port}"),
            Place::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn host_and_port(text: &str, default_port: Option<u16>) -> Result<Place, String> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let (host, port) = split(text, default_port)?;
    let known = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.is_empty() || !host.chars().all(known) {
        return Err("expected host:port".to_owned());
    }
    Ok(Place::Host(host.to_owned(), port))
}

fn split(text: &str, default_port: Option<u16>) -> Result<(&str, u16), String> {
    let missing = || default_port.ok_or_else(|| "the port is missing".to_owned());
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or("the bracket is not closed")?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, port_number(port)?)),
            None if after.is_empty() => Ok((host, missing()?)),
            None => Err("expected [address]:port".to_owned()),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() && default_port.is_none() {
        return Err("put the address in brackets: [address]:port".to_owned());
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => Ok((host, port_number(port)?)),
        Some(_) => Err("put the address in brackets: [address]:port".to_owned()),
        None => Ok((text, missing()?)),
    }
}

fn port_number(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("port `{text}` is no number from 1 to 65535")),
        Ok(port) => Ok(port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read() {
        let host = |host: &str, port| Place::Host(host.to_owned(), port);
        for (text, place, tls, authority) in [
            ("tcp://a.b:5", host("a.b", 5), false, "a.b:5"),
            ("a.b:5", host("a.b", 5), false, "a.b:5"),
            ("localhost:5/", host("localhost", 5), false, "localhost:5"),
            (
                "127.0.0.1:5555",
                host("127.0.0.1", 5555),
                false,
                "127.0.0.1:5555",
            ),
            (
                "tcp://127.0.0.1:5",
                host("127.0.0.1", 5),
                false,
                "127.0.0.1:5",
            ),
            ("[::1]:5", host("::1", 5), false, "[::1]:5"),
            ("tcp://[::1]:5", host("::1", 5), false, "[::1]:5"),
            ("dns:///svc:5", host("svc", 5), false, "svc:5"),
            ("dns:svc:5", host("svc", 5), false, "svc:5"),
            ("http://a:5", host("a", 5), false, "a:5"),
            ("https://a:5/", host("a", 5), true, "a:5"),
            ("https://a", host("a", 443), true, "a:443"),
            ("https://[::1]", host("::1", 443), true, "[::1]:443"),
            (
                "unix:///run/x",
                Place::Unix("/run/x".into()),
                false,
                "localhost",
            ),
            (
                "unix:run/x",
                Place::Unix("run/x".into()),
                false,
                "localhost",
            ),
            (
                "unix:/run/x",
                Place::Unix("/run/x".into()),
                false,
                "localhost",
            ),
        ] {
            let target = Target::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((&target.place, target.tls), (&place, tls), "{text}");
            assert_eq!(target.authority(), authority, "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused_with_the_reason() {
        for (text, reason) in [
            ("a", "the port is missing"),
            ("tcp://a", "the port is missing"),
            ("a:0", "port `0`"),
            ("a:b", "port `b`"),
            (":5", "expected host:port"),
            ("tcp://a b:5", "expected host:port"),
            ("tcp://a/b:5", "expected host:port"),
            ("::1", "brackets"),
            ("::1:5555", "brackets"),
            ("[::1:5", "bracket is not closed"),
            ("ftp://a:5", "scheme `ftp`"),
            ("dns://8.8.8.8/svc:5", "three slashes"),
            ("unix:", "path"),
        ] {
            let error = Target::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}

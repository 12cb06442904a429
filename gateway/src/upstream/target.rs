//! Where an API's requests go, taken apart once when the API is loaded.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};

use crate::tls::client::ClientTls;

/// An upstream.
#[derive(Debug)]
pub struct Target {
    /// Host name or address, without brackets.
    pub host: Box<str>,
    /// Port.
    pub port: u16,
    /// `host:port`, for people.
    pub authority: Arc<str>,
    /// How it is spoken to.
    pub way: Way,
    /// What connections are pooled by: targets that share it share connections.
    pub pool_key: Arc<str>,
    /// The `Host` that the upstream sees.
    pub host_header: HeaderValue,
    /// Path to put in front, without a slash at its end; often empty.
    pub path: String,
    /// Query to put in front, if any.
    pub query: Option<String>,
}

/// How an upstream is spoken to.
#[derive(Debug)]
pub enum Way {
    /// HTTP/1.1 in the clear.
    Plain,
    /// HTTP/2 in the clear, without asking first (`h2c://`).
    PlainHttp2,
    /// TLS that has still to be set up by [`Target::secure`]: nothing is sent.
    Unsecured,
    /// TLS.
    Tls(Box<ClientTls>),
}

/// A target URL that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("target_url `{url}`: {reason}")]
pub struct TargetError {
    url: String,
    reason: String,
}

impl Target {
    /// Takes `http://host[:port][/path][?query]` apart, or `https`, or `h2c`.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let wrong = |reason: &str| TargetError {
            url: url.to_owned(),
            reason: reason.to_owned(),
        };
        let uri: Uri = url
            .parse()
            .map_err(|error| wrong(&format!("not a URL: {error}")))?;
        let (way, usual_port) = match uri.scheme_str() {
            Some("http") => (Way::Plain, 80),
            Some("https") => (Way::Unsecured, 443),
            Some("h2c") => (Way::PlainHttp2, 80),
            Some(scheme) => {
                return Err(wrong(&format!(
                    "scheme `{scheme}` is not implemented, only http, https and h2c are"
                )));
            }
            None => {
                return Err(wrong(
                    "needs a scheme and a host, like http://host:port/path",
                ));
            }
        };
        let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("user and password in the URL are not implemented"));
        }
        let port = authority.port_u16().unwrap_or(usual_port);
        let host = authority.host();
        let pool_key = match way {
            Way::Plain => format!("{host}:{port}"),
            _ => format!(
                "{url_scheme}://{host}:{port}",
                url_scheme = uri.scheme_str().unwrap_or_default()
            ),
        };
        Ok(Self {
            way,
            pool_key: pool_key.into(),
            host: host.trim_matches(['[', ']']).into(),
            port,
            authority: format!("{host}:{port}").into(),
            host_header: HeaderValue::from_str(authority.as_str())
                .map_err(|_| wrong("has an unusable host"))?,
            path: uri.path().to_owned(),
            query: uri
                .query()
                .filter(|query| !query.is_empty())
                .map(str::to_owned),
        })
    }

    /// Whether [`Target::secure`] has to be called.
    pub fn wants_tls(&self) -> bool {
        matches!(self.way, Way::Unsecured)
    }

    /// The same target, for which TLS has still to be set up.
    pub fn copy_unsecured(&self) -> Self {
        Self {
            host: self.host.clone(),
            port: self.port,
            authority: Arc::clone(&self.authority),
            way: Way::Unsecured,
            pool_key: Arc::clone(&self.pool_key),
            host_header: self.host_header.clone(),
            path: self.path.clone(),
            query: self.query.clone(),
        }
    }

    /// Sets up TLS for an `https` target.
    pub fn secure(&mut self, tls: ClientTls) {
        self.pool_key = format!("{} {}", self.pool_key, tls.fingerprint).into();
        self.way = Way::Tls(Box::new(tls));
    }

    /// Whether connections to it may speak HTTP/2.
    pub fn may_be_http2(&self) -> bool {
        match &self.way {
            Way::Plain | Way::Unsecured => false,
            Way::PlainHttp2 => true,
            Way::Tls(tls) => tls.http2,
        }
    }

    /// The target of an upstream request: `path_and_query` of the request, without the
    /// first `strip` bytes of its path, below this target's path and behind its query.
    pub fn join(&self, uri: &Uri, strip: usize) -> Result<Uri, http::Error> {
        let unchanged = strip == 0 && self.query.is_none() && matches!(&*self.path, "" | "/");
        let own = uri.path_and_query().cloned();
        if unchanged && let Some(own) = own {
            return Ok(Uri::from(own));
        }
        let rest = uri.path().get(strip..).unwrap_or_default();
        let mut joined = String::with_capacity(self.path.len() + rest.len() + 16);
        joined.push_str(self.path.strip_suffix('/').unwrap_or(&self.path));
        if !rest.starts_with('/') {
            joined.push('/');
        }
        joined.push_str(rest);
        match (self.query.as_deref(), uri.query()) {
            (None, None) => {}
            (Some(query), None | Some("")) | (None, Some(query)) => {
                joined.push('?');
                joined.push_str(query);
            }
            (Some(own), Some(query)) => {
                joined.push_str(&format!("?{own}&{query}"));
            }
        }
        Ok(Uri::from(PathAndQuery::try_from(joined)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(target: &str, request: &str, strip: usize, expected: &str) {
        let joined = Target::parse(target)
            .unwrap()
            .join(&request.parse().unwrap(), strip)
            .unwrap();
        assert_eq!(joined, expected, "{target} + {request} - {strip}");
    }

    #[test]
    fn paths_and_queries_are_joined() {
        check("http://u", "/a/b?c", 0, "/a/b?c");
        check("http://u/", "/a/b", 2, "/b");
        check("http://u", "/a", 2, "/");
        check("http://u/base", "/a/b", 2, "/base/b");
        check("http://u/base/", "/a/b", 3, "/base/b");
        check("http://u/base/", "/a/b", 0, "/base/a/b");
        check("http://u/base", "/a/", 3, "/base/");
        check("http://u?k=1", "/a?x=2", 0, "/a?k=1&x=2");
        check("http://u?k=1", "/a", 0, "/a?k=1");
        check("http://u?k=1", "/a?", 0, "/a?k=1");
        check("http://u/b", "/a?", 2, "/b/?");
    }

    #[test]
    fn targets_are_taken_apart() {
        let target = Target::parse("http://[::1]:8080/x").unwrap();
        assert_eq!((&*target.host, target.port), ("::1", 8080));
        assert_eq!(target.host_header, "[::1]:8080");
        for (url, authority, key) in [
            ("http://name", "name:80", "name:80"),
            ("https://name", "name:443", "https://name:443"),
            ("h2c://name", "name:80", "h2c://name:80"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!((&*target.authority, &*target.pool_key), (authority, key));
            assert_eq!(target.wants_tls(), url.starts_with("https"));
        }
    }

    #[test]
    fn unusable_targets_say_why() {
        for (url, part) in [
            ("ftp://u", "`ftp` is not implemented"),
            ("u:80", "needs a scheme"),
            ("http://", "target_url"),
            ("http://a@b", "user and password"),
        ] {
            let said = Target::parse(url).unwrap_err().to_string();
            assert!(said.contains(part), "{url}: {said}");
        }
    }
}

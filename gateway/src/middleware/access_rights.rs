//! Which versions, paths and methods of an API a key may use.

use coprocess_core::{AccessDefinition, AccessSpec};
use http::Method;
use percent_encoding::percent_decode_str;

use super::patterns::matches;
use crate::chain::{Flow, Middleware, Step};
use crate::error::ProxyError;
use crate::exchange::Exchange;

/// Checks the rights of the session's key.
pub struct AccessRights {
    /// The names of the API's versions, in the order in which requests know them; empty
    /// where it has none.
    pub versions: Vec<String>,
    /// The path and the method have to be allowed too.
    pub paths_count: bool,
}

impl Middleware for AccessRights {
    fn process<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        Step::Done(self.check(exchange).map(|()| Flow::Continue))
    }
}

impl AccessRights {
    fn check(&self, exchange: &Exchange) -> Result<(), ProxyError> {
        let Some(session) = &exchange.session else {
            return Err(ProxyError::SessionMissing);
        };
        // No rights at all mean all rights.
        if session.access_rights.is_empty() {
            return Ok(());
        }
        let right = session.access_rights.get(&exchange.api.id);
        let right = right.ok_or(ProxyError::KeyUnknown)?;
        if !self.versions.is_empty() {
            let version = self.versions.get(exchange.version_index());
            if !version.is_some_and(|version| right.versions.contains(version)) {
                return Err(ProxyError::KeyUnknown);
            }
        }
        let head = &exchange.head;
        if !self.paths_count {
            return Ok(());
        }
        match allows(right, head.uri.path(), &head.method) {
            true => Ok(()),
            false => Err(ProxyError::PathNotAllowed),
        }
    }
}

fn allows(right: &AccessDefinition, path: &str, method: &Method) -> bool {
    if right.allowed_urls.is_empty() {
        return true;
    }
    // What is matched is the path as upstreams read it.
    let Ok(path) = percent_decode_str(path).decode_utf8() else {
        return false;
    };
    let names = |spec: &AccessSpec| spec.methods.iter().any(|name| name == method.as_str());
    let mut specs = right.allowed_urls.iter().filter(|spec| names(spec));
    specs.any(|spec| matches(&spec.url, &path, "allowed_urls"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(specs: &[(&str, &[&str])], method: &str, path: &str, expected: bool) {
        let right = AccessDefinition {
            allowed_urls: specs
                .iter()
                .map(|(url, methods)| AccessSpec {
                    url: (*url).to_owned(),
                    methods: methods.iter().map(|&name| name.to_owned()).collect(),
                })
                .collect(),
            ..AccessDefinition::default()
        };
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        // The second look finds the compiled pattern.
        for look in 0..2 {
            assert_eq!(
                allows(&right, path, &method),
                expected,
                "{specs:?} {path} {look}"
            );
        }
    }

    #[test]
    fn paths_and_methods_are_matched_as_the_original_does() {
        check(&[], "GET", "/api/x", true);
        check(&[("/x", &["GET"])], "GET", "/api/x/y", true);
        check(&[("/x", &["GET"])], "POST", "/api/x", false);
        check(&[("/x", &["GET", "POST"])], "POST", "/api/x", true);
        check(&[("^/api/x$", &["GET"])], "GET", "/api/x", true);
        check(&[("^/api/x$", &["GET"])], "GET", "/api/xy", false);
        check(&[("^/x", &["GET"])], "GET", "/api/x", false);
        check(
            &[("/a", &["GET"]), ("/b", &["POST"])],
            "POST",
            "/api/a",
            false,
        );
        check(&[("/a", &["GET"]), ("/b", &["POST"])], "POST", "/b", true);
        check(&[("", &["GET"])], "GET", "/anything", true);
        check(&[("/x", &[])], "GET", "/x", false);
    }

    #[test]
    fn a_path_is_matched_as_it_is_read() {
        check(&[("^/admin$", &["GET"])], "GET", "/%61dmin", true);
        check(&[("^/[^a]+$", &["GET"])], "GET", "/%61", false);
        check(&[("^/caf\u{e9}$", &["GET"])], "GET", "/caf%C3%A9", true);
        check(&[(".*", &["GET"])], "GET", "/%ff", false);
    }

    #[test]
    fn what_is_no_pattern_allows_nothing() {
        check(&[("(", &["GET"])], "GET", "/(", false);
        check(&[("(a{1000}){1000}", &["GET"])], "GET", "/aaa", false);
        check(&[("(", &["GET"]), ("/x", &["GET"])], "GET", "/x", true);
    }
}

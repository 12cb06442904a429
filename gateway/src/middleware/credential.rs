//! Where a caller's credential is in a request: header, query or cookie.

use std::borrow::Cow;

use http::header::COOKIE;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::definition::Auth;

/// The places in which a credential is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    header: Option<HeaderName>,
    param: Option<String>,
    cookie: Option<String>,
}

impl Credential {
    /// The places that a definition names. The error names the key below its settings that
    /// cannot work, and says why.
    pub fn new(auth: &Auth) -> Result<Self, String> {
        let name = match auth.auth_header_name.as_str() {
            "" => "Authorization",
            name => name,
        };
        let or_name = |given: &str| if given.is_empty() { name } else { given }.to_owned();
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("auth_header_name: `{name}` is no header"))?;
        let found = Self {
            header: (!auth.disable_header).then_some(header),
            param: auth.use_param.then(|| or_name(&auth.param_name)),
            cookie: auth.use_cookie.then(|| or_name(&auth.cookie_name)),
        };
        if found.header.is_none() && found.param.is_none() && found.cookie.is_none() {
            return Err(
                "disable_header: without use_param or use_cookie no credential is found".into(),
            );
        }
        Ok(found)
    }

    /// The credential as it was sent; a cookie's counts more than the query's, and that more
    /// than the header's. One that is empty is none.
    pub fn find<'a>(&self, head: &'a Parts) -> Option<Cow<'a, str>> {
        let cookie = || cookies(&head.headers).find(|(name, _)| Some(*name) == self.cookie());
        if self.cookie.is_some()
            && let Some((_, value)) = cookie().filter(|(_, value)| !value.is_empty())
        {
            return Some(Cow::Borrowed(value));
        }
        if let Some(param) = &self.param {
            let query = head.uri.query().unwrap_or_default().as_bytes();
            let found = form_urlencoded::parse(query).find(|(name, _)| name == param);
            if let Some((_, value)) = found.filter(|(_, value)| !value.is_empty()) {
                return Some(value);
            }
        }
        let value = head.headers.get(self.header.as_ref()?)?;
        (!value.is_empty()).then(|| String::from_utf8_lossy(value.as_bytes()))
    }

    /// Takes the credential out of the request, wherever it is.
    pub fn strip(&self, head: &mut Parts) {
        if let Some(header) = &self.header {
            head.headers.remove(header);
        }
        if let Some(param) = &self.param
            && let Some(uri) = without_param(&head.uri, param)
        {
            head.uri = uri;
        }
        if self.cookie.is_some() {
            self.strip_cookie(&mut head.headers);
        }
    }

    fn cookie(&self) -> Option<&str> {
        self.cookie.as_deref()
    }

    fn strip_cookie(&self, headers: &mut HeaderMap) {
        if !cookies(headers).any(|(name, _)| Some(name) == self.cookie()) {
            return;
        }
        let others = cookies(headers).filter(|(name, _)| Some(*name) != self.cookie());
        let others: Vec<_> = others
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        headers.remove(COOKIE);
        if let Ok(value) = HeaderValue::try_from(others.join("; "))
            && !others.is_empty()
        {
            headers.insert(COOKIE, value);
        }
    }
}

/// The key without the `Bearer ` that may stand before it.
pub(crate) fn without_scheme(value: &str) -> &str {
    const SCHEME: &str = "bearer ";
    match value.get(..SCHEME.len()) {
        Some(scheme) if scheme.eq_ignore_ascii_case(SCHEME) => &value[SCHEME.len()..],
        _ => value,
    }
}

/// Names and values of all cookies, without quotes around the values.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(COOKIE).iter();
    lines
        .filter_map(|line| std::str::from_utf8(line.as_bytes()).ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .map(|(name, value)| (name, unquoted(value)))
}

fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix('"').and_then(|v| v.strip_suffix('"'));
    inner.unwrap_or(value)
}

/// The target without a parameter; nothing where it does not have it. The others keep their
/// order and spelling.
fn without_param(uri: &Uri, param: &str) -> Option<Uri> {
    let query = uri.query()?;
    let is_it = |pair: &str| {
        let found = form_urlencoded::parse(pair.as_bytes()).next();
        found.is_some_and(|(name, _)| name == param)
    };
    if !query.split('&').any(is_it) {
        return None;
    }
    let others: Vec<_> = query.split('&').filter(|pair| !is_it(pair)).collect();
    let target = if others.is_empty() {
        uri.path().to_owned()
    } else {
        format!("{}?{}", uri.path(), others.join("&"))
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn auth(change: impl Fn(&mut Auth)) -> Credential {
        let mut auth = Auth::default();
        change(&mut auth);
        Credential::new(&auth).unwrap()
    }

    fn request(target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[track_caller]
    fn check(places: &Credential, head: &Parts, expected: Option<&str>) {
        assert_eq!(places.find(head).as_deref(), expected);
    }

    #[test]
    fn a_cookie_counts_more_than_the_query_and_that_more_than_the_header() {
        let all = auth(|auth| {
            (auth.use_param, auth.use_cookie) = (true, true);
            auth.param_name = "key".into();
            auth.cookie_name = "sid".into();
        });
        let header = ("authorization", "in-header");
        let cookie = ("cookie", "a=b; sid=\"in-cookie\"; c");
        check(&all, &request("/", &[]), None);
        check(&all, &request("/", &[header]), Some("in-header"));
        let query = "/?x=1&key=in%20query&key=2";
        check(&all, &request(query, &[header]), Some("in query"));
        check(&all, &request("/?key=", &[header]), Some("in-header"));
        check(&all, &request(query, &[header, cookie]), Some("in-cookie"));
        let empty = ("cookie", "sid=");
        check(&all, &request("/", &[header, empty]), Some("in-header"));
        let header_only = auth(|auth| auth.param_name = "key".into());
        check(&header_only, &request(query, &[cookie]), None);
    }

    #[test]
    fn places_without_a_name_have_the_headers() {
        let places = auth(|auth| {
            auth.auth_header_name = "X-Key".into();
            (auth.use_param, auth.use_cookie) = (true, true);
            auth.disable_header = true;
        });
        check(&places, &request("/", &[("x-key", "a")]), None);
        check(&places, &request("/?X-Key=b", &[]), Some("b"));
        check(&places, &request("/", &[("cookie", "X-Key=c")]), Some("c"));
    }

    #[test]
    fn a_credential_is_taken_out_of_all_places_and_nothing_else_is() {
        let all = auth(|auth| {
            (auth.use_param, auth.use_cookie) = (true, true);
            auth.param_name = "key".into();
            auth.cookie_name = "sid".into();
        });
        let headers = [
            ("authorization", "a"),
            ("cookie", "a=b; sid=c"),
            ("cookie", "d=e"),
            ("x-other", "f"),
        ];
        let mut head = request("/p?b=%7E&%6bey=1&a=2&key=3", &headers);
        all.strip(&mut head);
        assert_eq!(head.uri, "/p?b=%7E&a=2");
        assert_eq!(head.headers.get("authorization"), None);
        assert_eq!(head.headers["cookie"], "a=b; d=e");
        assert_eq!(head.headers["x-other"], "f");
        let mut only = request("/p?key=1", &[("cookie", "sid=c")]);
        all.strip(&mut only);
        assert_eq!(only.uri, "/p");
        assert!(only.headers.is_empty(), "{:?}", only.headers);
    }

    #[test]
    fn settings_that_find_nothing_are_a_mistake() {
        for (change, part) in [
            (
                (|auth| auth.auth_header_name = "a b".into()) as fn(&mut Auth),
                "auth_header_name: `a b`",
            ),
            (|auth| auth.disable_header = true, "disable_header"),
        ] {
            let mut auth = Auth::default();
            change(&mut auth);
            let mistake = Credential::new(&auth).unwrap_err();
            assert!(mistake.contains(part), "{mistake}");
        }
    }

    #[test]
    fn the_scheme_is_not_part_of_the_key() {
        for (value, key) in [
            ("Bearer abc", "abc"),
            ("bEARER abc", "abc"),
            ("Bearerabc", "Bearerabc"),
            ("Basic abc", "Basic abc"),
            ("bearé r", "bearé r"),
        ] {
            assert_eq!(without_scheme(value), key);
        }
    }
}

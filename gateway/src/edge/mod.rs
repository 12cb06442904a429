//! Decides, before anything else and before the first upstream byte, whether a request is
//! one that every server on its way reads the same.
//!
//! Framing is hyper's. What hyper accepts and RFC 9110 and 9112 or plain caution do not is
//! refused here: a request smuggled past the gateway would also pass its plugins.

pub mod hop;
mod host;
pub mod target;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version, header, uri::PathAndQuery};

use crate::error::ProxyError;

/// Longest method that is passed on; the longest registered one has 17 letters.
const MAX_METHOD_LENGTH: usize = 32;

/// Longest request target in bytes.
const MAX_TARGET_LENGTH: usize = 16 * 1024;

/// What a header line has besides name and value: `: ` and the line's end.
const LINE_OVERHEAD: usize = 4;

/// What the edge settles about a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request goes on; its target is in origin form and its `Host` agrees with it.
    Forward,
    /// The request is for the gateway itself (`OPTIONS *`, or `Max-Forwards: 0`).
    AnswerHere,
}

/// Which doubtful things the operator lets through.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Paths with `%2F`.
    pub allow_encoded_slash: bool,
    /// Largest head in bytes.
    pub max_head_bytes: usize,
    /// Most header fields.
    pub max_headers: usize,
}

/// Checks a request and brings it into the form that the rest of the gateway relies on.
pub fn check(head: &mut Parts, policy: Policy) -> Result<Verdict, ProxyError> {
    check_method(head)?;
    let is_special = check_size(head, policy)?;
    if head.version == Version::HTTP_2 {
        join_cookies(&mut head.headers);
        say_length_once(&mut head.headers)?;
    } else if is_special {
        check_transfer_encoding(&head.headers)?;
    }
    if is_special {
        check_expect(&head.headers)?;
    }
    settle_host(head)?;
    if head.uri.path() == "*" {
        if head.method == Method::OPTIONS {
            return Ok(Verdict::AnswerHere);
        }
        return Err(ProxyError::Malformed(
            "request target `*` is for OPTIONS only",
        ));
    }
    target::check(&head.uri, policy).map_err(ProxyError::Malformed)?;
    if is_special {
        hop::remove_nominated(&mut head.headers);
    }
    count_down_max_forwards(head)
}

fn check_method(head: &Parts) -> Result<(), ProxyError> {
    let method = &head.method;
    if method.as_str().len() > MAX_METHOD_LENGTH {
        return Err(ProxyError::Unsupported(
            StatusCode::NOT_IMPLEMENTED,
            "method is not supported",
        ));
    }
    if method == Method::CONNECT {
        // Only the authority form is a CONNECT at all (RFC 9112, 3.2.3).
        return Err(
            if head.uri.authority().is_some() && head.uri.scheme().is_none() {
                ProxyError::Unsupported(StatusCode::METHOD_NOT_ALLOWED, "tunnels are not supported")
            } else {
                ProxyError::Malformed("CONNECT needs a host and port as its target")
            },
        );
    }
    if method == Method::TRACE {
        // An echo of the request would hand its credentials to scripts.
        return Err(ProxyError::Unsupported(
            StatusCode::METHOD_NOT_ALLOWED,
            "TRACE is not supported",
        ));
    }
    Ok(())
}

/// hyper's own limits are twice as high: within them a request that is too large is told so
/// in our words, beyond them in hyper's.
///
/// Tells whether there is a field that wants a closer look. As all have to be gone through
/// here, that costs less than a look-up for each of them, in requests that have none.
fn check_size(head: &Parts, policy: Policy) -> Result<bool, ProxyError> {
    let target = head
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET_LENGTH {
        let reason = "request target is too long";
        return Err(ProxyError::Unsupported(StatusCode::URI_TOO_LONG, reason));
    }
    let mut is_special = false;
    let fields = head.headers.iter().map(|(name, value)| {
        is_special |= matches!(
            *name,
            header::TRANSFER_ENCODING | header::EXPECT | header::CONNECTION
        );
        name.as_str().len() + value.len() + LINE_OVERHEAD
    });
    let lines = fields.sum::<usize>();
    if head.headers.len() > policy.max_headers || target + lines > policy.max_head_bytes {
        return Err(ProxyError::Unsupported(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "request header fields are too large",
        ));
    }
    Ok(is_special)
}

/// Exactly one final `chunked`, or nothing. hyper frames other forms too, but upstreams
/// disagree on them.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), ProxyError> {
    let mut values = headers.get_all(header::TRANSFER_ENCODING).iter();
    let Some(value) = values.next() else {
        return Ok(());
    };
    if value.as_bytes().eq_ignore_ascii_case(b"chunked") && values.next().is_none() {
        return Ok(());
    }
    Err(ProxyError::Malformed(
        "Transfer-Encoding is other than a single `chunked`",
    ))
}

/// HTTP/2 clients may split `Cookie` to compress it better; HTTP/1 has one field of that
/// name (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if crumbs.len() > 1 {
        let joined = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]));
        headers.insert(
            header::COOKIE,
            joined.expect("values joined by `; ` are a value"),
        );
    }
}

/// HTTP/2 does not need the length, so it may have been said twice.
fn say_length_once(headers: &mut HeaderMap) -> Result<(), ProxyError> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next().cloned() else {
        return Ok(());
    };
    if lengths.any(|length| length != first) {
        return Err(ProxyError::Malformed("Content-Length is not one number"));
    }
    headers.insert(header::CONTENT_LENGTH, first);
    Ok(())
}

fn check_expect(headers: &HeaderMap) -> Result<(), ProxyError> {
    match headers.get(header::EXPECT) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            Err(ProxyError::Unsupported(
                StatusCode::EXPECTATION_FAILED,
                "Expect is other than 100-continue",
            ))
        }
        _ => Ok(()),
    }
}

/// Makes `Host` and target say the same: an absolute target wins over the field (RFC 9112,
/// 3.2.2), and afterwards the target is in origin form.
fn settle_host(head: &mut Parts) -> Result<(), ProxyError> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let first = hosts.next();
    if hosts.next().is_some() {
        return Err(ProxyError::Malformed("Host is there more than once"));
    }
    if let Some(value) = first {
        host::check(value.as_bytes())?;
    } else if head.version == Version::HTTP_11 {
        return Err(ProxyError::Malformed("Host is missing"));
    }
    let Some(authority) = head.uri.authority() else {
        return Ok(());
    };
    match head.uri.scheme_str() {
        Some("http" | "https") => {}
        Some(_) => {
            return Err(ProxyError::Malformed(
                "request target has a scheme other than http",
            ));
        }
        None => {
            return Err(ProxyError::Malformed(
                "request target is a host without a path",
            ));
        }
    }
    host::check(authority.as_str().as_bytes())?;
    let value = HeaderValue::from_str(authority.as_str())
        .map_err(|_| ProxyError::Malformed("request target has an unusable host"))?;
    head.headers.insert(header::HOST, value);
    head.uri = origin_form(&head.uri)?;
    Ok(())
}

/// Path and query of an absolute target. One without a path means the root.
fn origin_form(uri: &Uri) -> Result<Uri, ProxyError> {
    match uri.path_and_query() {
        Some(target) if target.as_str().starts_with('/') => Ok(Uri::from(target.clone())),
        // Written out, a target without a path has its slash.
        Some(target) => PathAndQuery::try_from(target.to_string())
            .map(Uri::from)
            .map_err(|_| ProxyError::Malformed("request target cannot be read")),
        None => Ok(Uri::from_static("/")),
    }
}

/// RFC 9110, 7.6.2: an OPTIONS that has used up its hops is answered by whoever holds it.
fn count_down_max_forwards(head: &mut Parts) -> Result<Verdict, ProxyError> {
    if head.method != Method::OPTIONS {
        return Ok(Verdict::Forward);
    }
    let Some(value) = head.headers.get(header::MAX_FORWARDS) else {
        return Ok(Verdict::Forward);
    };
    let hops: u64 = value
        .to_str()
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or(ProxyError::Malformed("Max-Forwards is not a number"))?;
    match hops.checked_sub(1) {
        None => Ok(Verdict::AnswerHere),
        Some(left) => {
            head.headers
                .insert(header::MAX_FORWARDS, HeaderValue::from(left));
            Ok(Verdict::Forward)
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use http::Request;

    /// What the default configuration allows.
    pub(super) const POLICY: Policy = Policy {
        allow_encoded_slash: false,
        max_head_bytes: 64 * 1024,
        max_headers: 100,
    };

    fn verdict(request: http::request::Builder) -> Result<(Verdict, Parts), String> {
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        let verdict = check(&mut head, POLICY).map_err(|error| error.to_string())?;
        Ok((verdict, head))
    }

    fn get(target: &str) -> http::request::Builder {
        Request::get(target).header("host", "a.example")
    }

    #[test]
    fn absolute_target_wins_over_host() {
        let (_, head) = verdict(get("http://b.example:8080/x?y")).unwrap();
        assert_eq!(head.headers["host"], "b.example:8080");
        assert_eq!(head.uri, "/x?y");
        for (target, expected) in [("http://b.example", "/"), ("http://b.example?x", "/?x")] {
            let (_, head) = verdict(get(target)).unwrap();
            assert_eq!(head.uri, expected);
        }
    }

    #[test]
    fn requests_that_servers_read_differently_are_refused() {
        let cases = [
            Request::get("/"),
            get("/").header("host", "a.example"),
            Request::get("/").header("host", "a@b"),
            get("ftp://b.example/"),
            get("b.example:80"),
            Request::builder()
                .method("CONNECT")
                .uri("/x")
                .header("host", "a"),
            Request::builder()
                .method("CONNECT")
                .uri("a:1")
                .header("host", "a"),
            Request::builder()
                .method("TRACE")
                .uri("/")
                .header("host", "a"),
            Request::builder()
                .method("A".repeat(40).as_str())
                .uri("/")
                .header("host", "a"),
            get("/").header("transfer-encoding", "gzip, chunked"),
            get("/")
                .header("transfer-encoding", "chunked")
                .header("transfer-encoding", "chunked"),
            get("/").header("transfer-encoding", "identity"),
            get("/").header("expect", "a-miracle"),
            get("*"),
            Request::options("/")
                .header("host", "a")
                .header("max-forwards", "+1"),
        ];
        for (number, case) in cases.into_iter().enumerate() {
            let description = format!("case {number}: {case:?}");
            assert!(verdict(case).is_err(), "{description}");
        }
    }

    #[test]
    fn options_for_the_gateway_is_answered_here() {
        let all = Request::options("*").header("host", "a");
        assert_eq!(verdict(all).unwrap().0, Verdict::AnswerHere);
        let last = Request::options("/x")
            .header("host", "a")
            .header("max-forwards", "0");
        assert_eq!(verdict(last).unwrap().0, Verdict::AnswerHere);
        let more = Request::options("/x")
            .header("host", "a")
            .header("max-forwards", "3");
        let (found, head) = verdict(more).unwrap();
        assert_eq!(found, Verdict::Forward);
        assert_eq!(head.headers["max-forwards"], "2");
    }

    #[test]
    fn split_cookies_are_joined() {
        let request = Request::get("http://a.example/")
            .version(Version::HTTP_2)
            .header("cookie", "a=1")
            .header("cookie", "b=2");
        let (_, head) = verdict(request).unwrap();
        assert_eq!(head.headers["cookie"], "a=1; b=2");
        assert_eq!(head.headers.get_all("cookie").iter().count(), 1);
    }

    #[test]
    fn http_1_0_needs_no_host() {
        assert!(verdict(Request::get("/").version(Version::HTTP_10)).is_ok());
    }
}

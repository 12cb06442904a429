//! Fields that are for one hop only (RFC 9110, 7.6.1), on requests and responses.

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Those that the HTTP library does not know.
const OTHERS: [&str; 3] = ["keep-alive", "proxy-connection", "http2-settings"];

/// Removes the fields that `Connection` names, and leaves `Connection` itself.
///
/// This is done as soon as a request comes in: a client must not be able to name a field
/// that the gateway or a plugin adds later. Fields that describe the message to everybody
/// stay, whatever `Connection` says of them.
pub fn remove_nominated(headers: &mut HeaderMap) {
    if !headers.contains_key(header::CONNECTION) {
        return;
    }
    let nominated: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|option| HeaderName::from_bytes(option.trim().as_bytes()).ok())
        .filter(|name| !is_end_to_end(name))
        .collect();
    for name in nominated {
        headers.remove(name);
    }
}

/// What `Connection` cannot take away: without these the message means something else. And
/// `Upgrade`, `TE` and `Keep-Alive`, which are looked at before they are removed.
fn is_end_to_end(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::HOST
            | header::CONTENT_LENGTH
            | header::TRANSFER_ENCODING
            | header::CONTENT_TYPE
            | header::CONTENT_ENCODING
            | header::CONTENT_RANGE
            | header::RANGE
            | header::EXPECT
            | header::AUTHORIZATION
            | header::COOKIE
            | header::CACHE_CONTROL
            | header::DATE
            | header::MAX_FORWARDS
            | header::SET_COOKIE
            | header::LOCATION
            | header::VIA
            | header::CONNECTION
            | header::UPGRADE
            | header::TE
    )
}

/// Removes what belongs to the client's connection before a request goes upstream.
/// `TE: trailers` is ours to say anew, since trailers are passed on.
pub fn strip_request(headers: &mut HeaderMap) {
    if !has_some(headers) {
        return;
    }
    let trailers = headers.get(header::TE).is_some_and(accepts_trailers);
    strip(headers);
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Removes what belongs to the upstream's connection before a response goes to the client.
pub fn strip_response(headers: &mut HeaderMap) {
    if has_some(headers) {
        remove_nominated(headers);
        strip(headers);
    }
}

/// Whether there is a field that is for one hop only, `Transfer-Encoding` among them. Looking
/// through the few names of a message once is cheaper than look-ups that mostly find nothing.
pub fn has_some(headers: &HeaderMap) -> bool {
    headers.keys().any(is_for_one_hop)
}

fn strip(headers: &mut HeaderMap) {
    headers.remove(header::CONNECTION);
    for name in OTHERS {
        headers.remove(name);
    }
    headers.remove(header::UPGRADE);
    headers.remove(header::TRANSFER_ENCODING);
    headers.remove(header::PROXY_AUTHORIZATION);
    headers.remove(header::PROXY_AUTHENTICATE);
    headers.remove(header::TE);
}

fn is_for_one_hop(name: &HeaderName) -> bool {
    matches!(
        *name,
        header::CONNECTION
            | header::UPGRADE
            | header::TRANSFER_ENCODING
            | header::TE
            | header::PROXY_AUTHORIZATION
            | header::PROXY_AUTHENTICATE
    ) || OTHERS.contains(&name.as_str())
}

fn accepts_trailers(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|text| {
        text.split(',')
            .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
    })
}

/// Whether `Connection` names the option.
pub fn names_option(headers: &HeaderMap, option: &str) -> bool {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|named| named.trim().eq_ignore_ascii_case(option))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    value.parse().unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn nominated_fields_go_but_framing_stays() {
        let mut headers = map(&[
            ("connection", "close, X-One"),
            ("connection", "x-two,content-length , bad name"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("content-length", "3"),
            ("x-three", "3"),
        ]);
        remove_nominated(&mut headers);
        assert!(!headers.contains_key("x-one") && !headers.contains_key("x-two"));
        assert!(headers.contains_key("content-length") && headers.contains_key("x-three"));
    }

    #[test]
    fn te_is_said_anew() {
        let mut headers = map(&[
            ("te", "gzip, trailers"),
            ("connection", "te"),
            ("upgrade", "h2c"),
        ]);
        strip_request(&mut headers);
        assert_eq!(headers, map(&[("te", "trailers"), ("connection", "te")]));
        let mut headers = map(&[("te", "gzip")]);
        strip_request(&mut headers);
        assert!(headers.is_empty());
    }
}

//! Response hooks: holds the upstream's response, and takes back what the hook left of it.

use std::collections::HashMap;

use bytes::Bytes;
use coprocess_core::{
    Header, HeaderEdit, Object, ResponseHeaders, is_gateways_own, set_first_value,
};
use http::response::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::HookCall;
use super::convert::{Unusable, header_field, too_many};
use crate::definition::BodyMode;
use crate::edge::hop;
use crate::error::ProxyError;
use crate::exchange::Exchange;
use crate::upstream::body::{CollectError, ResponseBody, collect};

/// The body while a hook runs.
pub(super) enum Held {
    /// Read to the end, and shown.
    Whole(Bytes),
    /// Not shown; it goes on afterwards.
    Passing(ResponseBody),
}

impl Held {
    /// What the hook sees.
    pub(super) fn shown(&self) -> Bytes {
        match self {
            Self::Whole(bytes) => bytes.clone(),
            Self::Passing(_) => Bytes::new(),
        }
    }
}

/// Reads the body where the hook wants it.
pub(super) async fn hold(
    response: Response<ResponseBody>,
    call: &HookCall,
) -> Result<(Parts, Held), ProxyError> {
    let (head, body) = response.into_parts();
    if call.body == BodyMode::Stream {
        return Ok((head, Held::Passing(body)));
    }
    let limit = call.max_body_bytes;
    let whole =
        match body {
            ResponseBody::Whole(bytes) => bytes,
            ResponseBody::Upstream(mut body, lease) => {
                let bytes = collect(&mut body, limit).await.map_err(|error| match error {
                CollectError::TooLong => ProxyError::Hook(format!(
                    "response body is longer than coprocess_options.max_body_bytes ({limit}); \
                     raise it, or let the body stream with `\"body\": \"stream\"`"
                )),
                CollectError::Stalled => ProxyError::UpstreamTimeout,
                CollectError::Broken(error) => ProxyError::UpstreamProtocol(error.to_string()),
            })?;
                if let Some(lease) = lease {
                    lease.give_back();
                }
                bytes
            }
            body @ (ResponseBody::Control(_) | ResponseBody::Keeping(_)) => {
                return Ok((head, Held::Passing(body)));
            }
        };
    Ok((head, Held::Whole(whole)))
}

/// Takes back what the hook left. Return overrides and edits of the request or session have
/// no effect here.
pub(super) fn apply(
    mut object: Object,
    exchange: &mut Exchange,
    held: Held,
) -> Result<Response<ResponseBody>, Unusable> {
    exchange.head.headers = std::mem::take(&mut object.request.headers);
    let hooked = object.response.ok_or("hook took the response away")?;
    let status = u16::try_from(hooked.status_code)
        .ok()
        .and_then(|code| StatusCode::from_u16(code).ok())
        .filter(|status| !status.is_informational())
        .ok_or_else(|| {
            let code = hooked.status_code;
            format!("hook set status_code to {code}, which is not a status from 200 to 999")
        })?;
    let views = hooked
        .edited_headers
        .is_some()
        .then(|| hooked.header_views());
    let mut headers = match (hooked.edited_headers, views) {
        (Some(edited), Some(views)) => reconcile(&hooked.headers, &views, edited)?,
        _ => edit(hooked.headers, hooked.header_edits)?,
    };
    hop::strip_response(&mut headers);
    let body = match held {
        Held::Whole(shown) => {
            // Most hooks leave it as it is, which its place tells.
            let is_same =
                shown.as_ptr() == hooked.raw_body.as_ptr() && shown.len() == hooked.raw_body.len();
            if !is_same && shown != hooked.raw_body {
                headers.insert(
                    header::CONTENT_LENGTH,
                    HeaderValue::from(hooked.raw_body.len()),
                );
            }
            ResponseBody::Whole(hooked.raw_body)
        }
        Held::Passing(body) => body,
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Makes edits of single headers, with the outcome that [`reconcile`] has for them.
fn edit(mut headers: HeaderMap, edits: Vec<HeaderEdit>) -> Result<HeaderMap, Unusable> {
    for HeaderEdit { key, value } in edits {
        let Some(value) = value else {
            if let Ok(name) = HeaderName::from_bytes(key.as_bytes())
                && !is_gateways_own(&name)
            {
                headers.remove(name);
            }
            continue;
        };
        let (name, field) = header_field(&key, &value)?;
        if !is_gateways_own(&name) && !set_first_value(&mut headers, name, field) {
            return Err(too_many(()));
        }
    }
    Ok(headers)
}

/// Works out the headers from the two forms that a hook may have edited.
///
/// `headers` wins where it was changed: its value becomes the first of its name, and a name
/// that it lost is gone. Names that are new in `multivalue_headers` are kept.
fn reconcile(
    sent: &HeaderMap,
    shown: &ResponseHeaders,
    edited: ResponseHeaders,
) -> Result<HeaderMap, Unusable> {
    let ResponseHeaders {
        headers,
        mut multivalue_headers,
    } = edited;
    if headers != shown.headers {
        multivalue_headers.retain(|header| {
            headers.contains_key(&header.key) || !shown.headers.contains_key(&header.key)
        });
        // The first of each name; a hook may have put in many.
        let places = multivalue_headers.iter().enumerate().rev();
        let places: HashMap<String, usize> = places
            .map(|(place, header)| (header.key.clone(), place))
            .collect();
        for (key, value) in headers {
            let known = places.get(&key);
            match known.and_then(|place| multivalue_headers.get_mut(*place)) {
                Some(Header { values, .. }) if values.is_empty() => values.push(value),
                // An unchanged value says nothing about what the other form holds.
                Some(_) if shown.headers.get(&key) == Some(&value) => {}
                Some(Header { values, .. }) => values[0] = value,
                None => multivalue_headers.push(Header {
                    key,
                    values: vec![value],
                }),
            }
        }
    }
    let mut result = HeaderMap::try_with_capacity(multivalue_headers.len()).map_err(too_many)?;
    for name in [header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
        if let Some(value) = sent.get(&name) {
            result.insert(name, value.clone());
        }
    }
    for Header { key, values } in multivalue_headers {
        for (place, value) in values.iter().enumerate() {
            let (name, value) = match original(sent, &key, place, value) {
                Some(field) => field,
                None => header_field(&key, value)?,
            };
            if !is_gateways_own(&name) {
                result.try_append(name, value).map_err(too_many)?;
            }
        }
    }
    Ok(result)
}

/// The field as the upstream sent it, if the hook did not change it: its bytes may not be
/// text.
fn original(
    sent: &HeaderMap,
    key: &str,
    place: usize,
    shown: &str,
) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_bytes(key.as_bytes()).ok()?;
    let value = sent.get_all(&name).iter().nth(place)?;
    (String::from_utf8_lossy(value.as_bytes()) == shown).then(|| (name, value.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use coprocess_core::Response as Shown;

    fn check(edit: impl Fn(&mut ResponseHeaders), expected: &[(&str, &str)]) {
        let mut sent = HeaderMap::new();
        for (name, value) in [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-one", "1")] {
            sent.append(name, HeaderValue::from_static(value));
        }
        sent.append("x-bytes", HeaderValue::from_bytes(b"\xe9").unwrap());
        let views = Shown {
            status_code: 200,
            headers: sent.clone(),
            edited_headers: None,
            header_edits: Vec::new(),
            raw_body: Bytes::new(),
            raw_body_only: false,
        }
        .header_views();
        let mut edited = views.clone();
        edit(&mut edited);
        let result = reconcile(&sent, &views, edited).unwrap();
        let mut found: Vec<_> = result
            .iter()
            .filter(|(name, value)| *name != "x-bytes" || value.as_bytes() != b"\xe9")
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        found.sort_unstable();
        assert_eq!(found, expected);
        assert_eq!(
            result["x-bytes"].as_bytes(),
            b"\xe9",
            "bytes that are not text stay"
        );
    }

    /// Headers as one text, the order of names left out.
    fn listed(headers: &HeaderMap) -> Vec<(String, Vec<HeaderValue>)> {
        let all = |name: &HeaderName| headers.get_all(name).iter().cloned().collect();
        let mut listed: Vec<_> = headers
            .keys()
            .map(|name| (name.to_string(), all(name)))
            .collect();
        listed.sort_by(|one, other| one.0.cmp(&other.0));
        listed
    }

    #[test]
    fn edits_one_by_one_have_the_outcome_of_edits_of_the_whole() {
        let mut sent = HeaderMap::new();
        for (name, value) in [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-one", "1")] {
            sent.append(name, HeaderValue::from_static(value));
        }
        sent.insert("content-length", HeaderValue::from_static("5"));
        sent.append("x-bytes", HeaderValue::from_bytes(b"\xe9").unwrap());
        for edits in [
            &[("X-One", Some("2"))][..],
            &[("Set-Cookie", Some("c=3"))],
            &[("Set-Cookie", None)],
            &[("X-New", Some("n")), ("X-New", Some("m"))],
            &[("X-New", Some("n")), ("X-New", None)],
            &[("X-One", None), ("X-One", Some("back"))],
            &[("x-one", Some("beside"))],
            &[("X-Two", Some("2")), ("x-one", Some("beside"))],
            &[("x-one", None)],
            &[("X-Bytes", Some("\u{fffd}"))],
            &[("X-Bytes", Some("text"))],
            &[("Content-Length", Some("9"))],
            &[("Content-Length", None)],
            &[("X-One", Some("a\nb"))],
            &[("no name", Some("1"))],
        ] {
            let shown = || Shown {
                status_code: 200,
                headers: sent.clone(),
                edited_headers: None,
                header_edits: Vec::new(),
                raw_body: Bytes::new(),
                raw_body_only: false,
            };
            let (mut noted, mut at_once) = (shown(), shown());
            for (key, value) in edits {
                noted.edit_header((*key).to_owned(), value.map(str::to_owned));
                match value {
                    Some(value) => at_once.set_header(key, value),
                    None => at_once.edit_header((*key).to_owned(), None),
                }
            }
            let whole = reconcile(&sent, &noted.header_views(), noted.edited().unwrap());
            for response in [noted, at_once] {
                let views = response.header_views();
                let each = match response.edited_headers {
                    Some(edited) => reconcile(&response.headers, &views, edited),
                    None => edit(response.headers, response.header_edits),
                };
                match (&each, &whole) {
                    (Ok(each), Ok(whole)) => assert_eq!(listed(each), listed(whole), "{edits:?}"),
                    (each, whole) => {
                        assert_eq!(each.as_ref().err(), whole.as_ref().err(), "{edits:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn more_headers_than_a_message_can_have_are_an_error() {
        let names = || (0..40_000).map(|number| format!("X-N{number}"));
        let edits = names().map(|key| HeaderEdit {
            key,
            value: Some("v".to_owned()),
        });
        let error = edit(HeaderMap::new(), edits.collect()).unwrap_err();
        assert!(error.contains("more header fields"), "{error}");
        let whole = ResponseHeaders {
            headers: names().map(|key| (key, "v".to_owned())).collect(),
            multivalue_headers: Vec::new(),
        };
        let error = reconcile(&HeaderMap::new(), &ResponseHeaders::default(), whole).unwrap_err();
        assert!(error.contains("more header fields"), "{error}");
    }

    #[test]
    fn untouched_headers_stay() {
        check(
            |_| {},
            &[("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-one", "1")],
        );
    }

    #[test]
    fn a_changed_value_replaces_the_first_of_its_name() {
        check(
            |edited| drop(edited.headers.insert("Set-Cookie".into(), "c=3".into())),
            &[("set-cookie", "b=2"), ("set-cookie", "c=3"), ("x-one", "1")],
        );
    }

    #[test]
    fn a_name_taken_out_of_headers_is_gone() {
        check(
            |edited| drop(edited.headers.shift_remove("Set-Cookie")),
            &[("x-one", "1")],
        );
    }

    #[test]
    fn a_name_new_in_either_form_is_added() {
        check(
            |edited| {
                edited.headers.insert("X-Two".into(), "2".into());
                edited.multivalue_headers.push(Header {
                    key: "X-Three".into(),
                    values: vec!["3".into()],
                });
            },
            &[
                ("set-cookie", "a=1"),
                ("set-cookie", "b=2"),
                ("x-one", "1"),
                ("x-three", "3"),
                ("x-two", "2"),
            ],
        );
    }

    #[test]
    fn one_of_several_values_can_be_edited() {
        check(
            |edited| edited.multivalue_headers[0].values[1] = "b=9".into(),
            &[("set-cookie", "a=1"), ("set-cookie", "b=9"), ("x-one", "1")],
        );
    }
}

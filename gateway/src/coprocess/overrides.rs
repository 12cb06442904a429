//! The answer that a hook gives in place of the upstream (`return_overrides`).

use coprocess_core::{ReturnOverrides, is_gateways_own};
use http::{HeaderValue, Response, StatusCode, header};

use super::convert::{Unusable, header_field, too_many};
use crate::error::{ErrorFormat, ErrorStyle};
use crate::exchange::Exchange;
use crate::upstream::body::ResponseBody;

/// What the client sees when a hook refuses without a message.
const DEFAULT_MESSAGE: &str = "Key not authorised";

/// Whether the hook refuses the caller, and leaves the body of the answer to the gateway.
pub(super) fn is_refusal(overrides: &ReturnOverrides) -> bool {
    overrides.response_code >= 400 && !overrides.override_error
}

/// The answer for a positive `response_code`: an error body for 400 and above unless the
/// hook overrides that, the text as it is otherwise.
pub(super) fn answer(
    overrides: ReturnOverrides,
    exchange: &Exchange,
) -> Result<Response<ResponseBody>, Unusable> {
    let code = overrides.response_code;
    let status = u16::try_from(code)
        .ok()
        .and_then(|code| StatusCode::from_u16(code).ok())
        .filter(|status| !status.is_informational())
        .ok_or_else(|| {
            format!("hook set response_code to {code}, which is not a status from 200 to 999")
        })?;
    let is_error = is_refusal(&overrides);
    let text = match overrides.response_error {
        error if !error.is_empty() => error,
        _ => overrides.response_body,
    };
    let mut response = if is_error {
        let message = if text.is_empty() {
            DEFAULT_MESSAGE
        } else {
            &text
        };
        // The form is that of the request as the hook has left it.
        let content_type = exchange.head.headers.get(header::CONTENT_TYPE);
        let format = ErrorFormat::for_content_type(content_type);
        ErrorStyle {
            format,
            ..exchange.error_style
        }
        .render(status, message)
    } else {
        verbatim(status, text)
    };
    for (name, value) in &overrides.headers {
        let (name, value) = header_field(name, value)?;
        // The content type of an error body is the body's.
        let is_bodys = is_error && name == header::CONTENT_TYPE;
        if !is_gateways_own(&name) && !is_bodys {
            let headers = response.headers_mut();
            headers.try_insert(name, value).map_err(too_many)?;
        }
    }
    Ok(response)
}

fn verbatim(status: StatusCode, text: String) -> Response<ResponseBody> {
    let content_type = (!text.is_empty()).then(|| sniff(&text));
    let mut response = Response::new(ResponseBody::full(text.into()));
    *response.status_mut() = status;
    if let Some(content_type) = content_type {
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    response
}

/// The content type that the original's HTTP library finds for a text that has none
/// (WHATWG MIME sniffing, the part of it that applies to valid UTF-8).
pub(crate) fn sniff(text: &str) -> &'static str {
    const HTML: [&str; 17] = [
        "<!DOCTYPE HTML",
        "<HTML",
        "<HEAD",
        "<SCRIPT",
        "<IFRAME",
        "<H1",
        "<DIV",
        "<FONT",
        "<TABLE",
        "<A",
        "<STYLE",
        "<TITLE",
        "<B",
        "<BODY",
        "<BR",
        "<P",
        "<!--",
    ];
    let start = text.trim_start_matches(['\t', '\n', '\x0c', '\r', ' ']);
    if start.starts_with("<?xml") {
        return "text/xml; charset=utf-8";
    }
    let is_html = HTML.iter().any(|tag| {
        start
            .get(..tag.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(tag))
            && (*tag == "<!--" || matches!(start.as_bytes().get(tag.len()), Some(b' ' | b'>')))
    });
    if is_html {
        return "text/html; charset=utf-8";
    }
    if start.starts_with("%PDF-") {
        return "application/pdf";
    }
    let binary = |byte: u8| matches!(byte, 0..=0x08 | 0x0b | 0x0e..=0x1a | 0x1c..=0x1f);
    if text.bytes().take(512).any(binary) {
        return "application/octet-stream";
    }
    "text/plain; charset=utf-8"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_type_is_found_as_the_original_finds_it() {
        for (text, expected) in [
            ("hello", "text/plain; charset=utf-8"),
            ("{\"a\": 1}", "text/plain; charset=utf-8"),
            (" <html>", "text/html; charset=utf-8"),
            ("<b>x", "text/html; charset=utf-8"),
            ("<blink>", "text/plain; charset=utf-8"),
            ("<?xml version", "text/xml; charset=utf-8"),
            ("a\0b", "application/octet-stream"),
        ] {
            assert_eq!(sniff(text), expected, "{text:?}");
        }
    }
}

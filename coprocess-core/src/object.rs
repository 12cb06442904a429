//! What a hook sees and may change: the message that travels to a language and back.
//!
//! It is plain Rust over `http` and `bytes` types. The request's own header map and body
//! are moved in and moved back, never copied; what has to be converted for a plugin is
//! converted when the plugin looks at it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri, Version};
use percent_encoding::percent_decode;

use crate::{Header, Hook, OrderedMap, RequestId, Response, Session, canonical_name};

/// Text by key, in insertion order; a key set twice keeps its last value.
pub type StringMap = OrderedMap<String>;

/// Where in the chain a hook sits. The numbers are those of the wire message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum HookType {
    /// Before everything else.
    Pre = 1,
    /// Just before the upstream.
    Post = 2,
    /// Right after authentication.
    PostKeyAuth = 3,
    /// The authentication itself (`auth_check`).
    CustomKeyCheck = 4,
    /// On the upstream's response.
    Response = 5,
}

impl HookType {
    /// The name that configuration files use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Post => "post",
            Self::PostKeyAuth => "post_key_auth",
            Self::CustomKeyCheck => "auth_check",
            Self::Response => "response",
        }
    }
}

/// One call of one hook.
#[derive(Debug)]
pub struct Object {
    /// Where in the chain the hook sits.
    pub hook_type: HookType,
    /// The function's name in the API definition.
    pub hook_name: Arc<str>,
    /// The function, as [`Plugin::hook`](crate::Plugin::hook) found it.
    pub hook: Hook,
    /// The request as it is now, and what the hook changes in it. Boxed, like the response:
    /// an object changes hands a dozen times, and they are most of it.
    pub request: Box<Request>,
    /// The caller's session, where an authentication step has found one: for hooks that run
    /// after it and for response hooks; set by an `auth_check` hook that accepts the caller.
    /// Plugins see an empty one in its place; those on servers, in response hooks only.
    pub session: Option<Box<Session>>,
    /// A copy of the session's metadata, kept for compatibility. What is in here after the
    /// hook is merged over `session.metadata`.
    pub metadata: StringMap,
    /// The API that the request belongs to.
    pub spec: Arc<Spec>,
    /// The upstream's response: set for response hooks only.
    pub response: Option<Box<Response>>,
    /// How long the hook may run.
    pub time_limit: Duration,
}

/// The request, and what a hook changes in it.
#[derive(Debug)]
pub struct Request {
    /// All headers, `Host` among them. Editing them has no effect: changes go into
    /// `set_headers` and `delete_headers`.
    pub headers: HeaderMap,
    /// Headers to set after the hook; each replaces all values of its name.
    pub set_headers: StringMap,
    /// Headers to remove after the hook, before `set_headers` takes effect.
    pub delete_headers: Vec<String>,
    /// The request target as received, or the pending rewrite's.
    pub uri: Uri,
    /// Set by a hook that changes the URL: `/path?query`, or absolute.
    pub url: Option<String>,
    /// Query parameters to set after the hook; each replaces all values of its name.
    pub add_params: StringMap,
    /// On the wire, but without effect.
    pub extended_params: StringMap,
    /// Query parameters to remove after the hook, before `add_params` takes effect.
    pub delete_params: Vec<String>,
    /// Filled by a hook that answers the client itself.
    pub return_overrides: ReturnOverrides,
    /// The method; a hook may replace it.
    pub method: Method,
    /// `http` or `https`, by how the client reached the gateway.
    pub scheme: &'static str,
    /// The whole body; a hook may replace it.
    pub raw_body: Bytes,
    /// The hook entry asked not to be shown the body as text.
    pub raw_body_only: bool,
    /// The address of the client's end of the connection (an addition).
    pub client_address: Option<IpAddr>,
    /// What the client's certificate says, where it has shown one (an addition): `subject`,
    /// `issuer`, `serial`, `fingerprint`, `not_before`, `not_after`, `names` and `pem`.
    pub client_certificate: Option<Arc<StringMap>>,
    /// What tells this request from all others (an addition).
    pub request_id: RequestId,
    /// The protocol that the client speaks (an addition).
    pub version: Version,
    /// When the request came in (an addition).
    pub received: Option<SystemTime>,
}

impl Request {
    /// A request without a body, as no hook has seen it yet.
    pub fn new(method: Method, uri: Uri, headers: HeaderMap) -> Self {
        Self {
            headers,
            set_headers: StringMap::new(),
            delete_headers: Vec::new(),
            uri,
            url: None,
            add_params: StringMap::new(),
            extended_params: StringMap::new(),
            delete_params: Vec::new(),
            return_overrides: ReturnOverrides::default(),
            method,
            scheme: "http",
            raw_body: Bytes::new(),
            raw_body_only: false,
            client_address: None,
            client_certificate: None,
            request_id: RequestId::default(),
            version: Version::HTTP_11,
            received: None,
        }
    }

    /// Path and query as the hook sees them.
    pub fn url(&self) -> &str {
        self.url.as_deref().unwrap_or_else(|| self.request_uri())
    }

    /// Path and query as received.
    pub fn request_uri(&self) -> &str {
        self.uri
            .path_and_query()
            .map_or("/", |target| target.as_str())
    }

    /// The query as text by key, percent-decoded, first value of each.
    pub fn params(&self) -> StringMap {
        let mut params = StringMap::new();
        for pair in self
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = decode_form(key);
            if !params.contains_key(&key) {
                params.insert(key, decode_form(value));
            }
        }
        params
    }

    /// The headers under the names that plugins know, first value of each.
    pub fn header_view(&self) -> StringMap {
        first_values(&self.headers)
    }

    /// All values of each header, under the names that plugins know (an addition).
    pub fn multivalue_headers(&self) -> Vec<Header> {
        all_values(&self.headers)
    }

    /// The body as text; empty when it is not UTF-8 or the hook entry says `raw_body_only`.
    pub fn body(&self) -> &str {
        text(&self.raw_body, self.raw_body_only)
    }
}

/// The answer that a hook gives in place of the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnOverrides {
    /// The status; 0 and below mean that the request goes on. Starts as -1.
    pub response_code: i32,
    /// The error message; wins over `response_body`.
    pub response_error: String,
    /// Headers of the answer.
    pub headers: StringMap,
    /// Send the body as it is even when the status is 400 or above.
    pub override_error: bool,
    /// The body.
    pub response_body: String,
}

impl Default for ReturnOverrides {
    fn default() -> Self {
        Self {
            response_code: -1,
            response_error: String::new(),
            headers: StringMap::new(),
            override_error: false,
            response_body: String::new(),
        }
    }
}

/// What a hook is told about the API that the request belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spec {
    /// The organisation.
    pub org_id: String,
    /// The API.
    pub api_id: String,
    /// MD5 of the bundle's name in lower-case hex.
    pub bundle_hash: String,
    /// The API's `config_data` as JSON text, when there is some and it is not disabled.
    pub config_data: Option<String>,
    /// The path prefix that the API listens on (an addition; no entry of the spec map, but
    /// shown with the request).
    pub listen_path: String,
}

impl Spec {
    /// The entries under the names that plugins know.
    pub fn entries(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("OrgID", Some(self.org_id.as_str())),
            ("APIID", Some(self.api_id.as_str())),
            ("bundle_hash", Some(self.bundle_hash.as_str())),
            ("config_data", self.config_data.as_deref()),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key, value?)))
    }
}

/// A body as plugins are shown it.
pub(crate) fn text(bytes: &Bytes, raw_only: bool) -> &str {
    if raw_only {
        ""
    } else {
        std::str::from_utf8(bytes).unwrap_or("")
    }
}

/// The first value of each header, under the names that plugins know.
pub fn first_values(headers: &HeaderMap) -> StringMap {
    let mut first = StringMap::with_capacity(headers.keys_len());
    for name in headers.keys() {
        // `Index` is the first value of a name.
        let value = value_text(&headers[name]);
        first.insert(canonical_name(name).into_owned(), value);
    }
    first
}

/// All values of each header, under the names that plugins know.
pub fn all_values(headers: &HeaderMap) -> Vec<Header> {
    let mut all: Vec<Header> = Vec::with_capacity(headers.keys_len());
    let mut last = None;
    // The values of one name come in a row.
    for (name, value) in headers {
        let value = value_text(value);
        match all.last_mut() {
            Some(header) if last == Some(name) => header.values.push(value),
            _ => all.push(Header {
                key: canonical_name(name).into_owned(),
                values: vec![value],
            }),
        }
        last = Some(name);
    }
    all
}

/// Header values are bytes; plugins want text. What is not UTF-8 is shown with replacement
/// characters; the original bytes stay in the header map.
fn value_text(value: &http::HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
    }
}

fn decode_form(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_decode(spaced.as_bytes())
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str) -> Request {
        Request::new(Method::GET, uri.parse().unwrap(), HeaderMap::new())
    }

    #[test]
    fn params_are_decoded_and_first_value_wins() {
        let params = request("/p?a=1&a=2&b=x%20y+z&c&%C3%A9=%ff").params();
        let pairs: Vec<_> = params
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [("a", "1"), ("b", "x y z"), ("c", ""), ("é", "\u{fffd}")]
        );
    }

    #[test]
    fn body_that_is_not_utf8_is_empty_as_text() {
        let mut request = request("/");
        request.raw_body = Bytes::from_static(b"\xff\x00");
        assert_eq!(request.body(), "");
        request.raw_body = Bytes::from_static(b"text");
        assert_eq!(request.body(), "text");
        request.raw_body_only = true;
        assert_eq!(request.body(), "");
    }

    #[test]
    fn response_headers_are_shown_in_both_forms() {
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", "a=1".parse().unwrap());
        headers.append("set-cookie", "b=2".parse().unwrap());
        let response = Response {
            status_code: 200,
            headers,
            edited_headers: None,
            header_edits: Vec::new(),
            raw_body: Bytes::new(),
            raw_body_only: false,
        };
        let views = response.header_views();
        assert_eq!(views.headers["Set-Cookie"], "a=1");
        assert_eq!(views.multivalue_headers[0].values, ["a=1", "b=2"]);
    }

    #[test]
    fn config_data_is_an_entry_only_when_there_is_some() {
        let mut spec = Spec {
            api_id: "a".into(),
            ..Spec::default()
        };
        assert!(spec.entries().all(|(key, _)| key != "config_data"));
        spec.config_data = Some("{}".into());
        assert_eq!(spec.entries().last(), Some(("config_data", "{}")));
    }
}

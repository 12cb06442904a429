//! The request as a message: `MiniRequestObject` on top of the gateway's own request.

use std::sync::Arc;

use bytes::Bytes;
use coprocess_core::{Request, ReturnOverrides, Spec};
use http::{HeaderMap, Method, Uri};

use super::record::{Class, FieldInfo, Fields, Kind, Record, Value};

pub(crate) const SET_HEADERS: u8 = 2;
pub(crate) const DELETE_HEADERS: u8 = 3;
pub(crate) const ADD_PARAMS: u8 = 7;
pub(crate) const DELETE_PARAMS: u8 = 9;

const HEADERS: u8 = 1;
const BODY: u8 = 4;
const URL: u8 = 5;
const PARAMS: u8 = 6;
const EXTENDED_PARAMS: u8 = 8;
const RETURN_OVERRIDES: u8 = 10;
const METHOD: u8 = 11;
const REQUEST_URI: u8 = 12;
const SCHEME: u8 = 13;
const RAW_BODY: u8 = 14;
// Additions of this gateway, which no field of the wire contract will ever collide with.
const MULTIVALUE_HEADERS: u8 = 100;
const CLIENT_ADDRESS: u8 = 101;
const LISTEN_PATH: u8 = 102;
const REQUEST_ID: u8 = 103;
const CLIENT_CERTIFICATE: u8 = 104;

/// The gateway's request, and what a hook wrote into fields that have no effect.
#[derive(Debug)]
pub(crate) struct RequestRecord {
    pub(crate) request: Box<Request>,
    /// Where the listen path is.
    spec: Option<Arc<Spec>>,
    /// Whether the return overrides are there, as they are in all that the gateway sends.
    has_overrides: bool,
    /// What `body` shows, when it is not the raw body: that one was replaced since.
    shown: Option<Bytes>,
    /// What was written where writing has no effect: read back as written, and ignored by
    /// the gateway.
    shadow: Vec<(u8, Value)>,
}

impl RequestRecord {
    /// A record that shows no request yet.
    pub(crate) fn blank() -> Self {
        Self {
            request: Box::new(Request::new(Method::GET, Uri::default(), HeaderMap::new())),
            spec: None,
            has_overrides: true,
            shown: None,
            shadow: Vec::new(),
        }
    }

    /// Shows a request, which stays in here until it is given back: what is in its place
    /// meanwhile is no request.
    pub(crate) fn borrow(&mut self, request: &mut Box<Request>, spec: &Arc<Spec>) {
        std::mem::swap(&mut self.request, request);
        if !matches!(&self.spec, Some(own) if Arc::ptr_eq(own, spec)) {
            self.spec = Some(Arc::clone(spec));
        }
    }

    /// Puts the request back to where it came from. The record can show another one.
    pub(crate) fn give_back(&mut self, request: &mut Box<Request>) {
        std::mem::swap(&mut self.request, request);
        self.has_overrides = true;
        self.shown = None;
        self.shadow.clear();
    }

    /// This request as the answer to a hook that was called with `original`: what a hook
    /// cannot change stays the original's.
    pub(crate) fn adopted_by(self, original: Request) -> Request {
        // A message that a plugin made has no method until it is given one.
        let own = *self.request;
        let named = !self.shadow.iter().any(|(number, _)| *number == METHOD);
        Request {
            method: if named { own.method } else { original.method },
            url: own.url.or(original.url),
            headers: original.headers,
            uri: original.uri,
            scheme: original.scheme,
            raw_body_only: original.raw_body_only,
            client_address: original.client_address,
            client_certificate: original.client_certificate,
            request_id: original.request_id,
            version: original.version,
            received: original.received,
            ..own
        }
    }

    /// Takes out what was written into a field; a single value stays there.
    fn shadowed(&mut self, number: u8) -> Option<Value> {
        let at = self.shadow.iter().position(|(other, _)| *other == number)?;
        Some(match &self.shadow[at].1 {
            Value::Text(text) => Value::Text(text.clone()),
            _ => self.shadow.swap_remove(at).1,
        })
    }

    fn cast_shadow(&mut self, number: u8, value: Value) {
        self.lift_shadow(number);
        self.shadow.push((number, value));
    }

    fn lift_shadow(&mut self, number: u8) {
        self.shadow.retain(|(other, _)| *other != number);
    }

    fn set_url(&mut self, url: String) {
        if url.is_empty() {
            self.request.url = None;
            return self.cast_shadow(URL, Value::Text(url));
        }
        self.lift_shadow(URL);
        // Writing back what was read must not count as a rewrite.
        if url != self.request.url() {
            self.request.url = Some(url);
        }
    }

    fn set_method(&mut self, method: String) -> Result<(), String> {
        if method.is_empty() {
            self.cast_shadow(METHOD, Value::Text(method));
            return Ok(());
        }
        self.request.method = Method::from_bytes(method.as_bytes())
            .map_err(|_| format!("method {method:?} is not an HTTP method"))?;
        self.lift_shadow(METHOD);
        Ok(())
    }
}

impl Default for RequestRecord {
    fn default() -> Self {
        let mut request = Box::new(Request::new(Method::GET, Uri::default(), HeaderMap::new()));
        // Only the gateway's own messages start at -1.
        request.return_overrides = ReturnOverrides {
            response_code: 0,
            ..ReturnOverrides::default()
        };
        let unset = [URL, METHOD, REQUEST_URI, SCHEME, REQUEST_ID];
        Self {
            request,
            spec: None,
            has_overrides: false,
            shown: Some(Bytes::new()),
            shadow: unset
                .map(|number| (number, Value::Text(String::new())))
                .into(),
        }
    }
}

impl Clone for RequestRecord {
    fn clone(&self) -> Self {
        let of = &self.request;
        Self {
            request: Box::new(Request {
                headers: of.headers.clone(),
                set_headers: of.set_headers.clone(),
                delete_headers: of.delete_headers.clone(),
                uri: of.uri.clone(),
                url: of.url.clone(),
                add_params: of.add_params.clone(),
                extended_params: of.extended_params.clone(),
                delete_params: of.delete_params.clone(),
                return_overrides: of.return_overrides.clone(),
                method: of.method.clone(),
                scheme: of.scheme,
                raw_body: of.raw_body.clone(),
                raw_body_only: of.raw_body_only,
                client_address: of.client_address,
                client_certificate: of.client_certificate.clone(),
                request_id: of.request_id,
                version: of.version,
                received: of.received,
            }),
            spec: self.spec.clone(),
            has_overrides: self.has_overrides,
            shown: self.shown.clone(),
            shadow: self.shadow.clone(),
        }
    }
}

/// Two requests are equal when all fields that a hook can see are.
impl PartialEq for RequestRecord {
    fn eq(&self, other: &Self) -> bool {
        let (mut one, mut two) = (self.clone(), other.clone());
        Self::FIELDS
            .iter()
            .all(|field| one.take(field.number) == two.take(field.number))
    }
}

impl Fields for RequestRecord {
    const FIELDS: &'static [FieldInfo] = &[
        field(HEADERS, "headers", Kind::Map),
        field(SET_HEADERS, "set_headers", Kind::Map),
        field(DELETE_HEADERS, "delete_headers", Kind::Strings),
        field(BODY, "body", Kind::Text),
        field(URL, "url", Kind::Text),
        field(PARAMS, "params", Kind::Map),
        field(ADD_PARAMS, "add_params", Kind::Map),
        field(EXTENDED_PARAMS, "extended_params", Kind::Map),
        field(DELETE_PARAMS, "delete_params", Kind::Strings),
        field(
            RETURN_OVERRIDES,
            "return_overrides",
            Kind::Message(Class::Overrides),
        ),
        field(METHOD, "method", Kind::Text),
        field(REQUEST_URI, "request_uri", Kind::Text),
        field(SCHEME, "scheme", Kind::Text),
        field(RAW_BODY, "raw_body", Kind::Bytes),
        field(
            MULTIVALUE_HEADERS,
            "multivalue_headers",
            Kind::Messages(Class::Header),
        ),
        field(CLIENT_ADDRESS, "client_address", Kind::Text),
        field(LISTEN_PATH, "listen_path", Kind::Text),
        field(REQUEST_ID, "request_id", Kind::Text),
        field(CLIENT_CERTIFICATE, "client_certificate", Kind::Map),
    ];

    fn take(&mut self, number: u8) -> Value {
        if let Some(written) = self.shadowed(number) {
            return written;
        }
        let request = &mut self.request;
        match number {
            HEADERS => Value::Map(request.header_view()),
            SET_HEADERS => Value::Map(std::mem::take(&mut request.set_headers)),
            DELETE_HEADERS => Value::Strings(std::mem::take(&mut request.delete_headers)),
            BODY => Value::Text(match &self.shown {
                Some(bytes) if !request.raw_body_only => text_of(bytes),
                Some(_) => String::new(),
                None => request.body().to_owned(),
            }),
            URL => Value::Text(request.url().to_owned()),
            PARAMS => Value::Map(request.params()),
            ADD_PARAMS => Value::Map(std::mem::take(&mut request.add_params)),
            EXTENDED_PARAMS => Value::Map(std::mem::take(&mut request.extended_params)),
            DELETE_PARAMS => Value::Strings(std::mem::take(&mut request.delete_params)),
            RETURN_OVERRIDES => {
                let overrides = std::mem::take(&mut request.return_overrides);
                Value::Message(Record::Overrides(overrides), self.has_overrides)
            }
            METHOD => Value::Text(request.method.as_str().to_owned()),
            REQUEST_URI => Value::Text(request.request_uri().to_owned()),
            SCHEME => Value::Text(request.scheme.to_owned()),
            RAW_BODY => Value::Bytes(request.raw_body.clone()),
            MULTIVALUE_HEADERS => {
                let headers = request.multivalue_headers().into_iter();
                Value::Messages(headers.map(Record::Header).collect())
            }
            CLIENT_ADDRESS => Value::Text(match request.client_address {
                Some(address) => address.to_string(),
                None => String::new(),
            }),
            LISTEN_PATH => Value::Text(match &self.spec {
                Some(spec) => spec.listen_path.clone(),
                None => String::new(),
            }),
            REQUEST_ID => Value::Text(request.request_id.to_string()),
            CLIENT_CERTIFICATE => {
                let shown = request.client_certificate.as_deref();
                Value::Map(shown.cloned().unwrap_or_default())
            }
            _ => unreachable!("field numbers come from FIELDS"),
        }
    }

    fn put(&mut self, number: u8, value: Value) -> Result<(), String> {
        match (number, value) {
            (SET_HEADERS, Value::Map(map)) => self.request.set_headers = map,
            (ADD_PARAMS, Value::Map(map)) => self.request.add_params = map,
            (EXTENDED_PARAMS, Value::Map(map)) => self.request.extended_params = map,
            (DELETE_HEADERS, Value::Strings(names)) => self.request.delete_headers = names,
            (DELETE_PARAMS, Value::Strings(names)) => self.request.delete_params = names,
            (RETURN_OVERRIDES, Value::Message(Record::Overrides(overrides), present)) => {
                self.request.return_overrides = overrides;
                self.has_overrides = present;
            }
            (URL, Value::Text(url)) => self.set_url(url),
            (METHOD, Value::Text(method)) => self.set_method(method)?,
            (RAW_BODY, Value::Bytes(body)) => {
                let before = std::mem::replace(&mut self.request.raw_body, body);
                self.shown.get_or_insert(before);
            }
            // Edits of all others have no effect.
            (number, value) => self.cast_shadow(number, value),
        }
        Ok(())
    }
}

/// Bytes as `body` shows them.
pub(super) fn text_of(bytes: &Bytes) -> String {
    std::str::from_utf8(bytes).unwrap_or_default().to_owned()
}

const fn field(number: u8, name: &'static str, kind: Kind) -> FieldInfo {
    FieldInfo { number, name, kind }
}

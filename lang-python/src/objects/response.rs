//! The upstream's response as a message: `ResponseObject`.

use bytes::Bytes;
use coprocess_core::{Header, Response, ResponseHeaders, StringMap};
use http::HeaderMap;

use super::map::header_key;
use super::record::{Class, FieldInfo, Fields, Kind, Record, Value};
use super::request::text_of;

const STATUS_CODE: u8 = 1;
const RAW_BODY: u8 = 2;
const BODY: u8 = 3;
const HEADERS: u8 = 4;
const MULTIVALUE_HEADERS: u8 = 5;

/// The gateway's response, and the header forms that a hook looked at.
#[derive(Debug)]
pub(crate) struct ResponseRecord {
    response: Response,
    /// Text that a hook wrote into `body`: read back as written, and without effect.
    written_body: Option<String>,
    /// What `body` shows, when it is not the raw body: that one was replaced since.
    shown: Option<Bytes>,
    headers: Option<StringMap>,
    multivalue_headers: Option<Vec<Header>>,
}

impl ResponseRecord {
    pub(crate) fn new(mut response: Response) -> Self {
        let edited = response.edited_headers.take();
        let (headers, multivalue_headers) = match edited {
            Some(edited) => (Some(edited.headers), Some(edited.multivalue_headers)),
            None => (None, None),
        };
        Self {
            response,
            written_body: None,
            shown: None,
            headers,
            multivalue_headers,
        }
    }

    /// This response as the answer to a hook that was called with `original`: the headers
    /// that were sent stay the original's, so that the gateway can see what changed.
    pub(crate) fn adopted_by(mut self, original: Self) -> Response {
        self.response.headers = original.response.headers;
        self.headers.get_or_insert_default();
        self.multivalue_headers.get_or_insert_default();
        self.into_response()
    }

    /// The response with what the hook changed. Both header forms are given when the hook
    /// looked at one of them: the gateway compares them with what it sent.
    pub(crate) fn into_response(self) -> Response {
        let mut response = self.response;
        if self.headers.is_some() || self.multivalue_headers.is_some() {
            let sent = response.header_views();
            response.edited_headers = Some(ResponseHeaders {
                headers: self.headers.unwrap_or(sent.headers),
                multivalue_headers: self.multivalue_headers.unwrap_or(sent.multivalue_headers),
            });
        }
        response
    }
}

impl Default for ResponseRecord {
    fn default() -> Self {
        let response = Response {
            status_code: 0,
            headers: HeaderMap::new(),
            edited_headers: None,
            header_edits: Vec::new(),
            raw_body: Bytes::new(),
            raw_body_only: false,
        };
        Self {
            shown: Some(Bytes::new()),
            ..Self::new(response)
        }
    }
}

impl Clone for ResponseRecord {
    fn clone(&self) -> Self {
        let of = &self.response;
        Self {
            response: Response {
                status_code: of.status_code,
                headers: of.headers.clone(),
                edited_headers: None,
                header_edits: Vec::new(),
                raw_body: of.raw_body.clone(),
                raw_body_only: of.raw_body_only,
            },
            written_body: self.written_body.clone(),
            shown: self.shown.clone(),
            headers: self.headers.clone(),
            multivalue_headers: self.multivalue_headers.clone(),
        }
    }
}

/// Two responses are equal when all fields that a hook can see are.
impl PartialEq for ResponseRecord {
    fn eq(&self, other: &Self) -> bool {
        let (mut one, mut two) = (self.clone(), other.clone());
        Self::FIELDS
            .iter()
            .all(|field| one.take(field.number) == two.take(field.number))
    }
}

impl Fields for ResponseRecord {
    const FIELDS: &'static [FieldInfo] = &[
        field(STATUS_CODE, "status_code", Kind::Int32),
        field(RAW_BODY, "raw_body", Kind::Bytes),
        field(BODY, "body", Kind::Text),
        field(HEADERS, "headers", Kind::Headers),
        field(
            MULTIVALUE_HEADERS,
            "multivalue_headers",
            Kind::Messages(Class::Header),
        ),
    ];

    fn take(&mut self, number: u8) -> Value {
        match number {
            STATUS_CODE => Value::Int(self.response.status_code.into()),
            RAW_BODY => Value::Bytes(self.response.raw_body.clone()),
            BODY => Value::Text(match (&self.written_body, &self.shown) {
                (Some(written), _) => written.clone(),
                (None, Some(bytes)) if !self.response.raw_body_only => text_of(bytes),
                (None, Some(_)) => String::new(),
                (None, None) => self.response.body().to_owned(),
            }),
            HEADERS => Value::Map(match self.headers.take() {
                Some(headers) => headers,
                None => self.response.header_views().headers,
            }),
            MULTIVALUE_HEADERS => {
                let headers = match self.multivalue_headers.take() {
                    Some(headers) => headers,
                    None => self.response.header_views().multivalue_headers,
                };
                Value::Messages(headers.into_iter().map(Record::Header).collect())
            }
            _ => unreachable!("field numbers come from FIELDS"),
        }
    }

    fn put(&mut self, number: u8, value: Value) -> Result<(), String> {
        match (number, value) {
            (STATUS_CODE, Value::Int(code)) => {
                // The range was checked where the value came from Python.
                self.response.status_code = i32::try_from(code).unwrap_or_default();
            }
            (RAW_BODY, Value::Bytes(body)) => {
                let before = std::mem::replace(&mut self.response.raw_body, body);
                self.shown.get_or_insert(before);
            }
            (BODY, Value::Text(text)) => self.written_body = Some(text),
            (HEADERS, Value::Map(headers)) => self.headers = Some(headers),
            (MULTIVALUE_HEADERS, Value::Messages(items)) => {
                let headers = items.into_iter().filter_map(|item| match item {
                    // Under the name that the other form has it by, or the two are taken
                    // for two headers.
                    Record::Header(header) => Some(Header {
                        key: header_key(&header.key).into_owned(),
                        ..header
                    }),
                    _ => None,
                });
                self.multivalue_headers = Some(headers.collect());
            }
            _ => {}
        }
        Ok(())
    }
}

const fn field(number: u8, name: &'static str, kind: Kind) -> FieldInfo {
    FieldInfo { number, name, kind }
}

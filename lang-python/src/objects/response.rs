//! The upstream's response as a message: `ResponseObject`.

use std::sync::Arc;

use bytes::Bytes;
use coprocess_core::{Header, Response, ResponseHeaders, StringMap, all_values, first_values};
use http::HeaderMap;

use super::headers::{EditedHeaders, Edits, header_key};
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
    response: Box<Response>,
    /// Its headers, while a hook looks at them.
    sent: Option<Arc<HeaderMap>>,
    /// Text that a hook wrote into `body`: read back as written, and without effect.
    written_body: Option<String>,
    /// What `body` shows, when it is not the raw body: that one was replaced since.
    shown: Option<Bytes>,
    headers: Option<Form>,
    multivalue_headers: Option<Vec<Header>>,
}

/// What a hook left of `headers`.
#[derive(Debug, Clone)]
enum Form {
    Whole(StringMap),
    Edits(Edits),
}

impl ResponseRecord {
    pub(crate) fn new(mut response: Box<Response>) -> Self {
        let edited = response.edited_headers.take();
        let (headers, multivalue_headers) = match edited {
            Some(edited) => (
                Some(Form::Whole(edited.headers)),
                Some(edited.multivalue_headers),
            ),
            None => (None, None),
        };
        Self {
            response,
            sent: None,
            written_body: None,
            shown: None,
            headers,
            multivalue_headers,
        }
    }

    /// This response as the answer to a hook that was called with `original`: the headers
    /// that were sent stay the original's, so that the gateway can see what changed.
    pub(crate) fn adopted_by(mut self, original: Self) -> Box<Response> {
        let (headers, multivalue_headers) = (self.whole(), self.whole_lists());
        let sent = original.into_sent();
        self.response.headers = sent;
        self.response.edited_headers = Some(ResponseHeaders {
            headers,
            multivalue_headers,
        });
        self.response
    }

    /// The response with what the hook changed. Where it looked at one form only, and what
    /// it did there can be done to the headers themselves, it is. Else both forms are given,
    /// and the gateway compares them with what it sent.
    pub(crate) fn into_response(mut self) -> Box<Response> {
        let headers = self.headers.take();
        let multivalue_headers = self.multivalue_headers.take();
        if headers.is_none() && multivalue_headers.is_none() {
            return self.restored();
        }
        self.headers = match headers {
            Some(Form::Edits(edits)) if multivalue_headers.is_none() && edits.are_fit() => {
                let mut response = self.restored();
                response.header_edits = edits.apply(&mut response.headers);
                return response;
            }
            other => other,
        };
        self.multivalue_headers = multivalue_headers;
        let edited = ResponseHeaders {
            headers: self.whole(),
            multivalue_headers: self.whole_lists(),
        };
        let mut response = self.restored();
        response.edited_headers = Some(edited);
        response
    }

    fn restored(mut self) -> Box<Response> {
        if let Some(sent) = self.sent.take() {
            self.response.headers = Arc::unwrap_or_clone(sent);
        }
        self.response
    }

    fn into_sent(self) -> HeaderMap {
        self.restored().headers
    }

    /// The headers that were sent.
    fn sent(&self) -> &HeaderMap {
        self.sent.as_deref().unwrap_or(&self.response.headers)
    }

    /// The headers that were sent, for somebody who keeps them.
    fn shared(&mut self) -> Arc<HeaderMap> {
        let own = &mut self.response.headers;
        let sent = self
            .sent
            .get_or_insert_with(|| Arc::new(std::mem::take(own)));
        Arc::clone(sent)
    }

    /// Takes out the form `headers`.
    fn whole(&mut self) -> StringMap {
        match self.headers.take() {
            Some(Form::Whole(map)) => map,
            Some(Form::Edits(edits)) => EditedHeaders::new(self.shared(), edits).to_map(),
            None => first_values(self.sent()),
        }
    }

    /// Takes out the form `multivalue_headers`.
    fn whole_lists(&mut self) -> Vec<Header> {
        let lists = self.multivalue_headers.take();
        lists.unwrap_or_else(|| all_values(self.sent()))
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
            ..Self::new(Box::new(response))
        }
    }
}

impl Clone for ResponseRecord {
    fn clone(&self) -> Self {
        let of = &self.response;
        Self {
            response: Box::new(Response {
                status_code: of.status_code,
                headers: self.sent().clone(),
                edited_headers: None,
                header_edits: Vec::new(),
                raw_body: of.raw_body.clone(),
                raw_body_only: of.raw_body_only,
            }),
            sent: None,
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
            HEADERS => Value::Map(self.whole()),
            MULTIVALUE_HEADERS => {
                let headers = self.whole_lists().into_iter();
                Value::Messages(headers.map(Record::Header).collect())
            }
            _ => unreachable!("field numbers come from FIELDS"),
        }
    }

    fn lend(&mut self, number: u8) -> Value {
        if number != HEADERS {
            return self.take(number);
        }
        match self.headers.take() {
            Some(Form::Whole(map)) => Value::Map(map),
            Some(Form::Edits(edits)) => Value::Edited(EditedHeaders::new(self.shared(), edits)),
            None => Value::Edited(EditedHeaders::new(self.shared(), Edits::default())),
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
            (HEADERS, Value::Map(headers)) => self.headers = Some(Form::Whole(headers)),
            (HEADERS, Value::Edited(headers)) => {
                self.headers = Some(Form::Edits(headers.into_edits()));
            }
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

//! The messages as plain Rust values, addressed by the field numbers of the wire contract.

use bytes::Bytes;
use coprocess_core::{
    AccessDefinition, AccessSpec, BasicAuthData, Header, JwtData, Monitor, OrderedMap,
    ReturnOverrides, Session, StringMap,
};

use super::headers::EditedHeaders;
use super::request::RequestRecord;
use super::response::ResponseRecord;

/// A field of a message.
#[derive(Debug)]
pub(crate) struct FieldInfo {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Bytes,
    Int32,
    Int64,
    Float,
    Bool,
    Map,
    /// A map whose keys are names of headers.
    Headers,
    Strings,
    Doubles,
    Message(Class),
    Messages(Class),
    MessageMap(Class),
}

impl Kind {
    /// Whether the field is one value, which may be assigned.
    pub(crate) fn is_scalar(self) -> bool {
        use Kind::{Bool, Bytes, Float, Int32, Int64, Text};
        matches!(self, Text | Bytes | Int32 | Int64 | Float | Bool)
    }
}

/// The content of a field on its way between a record and Python.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Bytes(Bytes),
    Int(i64),
    Float(f64),
    Bool(bool),
    Map(StringMap),
    /// Headers of which a map would be made only where somebody wants all of them.
    Edited(EditedHeaders),
    Strings(Vec<String>),
    Doubles(Vec<f64>),
    /// With whether it is there: one that is not has no content either.
    Message(Record, bool),
    Messages(Vec<Record>),
    MessageMap(Vec<(String, Record)>),
}

impl Value {
    /// Whether it is what a field of a new message holds.
    pub(crate) fn is_default(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Int(number) => *number == 0,
            // The negative zero is another number than the default.
            Self::Float(number) => number.to_bits() == 0,
            Self::Bool(flag) => !flag,
            Self::Map(map) => map.is_empty(),
            Self::Edited(headers) => headers.is_empty(),
            Self::Strings(items) => items.is_empty(),
            Self::Doubles(items) => items.is_empty(),
            Self::Message(_, present) => !present,
            Self::Messages(records) => records.is_empty(),
            Self::MessageMap(entries) => entries.is_empty(),
        }
    }
}

/// A struct whose fields have numbers.
pub(crate) trait Fields {
    /// The fields in number order.
    const FIELDS: &'static [FieldInfo];

    /// The content of a field. Scalars are copied; what has parts of its own is moved out,
    /// and comes back through `put`.
    fn take(&mut self, number: u8) -> Value;

    /// The content of a field that is to become a Python object, which may be less work than
    /// all of it.
    fn lend(&mut self, number: u8) -> Value {
        self.take(number)
    }

    /// Sets a field. Fails with the reason when the value cannot be one of this field.
    fn put(&mut self, number: u8, value: Value) -> Result<(), String>;
}

/// A type of field: how its content becomes a [`Value`] and back.
trait Part {
    fn lift(&mut self) -> Value;
    fn lower(&mut self, value: Value);
}

macro_rules! part {
    ($type:ty, $variant:ident, |$own:ident| $lift:expr, |$content:ident| $lower:expr) => {
        impl Part for $type {
            fn lift(&mut self) -> Value {
                let $own = self;
                Value::$variant($lift)
            }
            fn lower(&mut self, value: Value) {
                if let Value::$variant($content) = value {
                    *self = $lower;
                }
            }
        }
    };
}

part!(String, Text, |own| own.clone(), |content| content);
part!(i64, Int, |own| *own, |content| content);
part!(i32, Int, |own| i64::from(*own), |content| {
    // The range was checked where the value came from Python.
    i32::try_from(content).unwrap_or_default()
});
part!(f64, Float, |own| *own, |content| content);
part!(bool, Bool, |own| *own, |content| content);
part!(StringMap, Map, |own| std::mem::take(own), |content| content);
part!(Vec<String>, Strings, |own| std::mem::take(own), |content| {
    content
});
part!(Vec<f64>, Doubles, |own| std::mem::take(own), |content| {
    content
});

macro_rules! optional_message {
    ($type:ident) => {
        impl Part for Option<$type> {
            fn lift(&mut self) -> Value {
                let present = self.is_some();
                Value::Message(Record::$type(self.take().unwrap_or_default()), present)
            }
            fn lower(&mut self, value: Value) {
                if let Value::Message(Record::$type(content), present) = value {
                    *self = present.then_some(content);
                }
            }
        }
    };
}

optional_message!(BasicAuthData);
optional_message!(JwtData);
optional_message!(Monitor);

macro_rules! message_list {
    ($type:ident) => {
        impl Part for Vec<$type> {
            fn lift(&mut self) -> Value {
                let items = std::mem::take(self);
                Value::Messages(items.into_iter().map(Record::$type).collect())
            }
            fn lower(&mut self, value: Value) {
                if let Value::Messages(items) = value {
                    *self = items
                        .into_iter()
                        .filter_map(|item| match item {
                            Record::$type(item) => Some(item),
                            _ => None,
                        })
                        .collect();
                }
            }
        }
    };
}

message_list!(AccessSpec);

impl Part for OrderedMap<AccessDefinition> {
    fn lift(&mut self) -> Value {
        let entries = std::mem::take(self).into_iter();
        Value::MessageMap(
            entries
                .map(|(key, value)| (key, Record::AccessDefinition(value)))
                .collect(),
        )
    }

    fn lower(&mut self, value: Value) {
        if let Value::MessageMap(entries) = value {
            *self = entries
                .into_iter()
                .filter_map(|(key, value)| match value {
                    Record::AccessDefinition(value) => Some((key, value)),
                    _ => None,
                })
                .collect();
        }
    }
}

macro_rules! fields {
    ($type:ident { $($number:literal $field:ident: $kind:expr,)+ }) => {
        impl Fields for $type {
            const FIELDS: &'static [FieldInfo] = &[
                $(FieldInfo { number: $number, name: stringify!($field), kind: $kind },)+
            ];

            fn take(&mut self, number: u8) -> Value {
                match number {
                    $($number => self.$field.lift(),)+
                    _ => unreachable!("field numbers come from FIELDS"),
                }
            }

            fn put(&mut self, number: u8, value: Value) -> Result<(), String> {
                match number {
                    $($number => self.$field.lower(value),)+
                    _ => unreachable!("field numbers come from FIELDS"),
                }
                Ok(())
            }
        }
    };
}

fields!(Session {
    1 last_check: Kind::Int64,
    2 allowance: Kind::Float,
    3 rate: Kind::Float,
    4 per: Kind::Float,
    5 expires: Kind::Int64,
    6 quota_max: Kind::Int64,
    7 quota_renews: Kind::Int64,
    8 quota_remaining: Kind::Int64,
    9 quota_renewal_rate: Kind::Int64,
    10 access_rights: Kind::MessageMap(Class::AccessDefinition),
    11 org_id: Kind::Text,
    12 oauth_client_id: Kind::Text,
    13 oauth_keys: Kind::Map,
    14 basic_auth_data: Kind::Message(Class::BasicAuthData),
    15 jwt_data: Kind::Message(Class::JwtData),
    16 hmac_enabled: Kind::Bool,
    17 hmac_secret: Kind::Text,
    18 is_inactive: Kind::Bool,
    19 apply_policy_id: Kind::Text,
    20 data_expires: Kind::Int64,
    21 monitor: Kind::Message(Class::Monitor),
    22 enable_detailed_recording: Kind::Bool,
    23 metadata: Kind::Map,
    24 tags: Kind::Strings,
    25 alias: Kind::Text,
    26 last_updated: Kind::Text,
    27 id_extractor_deadline: Kind::Int64,
    28 session_lifetime: Kind::Int64,
    29 apply_policies: Kind::Strings,
    30 certificate: Kind::Text,
    31 max_query_depth: Kind::Int64,
    32 key_id: Kind::Text,
    33 post_expiry_action: Kind::Text,
    34 post_expiry_grace_period: Kind::Int64,
});

fields!(AccessDefinition {
    1 api_name: Kind::Text,
    2 api_id: Kind::Text,
    3 versions: Kind::Strings,
    4 allowed_urls: Kind::Messages(Class::AccessSpec),
});

fields!(AccessSpec {
    1 url: Kind::Text,
    2 methods: Kind::Strings,
});

fields!(BasicAuthData {
    1 password: Kind::Text,
    2 hash: Kind::Text,
});

fields!(JwtData {
    1 secret: Kind::Text,
});

fields!(Monitor {
    1 trigger_limits: Kind::Doubles,
});

fields!(ReturnOverrides {
    1 response_code: Kind::Int32,
    2 response_error: Kind::Text,
    3 headers: Kind::Map,
    4 override_error: Kind::Bool,
    5 response_body: Kind::Text,
});

fields!(Header {
    1 key: Kind::Text,
    2 values: Kind::Strings,
});

/// The field of `Session` that the `metadata` argument of a hook is.
pub(crate) const SESSION_METADATA: u8 = 23;

macro_rules! records {
    ($($variant:ident($type:ty) = $wire:literal, $default:expr;)+) => {
        /// The classes of messages.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Class { $($variant,)+ }

        /// A message of any class. The large ones are boxed.
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) enum Record { $($variant($type),)+ }

        impl Class {
            /// The message's name on the wire, which is also its class's name in Python.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Class::$variant => $wire,)+ }
            }

            /// The class with that name on the wire.
            pub(crate) fn by_name(name: &str) -> Option<Self> {
                match name { $($wire => Some(Class::$variant),)+ _ => None }
            }

            pub(crate) fn empty(self) -> Record {
                match self { $(Class::$variant => Record::$variant($default),)+ }
            }
        }

        impl Record {
            pub(crate) fn class(&self) -> Class {
                match self { $(Record::$variant(_) => Class::$variant,)+ }
            }

            pub(crate) fn take(&mut self, number: u8) -> Value {
                match self { $(Record::$variant(message) => message.take(number),)+ }
            }

            pub(crate) fn lend(&mut self, number: u8) -> Value {
                match self { $(Record::$variant(message) => message.lend(number),)+ }
            }

            pub(crate) fn put(&mut self, number: u8, value: Value) -> Result<(), String> {
                match self { $(Record::$variant(message) => message.put(number, value),)+ }
            }
        }
    };
}

records! {
    Session(Box<Session>) = "SessionState", Box::default();
    AccessDefinition(AccessDefinition) = "AccessDefinition", AccessDefinition::default();
    AccessSpec(AccessSpec) = "AccessSpec", AccessSpec::default();
    BasicAuthData(BasicAuthData) = "BasicAuthData", BasicAuthData::default();
    JwtData(JwtData) = "JWTData", JwtData::default();
    Monitor(Monitor) = "Monitor", Monitor::default();
    Request(Box<RequestRecord>) = "MiniRequestObject", Box::default();
    Overrides(ReturnOverrides) = "ReturnOverrides", ReturnOverrides {
        // Only the gateway's own messages start at -1.
        response_code: 0,
        ..ReturnOverrides::default()
    };
    Response(Box<ResponseRecord>) = "ResponseObject", Box::default();
    Header(Header) = "Header", Header::default();
}

impl Class {
    /// The fields of the class in number order.
    pub(crate) fn fields(self) -> &'static [FieldInfo] {
        match self {
            Class::Session => Session::FIELDS,
            Class::AccessDefinition => AccessDefinition::FIELDS,
            Class::AccessSpec => AccessSpec::FIELDS,
            Class::BasicAuthData => BasicAuthData::FIELDS,
            Class::JwtData => JwtData::FIELDS,
            Class::Monitor => Monitor::FIELDS,
            Class::Request => RequestRecord::FIELDS,
            Class::Overrides => ReturnOverrides::FIELDS,
            Class::Response => ResponseRecord::FIELDS,
            Class::Header => Header::FIELDS,
        }
    }
}

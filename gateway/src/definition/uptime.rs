//! What a definition says of tests of its upstreams.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `uptime_tests`
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UptimeTests {
    /// Leave them aside.
    pub disabled: bool,
    /// What is asked again and again.
    pub check_list: Vec<UptimeTest>,
}

/// One of `uptime_tests.check_list`: an object, or a URL alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct UptimeTest(pub UptimeTestFields);

/// The fields of a test.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct UptimeTestFields {
    /// What is asked: a URL, or with `protocol` a host and a port.
    pub url: String,
    /// `tcp` and `tls` open a connection; everything else is HTTP.
    pub protocol: String,
    /// How long an answer may take; 0 is the default.
    pub timeout: Timeout,
    /// What is said over a connection.
    pub commands: Vec<Command>,
    /// The method; empty is GET.
    pub method: String,
    /// Headers of the request.
    pub headers: BTreeMap<String, String>,
    /// Its body, in base64.
    pub body: String,
}

/// One of `commands`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Command {
    /// `send` or `expect`.
    pub name: String,
    /// The bytes.
    pub message: String,
}

/// A time: a number of nanoseconds, as the original has it, or a text like `500ms`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Timeout(pub Duration);

// === impl UptimeTest ===

impl<'de> Deserialize<'de> for UptimeTest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EitherForm;
        impl<'de> Visitor<'de> for EitherForm {
            type Value = UptimeTest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a URL or an object")
            }

            fn visit_str<E: Error>(self, url: &str) -> Result<UptimeTest, E> {
                Ok(UptimeTest(UptimeTestFields {
                    url: url.to_owned(),
                    ..UptimeTestFields::default()
                }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UptimeTest, A::Error> {
                UptimeTestFields::deserialize(MapAccessDeserializer::new(map)).map(UptimeTest)
            }
        }
        deserializer.deserialize_any(EitherForm)
    }
}

// === impl Timeout ===

impl Timeout {
    /// Reads `500ms`, `2s`, `1.5s`, `1m`.
    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, unit) = text.split_at(digits);
        let unit = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            _ => return None,
        };
        let seconds = number.parse::<f64>().ok()? * unit;
        Duration::try_from_secs_f64(seconds).ok().map(Self)
    }
}

impl<'de> Deserialize<'de> for Timeout {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EitherForm;
        impl Visitor<'_> for EitherForm {
            type Value = Timeout;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time like \"500ms\" or \"2s\", or a number of nanoseconds")
            }

            fn visit_u64<E: Error>(self, nanoseconds: u64) -> Result<Timeout, E> {
                // Who writes 5 means seconds, and would get a test that always fails.
                if (1..1_000_000).contains(&nanoseconds) {
                    return Err(E::custom(format!(
                        "{nanoseconds} is a number of nanoseconds; write \"{nanoseconds}s\" for \
                         seconds"
                    )));
                }
                Ok(Timeout(Duration::from_nanos(nanoseconds)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Timeout, E> {
                Timeout::parse(text).ok_or_else(|| {
                    E::custom(format!(
                        "`{text}` is no time; write it like \"500ms\" or \"2s\""
                    ))
                })
            }
        }
        deserializer.deserialize_any(EitherForm)
    }
}

impl Serialize for Timeout {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let nanoseconds = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        serializer.serialize_u64(nanoseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::read_value;
    use serde_json::{Value, json};

    #[test]
    fn a_test_is_a_url_or_an_object() {
        let document = json!({"check_list": ["http://a", {"url": "http://b", "ulr": 1}]});
        let (tests, unread) = read_value::<UptimeTests>(&document).unwrap();
        let urls: Vec<_> = tests.check_list.iter().map(|test| &*test.0.url).collect();
        assert_eq!(urls, ["http://a", "http://b"]);
        assert_eq!(unread, ["check_list[1].ulr"]);
    }

    #[test]
    fn times_are_texts_or_nanoseconds() {
        let check = |value: Value, expected: Result<u64, &str>| {
            let read = serde_json::from_value::<Timeout>(value.clone());
            match (read, expected) {
                (Ok(time), Ok(milliseconds)) => {
                    assert_eq!(time.0, Duration::from_millis(milliseconds), "{value}");
                }
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{error}"),
                (read, expected) => panic!("{value}: {read:?}, expected {expected:?}"),
            }
        };
        check(json!("500ms"), Ok(500));
        check(json!("1.5s"), Ok(1500));
        check(json!("1m"), Ok(60_000));
        check(json!(2_000_000_000), Ok(2000));
        check(json!(0), Ok(0));
        check(json!(5), Err("write \"5s\""));
        check(json!("soon"), Err("`soon` is no time"));
        check(json!("5"), Err("`5` is no time"));
        check(json!(true), Err("a time like"));
    }
}

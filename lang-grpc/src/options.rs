//! The keys of `coprocess_options` that this language reads. An API may have its own values
//! of them, in `custom_middleware.driver_options`.

use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::target::Target;

const SERVER: &str = "coprocess_grpc_server";
const AUTHORITY: &str = "grpc_authority";
const RECEIVE: &str = "grpc_recv_max_size";
const SEND: &str = "grpc_send_max_size";
const ROUND_ROBIN: &str = "grpc_round_robin_load_balancing";
const CA_FILE: &str = "grpc_ca_file";

/// All of them.
pub(crate) const KEYS: &[&str] = &[SERVER, AUTHORITY, RECEIVE, SEND, ROUND_ROBIN, CA_FILE];

/// What a reply may have where nobody says otherwise; what gRPC libraries have.
const DEFAULT_RECEIVE: usize = 4 << 20;

/// How a server is found and spoken to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Where it is; nothing if that is not said.
    pub(crate) target: Option<Target>,
    /// What it is called in calls, if not by its address.
    pub(crate) authority: Option<String>,
    receive: usize,
    send: usize,
    /// Use all addresses of its name in turn.
    pub(crate) round_robin: bool,
    /// Certificates that vouch for it, in place of the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

/// An option that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Which.
    pub(crate) key: String,
    /// What is wrong, and what is expected.
    pub(crate) reason: String,
}

impl Options {
    /// Reads what is there; the keys of other languages are not looked at.
    pub(crate) fn read(options: &Map<String, Value>) -> Result<Self, Wrong> {
        let mut read = Self::default();
        for key in KEYS {
            if let Some(value) = options.get(*key) {
                read.set(key, value)?;
            }
        }
        Ok(read)
    }

    /// These options with those of an API in their place. All keys must be known.
    pub(crate) fn with(&self, own: &Map<String, Value>) -> Result<Self, Wrong> {
        let mut both = self.clone();
        for (key, value) in own {
            if !KEYS.contains(&key.as_str()) {
                let known = KEYS.join(", ");
                return Err(Wrong {
                    key: key.clone(),
                    reason: format!("is no option; there are: {known}"),
                });
            }
            both.set(key, value)?;
        }
        Ok(both)
    }

    /// Bytes that a reply may have.
    pub(crate) fn receive_limit(&self) -> usize {
        match self.receive {
            0 => DEFAULT_RECEIVE,
            limit => limit,
        }
    }

    /// Bytes that a call may have.
    pub(crate) fn send_limit(&self) -> usize {
        match self.send {
            0 => usize::MAX,
            limit => limit,
        }
    }

    fn set(&mut self, key: &str, value: &Value) -> Result<(), Wrong> {
        let wrong = |expected: &str| Wrong {
            key: key.to_owned(),
            reason: format!("is {value}; {expected}"),
        };
        let text = || value.as_str().ok_or_else(|| wrong("expected text"));
        let size = || {
            let number = value.as_u64().and_then(|size| usize::try_from(size).ok());
            number.ok_or_else(|| wrong("expected a number of bytes, 0 for the default"))
        };
        let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        match key {
            SERVER => {
                self.target = match text()? {
                    "" => None,
                    url => Some(Target::parse(url).map_err(|reason| wrong(&reason))?),
                }
            }
            AUTHORITY => {
                self.authority = filled(text()?);
                if let Some(name) = &self.authority {
                    let parsed = name.parse::<http::uri::Authority>();
                    parsed.map_err(|_| wrong("expected a host name, with or without a port"))?;
                }
            }
            RECEIVE => self.receive = size()?,
            SEND => self.send = size()?,
            ROUND_ROBIN => {
                let flag = value.as_bool();
                self.round_robin = flag.ok_or_else(|| wrong("expected true or false"))?;
            }
            _ => self.ca_file = filled(text()?).map(PathBuf::from),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    fn read(text: &str) -> Result<Options, String> {
        Options::read(&map(text)).map_err(|wrong| format!("{}: {}", wrong.key, wrong.reason))
    }

    #[test]
    fn options_have_defaults_and_can_be_set() {
        let options = read("{}").unwrap();
        assert_eq!(options, Options::default());
        assert_eq!(options.receive_limit(), 4 << 20);
        assert_eq!(options.send_limit(), usize::MAX);
        let text = r#"{"coprocess_grpc_server": "tcp://a:1", "grpc_authority": "b", "other": 1,
            "grpc_recv_max_size": 7, "grpc_send_max_size": 8,
            "grpc_round_robin_load_balancing": true, "grpc_ca_file": "ca.pem"}"#;
        let options = read(text).unwrap();
        assert_eq!(options.target, Some(Target::parse("tcp://a:1").unwrap()));
        assert_eq!(options.authority.as_deref(), Some("b"));
        assert_eq!((options.receive_limit(), options.send_limit()), (7, 8));
        assert!(options.round_robin);
        assert_eq!(options.ca_file, Some("ca.pem".into()));
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_expected() {
        for (text, expected) in [
            (
                r#"{"coprocess_grpc_server": 5}"#,
                "coprocess_grpc_server: is 5; expected text",
            ),
            (
                r#"{"coprocess_grpc_server": "ftp://a:1"}"#,
                "coprocess_grpc_server: is \"ftp://a:1\"; scheme `ftp` is none of tcp, dns, \
                 unix, http, https",
            ),
            (
                r#"{"grpc_recv_max_size": -1}"#,
                "grpc_recv_max_size: is -1; expected a number of bytes, 0 for the default",
            ),
            (
                r#"{"grpc_round_robin_load_balancing": 1}"#,
                "grpc_round_robin_load_balancing: is 1; expected true or false",
            ),
            (
                r#"{"grpc_authority": "a b"}"#,
                "grpc_authority: is \"a b\"; expected a host name, with or without a port",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), expected);
        }
    }

    #[test]
    fn an_api_has_its_own_values_and_no_unknown_ones() {
        let all = read(r#"{"coprocess_grpc_server": "a:1", "grpc_recv_max_size": 7}"#).unwrap();
        let own = all.with(&map(r#"{"coprocess_grpc_server": "b:2"}"#));
        let own = own.unwrap();
        assert_eq!(own.target, Some(Target::parse("b:2").unwrap()));
        assert_eq!(own.receive_limit(), 7);
        let wrong = all.with(&map(r#"{"server": "b:2"}"#)).unwrap_err();
        assert_eq!(wrong.key, "server");
        assert!(wrong.reason.contains("coprocess_grpc_server"), "{wrong:?}");
    }
}

//! `storage`: where keys, sessions and plugin data are kept.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::ConfigError;

/// Least room that makes sense: below it, not even one session of some size fits.
const LEAST_BYTES: usize = 1024 * 1024;

/// `storage`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub struct StorageOptions {
    /// Which store. Without it Redis where an address of one is given, else the embedded one.
    #[serde(rename = "type")]
    pub kind: Option<StorageType>,
    /// The embedded store's file.
    pub path: PathBuf,
    /// Most bytes of keys and values in the embedded store, or in memory.
    pub max_bytes: usize,
    /// Redis: its host; empty means this machine.
    pub host: String,
    /// Redis: its port.
    pub port: u16,
    /// Redis: `host:port` in the place of the two; several would be a cluster.
    #[serde(deserialize_with = "list")]
    pub addrs: Vec<String>,
    /// Redis: port by host, the older form of `addrs`.
    pub hosts: BTreeMap<String, String>,
    /// Redis: the user, where it has users.
    pub username: String,
    /// Redis: the password, where it wants one.
    pub password: String,
    /// Redis: the number of the database.
    pub database: u32,
    /// Redis: seconds that a call may take.
    pub timeout: u64,
    /// Redis: not implemented.
    pub enable_cluster: bool,
    /// Redis: not implemented.
    pub use_ssl: bool,
    /// Redis: not implemented; the name of a group that sentinels watch.
    pub master_name: String,
}

/// `storage.type`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StorageType {
    /// A file of this gateway's own.
    Embedded,
    /// Memory of this process; gone with it.
    Memory,
    /// A Redis or Valkey server.
    Redis,
}

/// Where a Redis is and how to talk to it.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user; empty where it has none.
    pub username: String,
    /// The password; empty where it wants none.
    pub password: String,
    /// The number of the database.
    pub database: u32,
    /// How long a call may take.
    pub timeout: Duration,
}

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            kind: None,
            path: "gateway.redb".into(),
            max_bytes: 256 * 1024 * 1024,
            host: String::new(),
            port: 6379,
            addrs: Vec::new(),
            hosts: BTreeMap::new(),
            username: String::new(),
            password: String::new(),
            database: 0,
            timeout: 5,
            enable_cluster: false,
            use_ssl: false,
            master_name: String::new(),
        }
    }
}

impl StorageOptions {
    /// Which store to open.
    pub fn kind(&self) -> StorageType {
        let named = !self.host.is_empty() || !self.addrs.is_empty() || !self.hosts.is_empty();
        self.kind.unwrap_or(match named {
            true => StorageType::Redis,
            false => StorageType::Embedded,
        })
    }

    /// How to reach Redis.
    pub fn redis(&self) -> RedisOptions {
        let (host, port) = self.address().unwrap_or_default();
        RedisOptions {
            host,
            port,
            username: self.username.clone(),
            password: self.password.clone(),
            database: self.database,
            timeout: Duration::from_secs(self.timeout),
        }
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if self.kind() == StorageType::Redis {
            return self.validate_redis();
        }
        if self.path.as_os_str().is_empty() {
            return wrong("storage.path", "it is empty; name a file");
        }
        if self.max_bytes < LEAST_BYTES {
            let reason = format!(
                "{} is too little; give {LEAST_BYTES} or more",
                self.max_bytes
            );
            return wrong("storage.max_bytes", reason);
        }
        Ok(())
    }

    fn validate_redis(&self) -> Result<(), ConfigError> {
        const LATER: &str = "not implemented; give the address of one Redis without TLS";
        for (key, asked) in [
            ("storage.enable_cluster", self.enable_cluster),
            ("storage.use_ssl", self.use_ssl),
            ("storage.master_name", !self.master_name.is_empty()),
            ("storage.addrs", self.addrs.len() > 1),
            ("storage.hosts", self.hosts.len() > 1),
        ] {
            if asked {
                return wrong(key, LATER);
            }
        }
        if self.timeout == 0 {
            let reason = "0 would end every call; give seconds above 0";
            return wrong("storage.timeout", reason);
        }
        self.address().map(drop)
    }

    /// The one host and port that is given in one of three ways.
    fn address(&self) -> Result<(String, u16), ConfigError> {
        let port = |key, text: &str| match text.parse() {
            Ok(port) if port > 0 => Ok(port),
            _ => wrong(key, format!("`{text}` is not a port")),
        };
        if let Some(address) = self.addrs.first() {
            let Some((host, text)) = address.rsplit_once(':') else {
                return wrong("storage.addrs", format!("`{address}` is not host:port"));
            };
            // An IPv6 address is in brackets there.
            let host = host.trim_start_matches('[').trim_end_matches(']');
            return Ok((host.to_owned(), port("storage.addrs", text)?));
        }
        if let Some((host, text)) = self.hosts.first_key_value() {
            return Ok((host.clone(), port("storage.hosts", text)?));
        }
        let host = match self.host.as_str() {
            "" => "localhost",
            host => host,
        };
        Ok((
            host.to_owned(),
            port("storage.port", &self.port.to_string())?,
        ))
    }

    /// Keys that are given and belong to another type of store, one sentence each.
    pub(super) fn without_effect(&self) -> impl Iterator<Item = String> {
        let (own, is_redis) = (Self::default(), self.kind() == StorageType::Redis);
        let redis = [
            ("host", self.host != own.host),
            ("port", self.port != own.port),
            ("addrs", self.addrs != own.addrs),
            ("hosts", self.hosts != own.hosts),
            ("username", self.username != own.username),
            ("password", self.password != own.password),
            ("database", self.database != own.database),
            ("timeout", self.timeout != own.timeout),
            ("enable_cluster", self.enable_cluster),
            ("use_ssl", self.use_ssl),
            ("master_name", self.master_name != own.master_name),
        ];
        let others = [
            ("path", self.path != own.path),
            ("max_bytes", self.max_bytes != own.max_bytes),
        ];
        let redis = redis.into_iter().filter(move |_| !is_redis);
        let others = others.into_iter().filter(move |_| is_redis);
        let given = redis.chain(others).filter(|(_, given)| *given);
        let kind = format!("{:?}", self.kind()).to_lowercase();
        given.map(move |(key, _)| {
            format!("storage.{key}: has no effect while storage.type is `{kind}`")
        })
    }
}

fn wrong<T>(key: &'static str, reason: impl Into<String>) -> Result<T, ConfigError> {
    let reason = reason.into();
    Err(ConfigError::Value { key, reason })
}

/// A list, or one text with commas in it, as variables have it.
fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "a list of texts, or one with commas in it")]
    enum Form {
        List(Vec<String>),
        Text(String),
    }
    Ok(match Form::deserialize(deserializer)? {
        Form::List(list) => list,
        Form::Text(text) => text.split(',').map(|one| one.trim().to_owned()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn options(storage: Value) -> StorageOptions {
        serde_json::from_value(storage).expect("it fits")
    }

    #[test]
    fn an_address_without_a_type_means_redis() {
        for (storage, kind) in [
            (json!({}), StorageType::Embedded),
            (json!({"password": "p"}), StorageType::Embedded),
            (json!({"host": "h"}), StorageType::Redis),
            (json!({"addrs": ["h:1"]}), StorageType::Redis),
            (json!({"type": "memory", "host": "h"}), StorageType::Memory),
        ] {
            assert_eq!(options(storage.clone()).kind(), kind, "{storage}");
        }
    }

    #[test]
    fn an_address_may_be_given_in_three_ways() {
        for (storage, host, port) in [
            (json!({}), "localhost", 6379),
            (json!({"host": "h", "port": 7}), "h", 7),
            (json!({"addrs": ["h:8"], "host": "other"}), "h", 8),
            (json!({"addrs": "[::1]:9"}), "::1", 9),
            (json!({"hosts": {"h": "10"}}), "h", 10),
        ] {
            let redis = options(storage.clone()).redis();
            assert_eq!((redis.host.as_str(), redis.port), (host, port), "{storage}");
        }
    }

    #[test]
    fn what_is_not_there_yet_or_makes_no_sense_is_refused_with_its_key() {
        for (storage, key) in [
            (json!({"enable_cluster": true}), "storage.enable_cluster"),
            (json!({"use_ssl": true}), "storage.use_ssl"),
            (json!({"master_name": "m"}), "storage.master_name"),
            (json!({"addrs": ["a:1", "b:2"]}), "storage.addrs"),
            (json!({"addrs": "a:1,b:2"}), "storage.addrs"),
            (json!({"addrs": ["a"]}), "storage.addrs"),
            (json!({"addrs": ["a:b"]}), "storage.addrs"),
            (json!({"hosts": {"a": "1", "b": "2"}}), "storage.hosts"),
            (json!({"port": 0}), "storage.port"),
            (json!({"timeout": 0}), "storage.timeout"),
        ] {
            let mut options = options(storage.clone());
            options.kind = Some(StorageType::Redis);
            let error = options.validate().expect_err(&storage.to_string());
            assert!(error.to_string().starts_with(key), "{storage}: {error}");
        }
    }

    #[test]
    fn keys_of_another_store_are_named() {
        let said = |storage| {
            options(storage)
                .without_effect()
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(said(json!({})), "");
        assert_eq!(said(json!({"host": "h", "password": "p"})), "");
        assert!(said(json!({"type": "redis", "path": "p"})).contains("storage.path"));
        let said = said(json!({"type": "memory", "host": "h", "use_ssl": true}));
        assert!(
            said.contains("storage.host") && said.contains("storage.use_ssl"),
            "{said}"
        );
    }
}

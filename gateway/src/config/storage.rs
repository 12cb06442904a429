//! `storage`: where keys, sessions and plugin data are kept.

use std::collections::BTreeMap;
use std::path::PathBuf;

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
    /// Redis: `host:port` in the place of the two; several nodes of a cluster, or sentinels.
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
    /// Redis: the addresses are nodes of a cluster.
    pub enable_cluster: bool,
    /// Redis: the addresses are sentinels, which know the master of the group of this name.
    pub master_name: String,
    /// Redis: the sentinels' own password.
    pub sentinel_password: String,
    /// Redis: by TLS.
    pub use_ssl: bool,
    /// Redis: do not verify the server's certificate.
    pub ssl_insecure_skip_verify: bool,
    /// Redis: PEM file of the authorities to trust, in the place of the system's.
    pub ca_file: PathBuf,
    /// Redis: PEM file of a certificate for this client.
    pub cert_file: PathBuf,
    /// Redis: PEM file of its key.
    pub key_file: PathBuf,
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
            master_name: String::new(),
            sentinel_password: String::new(),
            use_ssl: false,
            ssl_insecure_skip_verify: false,
            ca_file: PathBuf::new(),
            cert_file: PathBuf::new(),
            key_file: PathBuf::new(),
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
            ("master_name", self.master_name != own.master_name),
            ("sentinel_password", !self.sentinel_password.is_empty()),
            ("use_ssl", self.use_ssl),
            ("ssl_insecure_skip_verify", self.ssl_insecure_skip_verify),
            ("ca_file", self.ca_file != own.ca_file),
            ("cert_file", self.cert_file != own.cert_file),
            ("key_file", self.key_file != own.key_file),
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

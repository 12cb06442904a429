//! Where a Redis is and how to talk to it, as the rest of the program sees it.

use std::path::PathBuf;
use std::time::Duration;

use super::{ConfigError, StorageOptions};

/// Where a Redis is and how to talk to it.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Names or addresses with ports: of the server, of nodes of the cluster, or of the
    /// sentinels.
    pub addresses: Vec<(String, u16)>,
    /// What is there.
    pub topology: Topology,
    /// The user; empty where it has none.
    pub username: String,
    /// The password; empty where it wants none.
    pub password: String,
    /// The number of the database.
    pub database: u32,
    /// How long a call may take.
    pub timeout: Duration,
    /// How to encrypt.
    pub tls: Option<RedisTls>,
}

/// What is at the addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// A server.
    Single,
    /// Nodes of a cluster.
    Cluster,
    /// Sentinels, which know where the master is.
    Sentinel {
        /// The name of its group.
        master: String,
        /// The sentinels' own password; empty where they want none.
        password: String,
    },
}

/// Encryption.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedisTls {
    /// Do not verify the server's certificate.
    pub insecure_skip_verify: bool,
    /// PEM file of the authorities to trust; empty means those of the system.
    pub ca_file: PathBuf,
    /// PEM file of the client's certificate, where the server wants one.
    pub cert_file: PathBuf,
    /// PEM file of its key.
    pub key_file: PathBuf,
}

impl StorageOptions {
    /// How to reach Redis.
    pub fn redis(&self) -> RedisOptions {
        RedisOptions {
            addresses: self.addresses().unwrap_or_default(),
            topology: if !self.master_name.is_empty() {
                Topology::Sentinel {
                    master: self.master_name.clone(),
                    password: self.sentinel_password.clone(),
                }
            } else if self.enable_cluster {
                Topology::Cluster
            } else {
                Topology::Single
            },
            username: self.username.clone(),
            password: self.password.clone(),
            database: self.database,
            timeout: Duration::from_secs(self.timeout),
            tls: self.use_ssl.then(|| RedisTls {
                insecure_skip_verify: self.ssl_insecure_skip_verify,
                ca_file: self.ca_file.clone(),
                cert_file: self.cert_file.clone(),
                key_file: self.key_file.clone(),
            }),
        }
    }

    pub(super) fn validate_redis(&self) -> Result<(), ConfigError> {
        if self.timeout == 0 {
            let reason = "0 would end every call; give seconds above 0";
            return wrong("storage.timeout", reason);
        }
        let addresses = self.addresses()?;
        let is_sentinel = !self.master_name.is_empty();
        if is_sentinel && self.enable_cluster {
            let reason =
                "a cluster has no sentinels; leave one of storage.master_name and this out";
            return wrong("storage.enable_cluster", reason);
        }
        if addresses.len() > 1 && !is_sentinel && !self.enable_cluster {
            let reason = "there are several; set storage.enable_cluster, or storage.master_name \
                          where they are sentinels";
            return wrong("storage.addrs", reason);
        }
        if self.enable_cluster && self.database != 0 {
            return wrong("storage.database", "a cluster has number 0 only");
        }
        if self.cert_file.as_os_str().is_empty() != self.key_file.as_os_str().is_empty() {
            let reason = "a certificate and its key come together; give both or none";
            return wrong("storage.cert_file", reason);
        }
        for (key, file) in [
            ("storage.ca_file", &self.ca_file),
            ("storage.cert_file", &self.cert_file),
            ("storage.key_file", &self.key_file),
        ] {
            if self.use_ssl
                && !file.as_os_str().is_empty()
                && let Err(error) = std::fs::metadata(file)
            {
                return wrong(key, format!("{}: {error}", file.display()));
            }
        }
        Ok(())
    }

    /// The hosts and ports that are given in one of three ways.
    fn addresses(&self) -> Result<Vec<(String, u16)>, ConfigError> {
        let port = |key, text: &str| match text.parse() {
            Ok(port) if port > 0 => Ok(port),
            _ => wrong(key, format!("`{text}` is not a port")),
        };
        if !self.addrs.is_empty() {
            let addresses = self.addrs.iter().map(|address| {
                let Some((host, text)) = address.rsplit_once(':') else {
                    return wrong("storage.addrs", format!("`{address}` is not host:port"));
                };
                // An IPv6 address is in brackets there.
                let host = host.trim_start_matches('[').trim_end_matches(']');
                Ok((host.to_owned(), port("storage.addrs", text)?))
            });
            return addresses.collect();
        }
        if !self.hosts.is_empty() {
            let hosts = self.hosts.iter();
            let hosts = hosts.map(|(host, text)| Ok((host.clone(), port("storage.hosts", text)?)));
            return hosts.collect();
        }
        let host = match self.host.as_str() {
            "" => "localhost",
            host => host,
        };
        let port = port("storage.port", &self.port.to_string())?;
        Ok(vec![(host.to_owned(), port)])
    }
}

fn wrong<T>(key: &'static str, reason: impl Into<String>) -> Result<T, ConfigError> {
    let reason = reason.into();
    Err(ConfigError::Value { key, reason })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config::StorageType;

    fn options(storage: Value) -> StorageOptions {
        serde_json::from_value(storage).expect("it fits")
    }

    #[test]
    fn an_address_may_be_given_in_three_ways() {
        for (storage, expected) in [
            (json!({}), vec![("localhost", 6379)]),
            (json!({"host": "h", "port": 7}), vec![("h", 7)]),
            (json!({"addrs": ["h:8"], "host": "other"}), vec![("h", 8)]),
            (json!({"addrs": "[::1]:9, b:1"}), vec![("::1", 9), ("b", 1)]),
            (
                json!({"hosts": {"h": "10", "i": "11"}}),
                vec![("h", 10), ("i", 11)],
            ),
        ] {
            let addresses = options(storage.clone()).redis().addresses;
            let given: Vec<_> = addresses
                .iter()
                .map(|(host, port)| (&**host, *port))
                .collect();
            assert_eq!(given, expected, "{storage}");
        }
    }

    #[test]
    fn what_is_there_follows_from_what_is_said() {
        let topology = |storage| options(storage).redis().topology;
        assert_eq!(topology(json!({"host": "h"})), Topology::Single);
        assert_eq!(topology(json!({"enable_cluster": true})), Topology::Cluster);
        let sentinel = Topology::Sentinel {
            master: "m".into(),
            password: "p".into(),
        };
        let said = json!({"master_name": "m", "sentinel_password": "p"});
        assert_eq!(topology(said), sentinel);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_key() {
        for (storage, key) in [
            (
                json!({"enable_cluster": true, "master_name": "m"}),
                "storage.enable_cluster",
            ),
            (
                json!({"enable_cluster": true, "database": 3}),
                "storage.database",
            ),
            (json!({"addrs": ["a:1", "b:2"]}), "storage.addrs"),
            (json!({"addrs": "a:1,b:2"}), "storage.addrs"),
            (json!({"addrs": ["a"]}), "storage.addrs"),
            (json!({"addrs": ["a:b"]}), "storage.addrs"),
            (json!({"hosts": {"a": "1", "b": "2"}}), "storage.addrs"),
            (json!({"hosts": {"a": "one"}}), "storage.hosts"),
            (json!({"port": 0}), "storage.port"),
            (json!({"timeout": 0}), "storage.timeout"),
            (
                json!({"use_ssl": true, "cert_file": "c"}),
                "storage.cert_file",
            ),
            (
                json!({"use_ssl": true, "ca_file": "nowhere/ca.pem"}),
                "storage.ca_file",
            ),
        ] {
            let mut options = options(storage.clone());
            options.kind = Some(StorageType::Redis);
            let error = options.validate_redis().expect_err(&storage.to_string());
            assert!(error.to_string().starts_with(key), "{storage}: {error}");
        }
    }
}

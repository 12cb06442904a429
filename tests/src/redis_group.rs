//! Several Redis servers that belong together: a cluster, or a master with a replica and a
//! sentinel that watches them.

use std::fs;
use std::io::{BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::redis::{Redis, Reply, read_reply};
use crate::{ports, wait};

/// How many keys a cluster tells apart to spread them.
const SLOTS: usize = 16_384;

/// A cluster without replicas.
#[derive(Debug)]
pub struct RedisCluster {
    /// Its servers.
    pub nodes: Vec<Redis>,
}

/// A master, a replica, and the sentinel that makes the one the other.
#[derive(Debug)]
pub struct RedisSentinel {
    /// The master of the beginning.
    pub master: Redis,
    /// Its replica.
    pub replica: Redis,
    port: u16,
    sentinel: Child,
    _folder: TempDir,
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("no text: {other:?}"),
    }
}

// === impl RedisCluster ===

impl RedisCluster {
    /// Starts three servers and waits until each knows all of them.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        let buses = [(); 3].map(|()| ports::reserve().to_string());
        let nodes: Vec<_> = buses
            .iter()
            .map(|bus| {
                let arguments = ["--cluster-enabled", "yes", "--cluster-port", bus];
                Redis::start_with(&[&arguments[..], &["--cluster-node-timeout", "5000"]].concat())
            })
            .collect();
        for (number, node) in nodes.iter().enumerate() {
            let first = (number * SLOTS / 3).to_string();
            let last = ((number + 1) * SLOTS / 3 - 1).to_string();
            node.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
            let port = nodes[0].port().to_string();
            if number > 0 {
                node.command(&["CLUSTER", "MEET", "127.0.0.1", &port, &buses[0]]);
            }
        }
        wait::until("the cluster is one", || {
            nodes.iter().all(|node| {
                let info = text(&node.command(&["CLUSTER", "INFO"]));
                info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
            })
        });
        Self { nodes }
    }

    /// A configuration that keeps data here.
    #[must_use]
    pub fn conf(&self) -> Value {
        // One is enough to find the others, but may be the one that is gone.
        let addresses = self.nodes[..2].iter();
        let addresses: Vec<_> = addresses
            .map(|node| format!("127.0.0.1:{}", node.port()))
            .collect();
        json!({"storage": {"type": "redis", "enable_cluster": true, "addrs": addresses}})
    }
}

// === impl RedisSentinel ===

impl RedisSentinel {
    /// Starts the three, and waits until the sentinel knows the replica.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        let master = Redis::start_with(&["--requirepass", "pw", "--masterauth", "pw"]);
        let master_port = master.port().to_string();
        let replica = Redis::start_with(&[
            "--requirepass",
            "pw",
            "--masterauth",
            "pw",
            "--replicaof",
            "127.0.0.1",
            &master_port,
        ]);
        let folder = tempfile::Builder::new()
            .prefix("sentinel-")
            .tempdir()
            .unwrap();
        let port = ports::reserve();
        let conf = format!(
            "port {port}\nbind 127.0.0.1\ndir {}\nrequirepass spw\n\
             sentinel monitor main 127.0.0.1 {master_port} 1\n\
             sentinel auth-pass main pw\n\
             sentinel down-after-milliseconds main 500\n\
             sentinel failover-timeout main 3000\n",
            folder.path().display()
        );
        let file = folder.path().join("sentinel.conf");
        fs::write(&file, conf).unwrap();
        let sentinel = Command::new("redis-server")
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let sentinel = sentinel.unwrap_or_else(|error| {
            panic!("cannot run redis-server ({error}); on Debian: apt-get install redis-server")
        });
        let group = Self {
            master,
            replica,
            port,
            sentinel,
            _folder: folder,
        };
        wait::until("the sentinel knows the replica", || {
            let replicas = group.ask(&["SENTINEL", "REPLICAS", "main"]);
            matches!(replicas, Some(Reply::List(replicas)) if !replicas.is_empty())
        });
        group
    }

    /// Asks the sentinel, on a connection that says its password first.
    fn ask(&self, words: &[&str]) -> Option<Reply> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(wait::DEADLINE)).ok()?;
        let mut bytes = b"AUTH spw\r\n".to_vec();
        bytes.extend_from_slice(words.join(" ").as_bytes());
        bytes.extend_from_slice(b"\r\n");
        stream.write_all(&bytes).ok()?;
        let mut stream = BufReader::new(stream);
        read_reply(&mut stream).ok()?;
        read_reply(&mut stream).ok()
    }

    /// A configuration that keeps data here.
    #[must_use]
    pub fn conf(&self) -> Value {
        json!({"storage": {
            "type": "redis", "addrs": [format!("127.0.0.1:{}", self.port)],
            "master_name": "main", "sentinel_password": "spw", "password": "pw",
        }})
    }
}

impl Drop for RedisSentinel {
    fn drop(&mut self) {
        let _ = self.sentinel.kill();
        let _ = self.sentinel.wait();
    }
}

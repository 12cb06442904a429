//! A Redis server as a child process, with a folder and a port of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{ports, wait};

/// A running server. It is killed when this is dropped.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    folder: TempDir,
    arguments: Vec<String>,
    child: Option<Child>,
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A line, such as `OK`.
    Text(String),
    /// A number.
    Number(i64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Nothing there.
    Nil,
    /// Several of them.
    List(Vec<Reply>),
    /// A refusal.
    Error(String),
}

impl Redis {
    /// Starts `redis-server` from `PATH` and waits until it answers.
    #[must_use]
    #[track_caller]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with arguments, such as `--requirepass secret`.
    #[must_use]
    #[track_caller]
    pub fn start_with(arguments: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("redis-").tempdir().unwrap();
        let mut redis = Self {
            port: ports::reserve(),
            folder,
            arguments: arguments.iter().map(|&one| one.to_owned()).collect(),
            child: None,
        };
        redis.start_again();
        redis
    }

    /// Starts the server that was stopped, on its port and with its data.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let child = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "yes", "--databases", "32"])
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("cannot run redis-server ({error}); on Debian: apt-get install redis-server")
        });
        self.child = Some(child);
        wait::until("redis-server answers", || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "redis-server ended with {ended:?}");
            match try_command(self.port, &[b"PING"]) {
                Ok(Reply::Text(text)) => text == "PONG",
                Ok(Reply::Error(text)) => text.starts_with("NOAUTH"),
                _ => false,
            }
        });
    }

    /// Ends the server, as a loss of power would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends a signal by its name without `SIG`; `STOP` makes it hang and `CONT` go on.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "kill", name])
            .arg(self.child.as_ref().expect("it runs").id().to_string())
            .status()
            .unwrap();
        assert!(status.success(), "cannot send SIG{name}");
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A configuration that keeps data here.
    #[must_use]
    pub fn conf(&self) -> Value {
        json!({"storage": {"type": "redis", "host": "127.0.0.1", "port": self.port}})
    }

    /// Sends one command on a connection of its own.
    #[track_caller]
    pub fn command(&self, words: &[&str]) -> Reply {
        let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
        try_command(self.port, &words).unwrap()
    }
}

/// Sends one command to a server on this machine, on a connection of its own.
fn try_command(port: u16, words: &[&[u8]]) -> std::io::Result<Reply> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(wait::DEADLINE))?;
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    stream.write_all(&bytes)?;
    read_reply(&mut BufReader::new(stream))
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn read_reply(stream: &mut BufReader<TcpStream>) -> std::io::Result<Reply> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let line = line.trim_end();
    let Some((kind, rest)) = line.split_at_checked(1) else {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    };
    Ok(match kind {
        "+" => Reply::Text(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Number(rest.parse().unwrap()),
        "$" if rest == "-1" => Reply::Nil,
        "$" => {
            let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
            stream.read_exact(&mut bytes)?;
            bytes.truncate(bytes.len() - 2);
            Reply::Bytes(bytes)
        }
        "*" => {
            let count: usize = rest.parse().unwrap();
            let items = (0..count).map(|_| read_reply(stream));
            Reply::List(items.collect::<std::io::Result<_>>()?)
        }
        _ => panic!("not a reply: {line:?}"),
    })
}

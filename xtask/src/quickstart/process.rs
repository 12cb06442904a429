//! The gateway as a child process: started, listened to, stopped.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::Result;

/// Starting compiles plugins and may read an interpreter from a cold disk.
const START: Duration = Duration::from_secs(60);
/// A drain without requests in flight is quick.
const STOP: Duration = Duration::from_secs(15);

/// A running gateway; killed when dropped, unless it was stopped.
pub(crate) struct Gateway {
    child: Child,
    log: Arc<Log>,
    pub(crate) address: SocketAddr,
}

/// The lines that the gateway wrote so far.
#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
}

impl Gateway {
    /// Starts the gateway in `folder` and waits until it listens.
    pub(crate) fn start(binary: &Path, folder: &Path) -> Result<Self> {
        let mut child = Command::new(binary)
            .args(["--conf", "tyk.conf"])
            .current_dir(folder)
            // The binary must find its interpreters by itself.
            .env_remove("LD_LIBRARY_PATH")
            // A group of its own, so that Ctrl-C reaches this process only and the gateway
            // is asked to stop once.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", binary.display()))?;
        let log = Arc::new(Log::default());
        let file = Arc::new(Mutex::new(std::fs::File::create(
            folder.join("gateway.log"),
        )?));
        for stream in [
            child
                .stderr
                .take()
                .map(|s| Box::new(s) as Box<dyn Read + Send>),
            child
                .stdout
                .take()
                .map(|s| Box::new(s) as Box<dyn Read + Send>),
        ]
        .into_iter()
        .flatten()
        {
            let (log, file) = (Arc::clone(&log), Arc::clone(&file));
            thread::spawn(move || log.follow(stream, &file));
        }
        let mut gateway = Self {
            child,
            log,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        gateway.address = gateway.wait_until_it_listens()?;
        Ok(gateway)
    }

    fn wait_until_it_listens(&mut self) -> Result<SocketAddr> {
        let end = Instant::now() + START;
        while Instant::now() < end {
            let line = self
                .log
                .find(&["Listening.", "address="], Duration::from_millis(200));
            if let Some(address) = line.as_deref().and_then(address_in) {
                return Ok(address);
            }
            if let Some(status) = self.child.try_wait()? {
                // What it said last may still be on its way.
                thread::sleep(Duration::from_millis(200));
                let tail = self.log.tail();
                let hint = if tail.contains("cannot listen") {
                    "\nchoose another port with --port"
                } else {
                    ""
                };
                return Err(format!("the gateway ended with {status}:\n{tail}{hint}").into());
            }
        }
        Err(format!(
            "the gateway did not listen within {} seconds:\n{}",
            START.as_secs(),
            self.log.tail()
        )
        .into())
    }

    /// Whether a line with all these words was or is soon written.
    pub(crate) fn logs(&self, words: &[&str]) -> bool {
        self.log.find(words, Duration::from_secs(5)).is_some()
    }

    /// Its end, if it has come.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Asks it to stop and waits; an error when it does not end well.
    pub(crate) fn stop(mut self) -> Result {
        let kill = format!("kill -TERM {}", self.child.id());
        Command::new("sh").args(["-c", &kill]).status()?;
        let end = Instant::now() + STOP;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return if status.success() {
                    Ok(())
                } else {
                    Err(format!("the gateway ended with {status}:\n{}", self.log.tail()).into())
                };
            }
            thread::sleep(Duration::from_millis(20));
        }
        Err(format!(
            "the gateway did not end within {} seconds after SIGTERM",
            STOP.as_secs()
        )
        .into())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Log {
    fn follow(&self, stream: impl Read, file: &Mutex<std::fs::File>) {
        for line in BufReader::new(stream).split(b'\n').map_while(|l| l.ok()) {
            let line = String::from_utf8_lossy(&line).into_owned();
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // The copy is for people; the run does not depend on it.
            let _ = writeln!(file, "{line}");
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            lines.push(line);
            self.grown.notify_all();
        }
    }

    /// The first line with all these words, waiting for it if need be.
    fn find(&self, words: &[&str], patience: Duration) -> Option<String> {
        let matches = |line: &&String| words.iter().all(|word| line.contains(word));
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let (lines, _) = self
            .grown
            .wait_timeout_while(lines, patience, |lines| !lines.iter().any(|l| matches(&l)))
            .unwrap_or_else(PoisonError::into_inner);
        lines.iter().find(matches).cloned()
    }

    fn tail(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

/// The address in a line such as `… Listening. address=127.0.0.1:8080`.
fn address_in(line: &str) -> Option<SocketAddr> {
    let text = line.split("address=").nth(1)?;
    let end = text
        .find(|c: char| c.is_whitespace() || c == ',')
        .unwrap_or(text.len());
    text[..end].trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_read_from_the_log() {
        let expected: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        for line in [
            "INFO Listening. address=127.0.0.1:8080",
            "INFO Listening. address=127.0.0.1:8080 workers=2",
            "INFO Listening. workers=2 address=\"127.0.0.1:8080\"",
        ] {
            assert_eq!(address_in(line), Some(expected), "{line}");
        }
        assert_eq!(address_in("Listening."), None);
    }

    #[test]
    fn log_is_waited_for() {
        let log = Log::default();
        log.lines.lock().unwrap().push("one two three".into());
        let none = Duration::from_millis(1);
        assert_eq!(log.find(&["three", "one"], none).unwrap(), "one two three");
        assert_eq!(log.find(&["four"], none), None);
        assert_eq!(log.tail(), "one two three");
    }

    #[test]
    fn gateway_that_ends_at_once_is_reported_with_its_words() {
        let folder = std::env::temp_dir().join(format!("quickstart-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let script = folder.join("gateway");
        // Written by a shell of its own: a file that this process holds open for writing
        // while another test forks could not be run.
        let write = format!(
            "printf '#!/bin/sh\\necho port in use >&2\\nexit 1\\n' > '{0}' && chmod +x '{0}'",
            script.display()
        );
        assert!(
            Command::new("sh")
                .args(["-c", &write])
                .status()
                .unwrap()
                .success()
        );
        let error = Gateway::start(&script, &folder).err().unwrap().to_string();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(error.contains("port in use"), "{error}");
    }
}

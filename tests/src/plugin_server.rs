//! Servers of plugins, in languages that authors of such servers use.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::native::test_environment;

/// A process that serves the functions of folders, each on a port of its own. It ends with
/// this value.
#[derive(Debug)]
pub struct PluginServer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    ports: HashMap<PathBuf, u16>,
}

impl PluginServer {
    /// One in Python, on gRPC's own library; `binary` lies beside the environment for tests.
    #[must_use]
    #[track_caller]
    pub fn python(binary: &str) -> Self {
        let python = test_environment(binary).join("bin/python");
        Self::start(Command::new(python).arg(program("plugins.py")))
    }

    /// One in Node; it knows the functions of the fixture `hooks`.
    #[must_use]
    #[track_caller]
    pub fn node(binary: &str) -> Self {
        let modules = test_environment(binary)
            .with_file_name("test-node")
            .join("node_modules");
        Self::start(
            Command::new("node")
                .env("NODE_PATH", modules)
                .arg(program("plugins.js")),
        )
    }

    #[track_caller]
    fn start(command: &mut Command) -> Self {
        let started = command
            .arg(workspace().join("lang-grpc/proto"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = started.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        Self {
            input: child.stdin.take(),
            output: BufReader::new(child.stdout.take().unwrap()),
            ports: HashMap::new(),
            child,
        }
    }

    /// Serves the functions of a folder, if it does not yet; its URL.
    #[track_caller]
    pub fn serve(&mut self, folder: &Path) -> String {
        let known = self.ports.get(folder).copied();
        let port = known.unwrap_or_else(|| self.ask(&folder.display().to_string()));
        self.ports.insert(folder.to_owned(), port);
        format!("tcp://127.0.0.1:{port}")
    }

    /// Serves the functions of a folder at an address of one's own.
    #[track_caller]
    pub fn serve_at(&mut self, folder: &Path, address: &str) {
        self.ask(&format!("{}\t{address}", folder.display()));
    }

    #[track_caller]
    fn ask(&mut self, line: &str) -> u16 {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        let port = answer.trim().parse();
        port.unwrap_or_else(|_| panic!("the server of plugins said {answer:?}"))
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for PluginServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The URL of a server that all tests of this process share. It ends when they do, with its
/// input.
#[must_use]
#[track_caller]
pub fn shared(binary: &str, folder: &Path) -> String {
    static SERVER: OnceLock<Mutex<PluginServer>> = OnceLock::new();
    let server = SERVER.get_or_init(|| Mutex::new(PluginServer::python(binary)));
    let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
    server.serve(folder)
}

fn program(name: &str) -> PathBuf {
    workspace().join("tests/servers").join(name)
}

fn workspace() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap().to_owned()
}

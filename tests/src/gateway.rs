//! A gateway as a child process, with a folder of its own for configuration, APIs and plugins.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::log::Log;
use crate::{Client, Definition, Request, Response, plugin_fixture, plugin_server, wait};

/// The secret of the admin API in every test.
pub const SECRET: &str = "s3cret-for-tests";

/// How long a line of the log may take from a gateway to here.
const RELOAD_LINE: Duration = Duration::from_secs(1);

/// What a gateway will be started with.
#[derive(Debug)]
pub struct GatewayBuilder {
    binary: PathBuf,
    folder: TempDir,
    conf: Value,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl GatewayBuilder {
    /// A gateway that will run the given executable, with no API yet.
    #[must_use]
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("gateway-")
            .tempdir()
            .unwrap();
        for name in ["apps", "middleware"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self {
            binary: binary.into(),
            folder,
            conf: json!({
                "listen_address": "127.0.0.1",
                "listen_port": 0,
                "secret": SECRET,
                "app_path": "apps",
                "middleware_path": "middleware",
                "log_level": "debug",
                "workers": 2
            }),
            arguments: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// Adds an API.
    #[must_use]
    pub fn api(self, definition: Definition) -> Self {
        let file = format!("apps/{}.json", definition.id());
        self.file(&file, definition.json())
    }

    /// Merges `patch` into the configuration, object by object.
    #[must_use]
    pub fn conf(mut self, patch: Value) -> Self {
        merge(&mut self.conf, patch);
        self
    }

    /// Replaces the whole configuration file by a text, which need not be JSON.
    #[must_use]
    pub fn conf_text(self, text: &str) -> Self {
        self.file("tyk.conf", text)
    }

    /// Sets a variable in the child's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a command-line argument.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Writes a file below the gateway's folder.
    #[must_use]
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        write(self.folder.path(), path, content);
        self
    }

    /// Adds plugin code in a language and turns plugins on.
    #[must_use]
    pub fn plugin(self, driver: &str, file: &str, source: &str) -> Self {
        self.with_plugins()
            .file(&format!("middleware/{driver}/{file}"), source)
    }

    /// Adds a Python plugin.
    #[must_use]
    pub fn python(self, file: &str, source: &str) -> Self {
        self.plugin("python", file, source)
    }

    /// Adds a Lua plugin.
    #[must_use]
    pub fn lua(self, file: &str, source: &str) -> Self {
        self.plugin("lua", file, source)
    }

    /// Adds the plugin files of a scenario in one language and turns plugins on.
    #[must_use]
    #[track_caller]
    pub fn fixture(mut self, scenario: &str, driver: &str) -> Self {
        let source = plugin_fixture(scenario, driver);
        if driver == "grpc" {
            let url = plugin_server::shared(&self.binary.to_string_lossy(), &source);
            return self.plugin_server(&url);
        }
        let entries = fs::read_dir(&source)
            .unwrap_or_else(|error| panic!("no fixture {}: {error}", source.display()));
        for entry in entries.map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let content = fs::read(entry.path()).unwrap();
            self = self.file(&format!("middleware/{driver}/{name}"), content);
        }
        self.with_plugins()
    }

    /// Runs hooks on a server, and turns plugins on.
    #[must_use]
    pub fn plugin_server(self, url: &str) -> Self {
        self.with_plugins()
            .conf(json!({"coprocess_options": {"coprocess_grpc_server": url}}))
    }

    /// Turns plugins on.
    #[must_use]
    pub fn with_plugins(self) -> Self {
        self.conf(json!({"coprocess_options": {"enable_coprocess": true}}))
    }

    /// The gateway's folder; it is its working directory too.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the gateway and waits until it listens.
    #[must_use]
    #[track_caller]
    pub fn start(self) -> Gateway {
        let mut gateway = self.launch();
        let Some(line) = gateway.log.find_after(0, &["Listening."]) else {
            let _ = gateway.child.kill();
            let status = gateway.child.wait();
            panic!("the gateway does not listen ({status:?})");
        };
        gateway.address = listening_address(&line);
        gateway
    }

    /// Starts a gateway that is not able to, and waits for its end.
    #[must_use]
    #[track_caller]
    pub fn start_expecting_failure(self) -> Ended {
        let mut gateway = self.launch();
        let status = gateway.wait_for_exit();
        Ended {
            status,
            output: String::new(),
            log: gateway.log.text(),
        }
    }

    /// Runs the executable with arguments of one's own instead of `--conf`, to its end.
    #[must_use]
    pub fn run(self, arguments: &[&str]) -> Ended {
        self.write_conf();
        let output = self.command().args(arguments).output().unwrap();
        Ended {
            status: output.status,
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            log: [output.stdout, output.stderr]
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
                .concat(),
        }
    }

    /// The languages that `gateway version` lists.
    #[must_use]
    pub fn linked_languages(self) -> Vec<String> {
        let text = self.run(&["version"]).log;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("languages:"));
        let line = line.unwrap_or_else(|| panic!("no languages in {text:?}"));
        line.split(',').map(|name| name.trim().to_owned()).collect()
    }

    fn write_conf(&self) {
        let path = self.folder.path().join("tyk.conf");
        if !path.exists() {
            fs::write(path, serde_json::to_string_pretty(&self.conf).unwrap()).unwrap();
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .current_dir(self.folder.path())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null());
        command
    }

    fn launch(self) -> Gateway {
        self.write_conf();
        let mut child = self
            .command()
            .args(["--conf", "tyk.conf"])
            .args(&self.arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {}: {error}", self.binary.display()));
        let log = Log::default();
        log.follow(child.stderr.take().unwrap());
        log.follow(child.stdout.take().unwrap());
        Gateway {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            child,
            builder: Some(self),
            log,
        }
    }
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// What a command wrote to its standard output.
    pub output: String,
    /// Everything that it wrote.
    pub log: String,
}

/// A running gateway. It is killed when this is dropped, and its log is shown when the test
/// fails.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    child: Child,
    /// There until it starts the next one.
    builder: Option<GatewayBuilder>,
    log: Log,
}

impl Gateway {
    /// Its folder, which is its working directory too.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.builder.as_ref().unwrap().folder()
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Opens a connection.
    #[must_use]
    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// Sends one request on a connection of its own.
    #[track_caller]
    pub fn send(&self, request: &Request) -> Response {
        self.connect().request(request)
    }

    /// `GET path` on a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.send(&Request::get(path))
    }

    /// `POST path` on a connection of its own.
    #[track_caller]
    pub fn post(&self, path: &str, body: impl Into<Vec<u8>>) -> Response {
        self.send(&Request::post(path, body))
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Waits for a log line that contains `part`, and returns it.
    #[track_caller]
    pub fn wait_for_log(&self, part: &str) -> String {
        self.wait_for_log_with(&[part])
    }

    /// Waits for a log line that contains all of `parts`, and returns it.
    #[track_caller]
    pub fn wait_for_log_with(&self, parts: &[&str]) -> String {
        match self.log.find_after(0, parts) {
            Some(line) => line,
            None => panic!("no log line with {parts:?}"),
        }
    }

    /// Reloads through the admin API and waits until it is done.
    #[track_caller]
    pub fn reload(&self) {
        let mark = self.log.mark();
        let response = self.admin("/tyk/reload?block=true");
        assert_eq!(response.status, 200, "{response:?}");
        assert_eq!(
            response.json(),
            json!({"status": "ok", "message": ""}),
            "{response:?}"
        );
        // The line of this reload must not pass for that of the next one. It is not there at
        // every level of the log, so it is not waited for for long.
        let _line = self.log.find_within(RELOAD_LINE, mark, &["Reloaded."]);
    }

    /// Reloads by SIGHUP and waits until the log says so.
    #[track_caller]
    pub fn hang_up(&self) {
        let mark = self.log.mark();
        self.signal("HUP");
        let reloaded = self.log.find_after(mark, &["Reloaded."]);
        assert!(reloaded.is_some(), "no reload after SIGHUP");
    }

    /// `GET path` of the admin API.
    #[track_caller]
    pub fn admin(&self, path: &str) -> Response {
        self.send(&Request::get(path).header("X-Tyk-Authorization", SECRET))
    }

    /// Sends a signal by its name without `SIG`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        // The shell's own `kill`: the standard library has no signals, and a system call of
        // ours would need unsafe code.
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "kill", name])
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(status.success(), "cannot send SIG{name}");
    }

    /// Writes or replaces a file below the gateway's folder.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        write(self.folder(), path, content);
    }

    /// Writes or replaces an API definition; a reload makes it known.
    pub fn write_api(&self, definition: &Definition) {
        self.write(&format!("apps/{}.json", definition.id()), definition.json());
    }

    /// Removes an API definition; a reload makes it known.
    pub fn remove_api(&self, id: &str) {
        fs::remove_file(self.folder().join(format!("apps/{id}.json"))).unwrap();
    }

    /// Kills the process and starts another one in the same folder.
    #[must_use]
    #[track_caller]
    pub fn restart(mut self) -> Self {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.builder.take().unwrap().start()
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends SIGTERM and returns how the process ended.
    #[track_caller]
    pub fn stop(mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_for_exit()
    }

    /// Waits until the process has ended.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        let mut status = None;
        wait::until("the gateway ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        self.log.wait_for_end();
        status.unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- log of the gateway ---\n{}\n---", self.log.text());
        }
    }
}

fn listening_address(line: &str) -> SocketAddr {
    line.split_once("address=")
        .and_then(|(_, rest)| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| panic!("no address in {line:?}"))
}

fn write(folder: &Path, path: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    // Written beside and renamed, so that a reload never reads half a file.
    let draft = path.with_extension("draft");
    fs::write(&draft, content).unwrap();
    fs::rename(draft, path).unwrap();
}

fn merge(into: &mut Value, patch: Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (key, value) in patch {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch,
    }
}

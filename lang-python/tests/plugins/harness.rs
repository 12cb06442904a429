//! What the tests share: plugins written into temporary folders, a recording host, and
//! objects to dispatch.

use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coprocess_core::{
    CoProcessLanguage, DispatchError, HookType, Host, HostError, InitContext, LoadError, LogLevel,
    Object, Plugin, PluginSource, Request, SourceKind, Spec, StringMap,
};
use http::{HeaderMap, HeaderValue, Method, Uri};
use lang_python::PythonLanguage;

/// A language with options of its own; all share one interpreter and one host.
pub(crate) fn start(options: &str) -> PythonLanguage {
    let language = PythonLanguage::default();
    let options = serde_json::from_str(options).expect("options are JSON");
    language
        .init(InitContext {
            host: host(),
            options,
            plugin_directory: PathBuf::new(),
            workers: 2,
        })
        .expect("Python starts");
    language
}

/// The language that most tests use: calls go to threads, so that timing is not adaptive.
pub(crate) fn shared() -> &'static PythonLanguage {
    static SHARED: OnceLock<PythonLanguage> = OnceLock::new();
    SHARED.get_or_init(|| start(r#"{"python_dispatch": "thread"}"#))
}

pub(crate) fn host() -> Arc<Recorder> {
    static HOST: OnceLock<Arc<Recorder>> = OnceLock::new();
    Arc::clone(HOST.get_or_init(Arc::default))
}

/// A host that remembers.
#[derive(Default)]
pub(crate) struct Recorder {
    lines: Mutex<Vec<(LogLevel, String)>>,
    data: Mutex<HashMap<String, Bytes>>,
}

impl Recorder {
    /// Waits for a line that holds all of `parts`.
    pub(crate) fn expect_line(&self, level: LogLevel, parts: &[&str]) {
        eventually(&format!("a line with {parts:?}"), || {
            let lines = self.lines.lock().unwrap();
            lines
                .iter()
                .any(|(l, line)| *l == level && parts.iter().all(|part| line.contains(part)))
        });
    }
}

impl Host for Recorder {
    fn log(&self, level: LogLevel, source: &str, message: &str) {
        assert_eq!(source, "python");
        self.lines.lock().unwrap().push((level, message.to_owned()));
    }

    fn emit_event(&self, _name: &str, _payload: &str) {}

    fn store_data(&self, key: &str, value: &[u8], _ttl: i64) -> Result<(), HostError> {
        let value = Bytes::copy_from_slice(value);
        self.data.lock().unwrap().insert(key.to_owned(), value);
        Ok(())
    }

    fn get_data(&self, key: &str) -> Result<Option<Bytes>, HostError> {
        Ok(self.data.lock().unwrap().get(key).cloned())
    }
}

/// A folder with plugin files that goes away with the value.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lang-python-{}-{count}", std::process::id());
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn source(&self, kind: SourceKind) -> PluginSource {
        let mut files = Vec::new();
        list(&self.0, &self.0, kind == SourceKind::Bundle, &mut files);
        files.sort();
        PluginSource {
            name: "under-test".to_owned(),
            root: self.0.clone(),
            files,
            kind,
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn list(root: &Path, folder: &Path, deep: bool, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            files.push(path.strip_prefix(root).unwrap().to_owned());
        } else if deep {
            list(root, &path, deep, files);
        }
    }
}

/// The text of a plugin file with one hook `hook` whose body is `body`.
pub(crate) fn hook_file(body: &str) -> String {
    let mut text = String::from(
        "from tyk.decorators import *\nfrom gateway import TykGateway as tyk\n\
         @Hook\ndef hook(request, session, spec):\n",
    );
    for line in body.lines() {
        text.push_str("    ");
        text.push_str(line);
        text.push('\n');
    }
    text.push_str("    return request, session\n");
    text
}

/// Loads one file as a directory; panics when there are problems.
pub(crate) fn load(language: &PythonLanguage, text: &str) -> Arc<dyn Plugin> {
    let folder = Folder::with(&[("plugin.py", text)]);
    let plugin = language
        .load(&folder.source(SourceKind::Directory))
        .unwrap();
    assert_eq!(plugin.problems(), [""; 0]);
    plugin
}

pub(crate) fn object(plugin: &dyn Plugin, name: &str) -> Object {
    object_of(plugin.hook(name, HookType::Pre).unwrap(), name)
}

pub(crate) fn object_of(hook: coprocess_core::Hook, name: &str) -> Object {
    let mut headers = HeaderMap::new();
    headers.insert("host", HeaderValue::from_static("api.example.com"));
    headers.insert("x-client", HeaderValue::from_static("someone"));
    Object {
        hook_type: HookType::Pre,
        hook_name: name.into(),
        hook,
        request: Box::new(Request {
            raw_body: Bytes::from_static(b"body"),
            ..Request::new(Method::GET, Uri::from_static("/things/1?a=1"), headers)
        }),
        session: None,
        metadata: StringMap::new(),
        spec: Arc::new(Spec {
            org_id: "org".to_owned(),
            api_id: "api".to_owned(),
            bundle_hash: String::new(),
            config_data: None,
            ..Spec::default()
        }),
        response: None,
        time_limit: Duration::from_secs(10),
    }
}

pub(crate) fn run(language: &PythonLanguage, object: Object) -> Result<Object, DispatchError> {
    block_on(language.dispatch(object))
}

/// Runs a hook with that body on the shared language.
pub(crate) fn run_body(body: &str) -> Result<Object, DispatchError> {
    let plugin = load(shared(), &hook_file(body));
    run(shared(), object(plugin.as_ref(), "hook"))
}

/// Runs a hook whose body must not raise.
pub(crate) fn check_body(body: &str) {
    if let Err(error) = run_body(body) {
        panic!("{error}");
    }
}

/// The message of a hook that must raise.
pub(crate) fn raised(outcome: Result<Object, DispatchError>) -> String {
    match outcome {
        Err(DispatchError::Raised { message }) => message,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("did not raise"),
    }
}

/// The error of a load that must fail.
pub(crate) fn load_error(outcome: Result<Arc<dyn Plugin>, LoadError>) -> LoadError {
    match outcome {
        Err(error) => error,
        Ok(_) => panic!("loaded"),
    }
}

/// Waits until a condition holds, and fails when it does not come to that.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "did not come to {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

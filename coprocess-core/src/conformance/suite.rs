//! What the cases share: a started language, a host that remembers, objects to dispatch.

use std::collections::HashMap;
use std::future::Future;
use std::panic;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};

use crate::{
    CoProcessLanguage, DispatchError, HookType, Host, HostError, InitContext, LogLevel, Object,
    Plugin, PluginSource, Request, SourceKind, Spec, StringMap,
};

/// A case that takes longer has failed. Far above what any case needs: a machine under
/// load must not fail it.
pub const CASE_LIMIT: Duration = Duration::from_secs(60);

/// How long a case waits for something that happens on another thread.
const PATIENCE: Duration = Duration::from_secs(20);

/// The time limit of dispatches that are not expected to reach it.
const GENEROUS: Duration = Duration::from_secs(10);

/// A language that has been started, and the plugin that most cases use.
pub struct Suite {
    language: Box<dyn CoProcessLanguage>,
    pub(super) driver: &'static str,
    pub(super) plugins: PathBuf,
    pub(super) host: Arc<Recorder>,
    pub(super) plugin: Arc<dyn Plugin>,
}

impl Suite {
    /// Starts `language` and loads the fixture folder. Panics when either fails.
    pub fn start(
        language: Box<dyn CoProcessLanguage>,
        driver: &'static str,
        plugins: &Path,
        options: &str,
    ) -> Self {
        let host = Arc::new(Recorder::default());
        let context = init_context(Arc::clone(&host), plugins, options);
        language.init(context).expect("the language starts");
        let plugin = language
            .load(&directory(plugins))
            .expect("the fixture folder loads");
        Self {
            language,
            driver,
            plugins: plugins.to_owned(),
            host,
            plugin,
        }
    }

    /// Loads a source; panics when that fails.
    pub(super) fn load(&self, source: &PluginSource) -> Arc<dyn Plugin> {
        self.language.load(source).expect("the plugin loads")
    }

    /// The fixture folder loaded once more, for cases that may leave a plugin disabled.
    pub(super) fn private_plugin(&self) -> Arc<dyn Plugin> {
        self.load(&directory(&self.plugins))
    }

    /// An object for the shared plugin's function `name`.
    pub(super) fn object(&self, name: &str, hook_type: HookType) -> Object {
        object(self.plugin.as_ref(), name, hook_type)
    }

    /// Dispatches and waits for the outcome.
    pub(super) fn dispatch(&self, object: Object) -> Result<Object, DispatchError> {
        block_on(self.language.dispatch(object))
    }

    /// Dispatches an object that must come back.
    pub(super) fn succeed(&self, object: Object) -> Object {
        let name = Arc::clone(&object.hook_name);
        self.dispatch(object)
            .unwrap_or_else(|error| panic!("hook `{name}` failed: {error}"))
    }

    /// Runs a pre hook of the shared plugin on a plain request.
    pub(super) fn pre(&self, name: &str) -> Object {
        self.succeed(self.object(name, HookType::Pre))
    }

    pub(super) fn language(&self) -> &dyn CoProcessLanguage {
        self.language.as_ref()
    }
}

/// Runs one case on a thread of its own, so that a language that hangs fails the case.
pub fn run_case(suite: &'static Suite, case: fn(&'static Suite)) {
    let (done, finished) = mpsc::channel();
    // As large as the main thread's: hooks may run in place, and recurse in C there.
    let handle = thread::Builder::new()
        .stack_size(8 << 20)
        .spawn(move || {
            case(suite);
            let _ = done.send(());
        })
        .expect("the system has a thread left");
    if finished.recv_timeout(CASE_LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("case did not end within {CASE_LIMIT:?}");
    }
    if let Err(panicked) = handle.join() {
        panic::resume_unwind(panicked);
    }
}

/// A folder as a shared directory of plugins: its files, sub-folders left out.
pub(super) fn directory(root: &Path) -> PluginSource {
    PluginSource {
        name: "conformance".to_owned(),
        root: root.to_owned(),
        files: files_of(root),
        kind: SourceKind::Directory,
    }
}

/// The names of the files in a folder, in name order.
pub(super) fn files_of(root: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", root.display()));
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder entry"))
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| PathBuf::from(entry.file_name()))
        .collect();
    files.sort();
    files
}

/// An object for function `name` of `plugin`: a plain `GET` with a few headers.
pub(super) fn object(plugin: &dyn Plugin, name: &str, hook_type: HookType) -> Object {
    let hook = plugin
        .hook(name, hook_type)
        .unwrap_or_else(|error| panic!("fixture lacks a function: {error}"));
    Object {
        hook_type,
        hook_name: name.into(),
        hook,
        request: Box::new(request()),
        session: None,
        metadata: StringMap::new(),
        spec: Arc::new(Spec {
            org_id: "org-1".to_owned(),
            api_id: "api-1".to_owned(),
            bundle_hash: "d41d8cd98f00b204e9800998ecf8427e".to_owned(),
            config_data: None,
            ..Spec::default()
        }),
        response: None,
        time_limit: GENEROUS,
    }
}

pub(super) fn request() -> Request {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "api.example.com"),
        ("x-request-id", "id-1"),
        ("x-remove", "old"),
    ] {
        headers.append(name, http::HeaderValue::from_static(value));
    }
    Request::new(
        Method::GET,
        Uri::from_static("/things/1?kept=a%20b&removed=x&kept=second"),
        headers,
    )
}

/// What `init` is given.
pub(super) fn init_context(host: Arc<Recorder>, plugins: &Path, options: &str) -> InitContext {
    let options = match serde_json::from_str(options) {
        Ok(serde_json::Value::Object(options)) => options,
        other => panic!("options are not a JSON object: {other:?}"),
    };
    InitContext {
        host,
        options,
        plugin_directory: plugins.to_owned(),
        workers: 2,
    }
}

// === waiting ===

/// Polls a future on the current thread until it completes.
pub(super) fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        thread::park_timeout(Duration::from_secs(1));
    }
}

// === the recording host ===

/// A host that remembers what plugins asked for.
#[derive(Default)]
pub struct Recorder {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    lines: Vec<(LogLevel, String, String)>,
    events: Vec<(String, String)>,
    data: HashMap<String, (Vec<u8>, i64)>,
}

impl Recorder {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen());
        self.changed.notify_all();
    }

    fn wait_until(&self, what: &str, found: impl Fn(&Seen) -> bool) {
        let end = Instant::now() + PATIENCE;
        let mut seen = self.seen();
        while !found(&seen) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what}; there are {:?}", seen.lines);
            seen = self
                .changed
                .wait_timeout(seen, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for a log line.
    pub fn expect_line(&self, level: LogLevel, source: &str, message: &str) {
        self.wait_until(
            &format!("no {level:?} line `{message}` of `{source}`"),
            |seen| {
                seen.lines
                    .iter()
                    .any(|(l, s, m)| (*l, s.as_str(), m.as_str()) == (level, source, message))
            },
        );
    }

    /// Waits for an event.
    pub(super) fn expect_event(&self, name: &str, payload: &str) {
        self.wait_until(&format!("no event `{name}` with `{payload}`"), |seen| {
            seen.events
                .iter()
                .any(|(n, p)| (n.as_str(), p.as_str()) == (name, payload))
        });
    }

    /// What is stored under `key`: the value, and the seconds that it was to be kept for.
    pub(super) fn stored(&self, key: &str) -> Option<(Vec<u8>, i64)> {
        self.seen().data.get(key).cloned()
    }
}

impl Host for Recorder {
    fn log(&self, level: LogLevel, source: &str, message: &str) {
        self.record(|seen| {
            seen.lines
                .push((level, source.to_owned(), message.to_owned()))
        });
    }

    fn emit_event(&self, name: &str, payload: &str) {
        self.record(|seen| seen.events.push((name.to_owned(), payload.to_owned())));
    }

    fn store_data(&self, key: &str, value: &[u8], ttl: i64) -> Result<(), HostError> {
        self.record(|seen| {
            seen.data.insert(key.to_owned(), (value.to_vec(), ttl));
        });
        Ok(())
    }

    fn get_data(&self, key: &str) -> Result<Option<Bytes>, HostError> {
        let value = self.seen().data.get(key).map(|(value, _)| value.clone());
        Ok(value.map(Bytes::from))
    }
}

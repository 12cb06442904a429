//! A plugin made from text, and a way to run its hooks.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use coprocess_core::{
    CoProcessLanguage, DispatchError, HookType, Host, HostError, InitContext, LoadError, LogLevel,
    Object, Plugin, PluginSource, Request, SourceKind, Spec, StringMap,
};
use http::{HeaderMap, HeaderValue, Method, Uri};

/// A language of its own with one plugin, `plugin.lua`.
pub(crate) struct Fixture {
    language: lang_lua::Lua,
    pub(crate) plugin: Arc<dyn Plugin>,
}

impl Fixture {
    pub(crate) fn new(code: &str) -> Self {
        // Machines under load must not fail what is not about limits.
        Self::with_options(code, r#"{"lua_burst_ms": 10000}"#)
    }

    pub(crate) fn with_options(code: &str, options: &str) -> Self {
        let files = [("plugin.lua", code)];
        match Self::load(&files, SourceKind::Directory, options) {
            Ok(fixture) => fixture,
            Err(error) => panic!("the plugin does not load: {error}"),
        }
    }

    /// A bundle of these files, in this order.
    pub(crate) fn bundle(files: &[(&str, &str)]) -> Result<Self, LoadError> {
        Self::load(files, SourceKind::Bundle, r#"{"lua_burst_ms": 10000}"#)
    }

    fn load(files: &[(&str, &str)], kind: SourceKind, options: &str) -> Result<Self, LoadError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("lang-lua-{}-{count}", std::process::id());
        let root = std::env::temp_dir().join(name);
        for (file, code) in files {
            let path = root.join(file);
            let folder = path.parent().expect("a file is in a folder");
            std::fs::create_dir_all(folder).expect("a temporary folder");
            std::fs::write(path, code).expect("a temporary file");
        }
        let language = lang_lua::Lua::default();
        let context = InitContext {
            host: Arc::new(Quiet),
            options: serde_json::from_str(options).expect("options are JSON"),
            plugin_directory: root.clone(),
            workers: 1,
        };
        language.init(context).expect("lua starts");
        let source = PluginSource {
            name: "plugin".to_owned(),
            root: root.clone(),
            files: files.iter().map(|(file, _)| PathBuf::from(file)).collect(),
            kind,
        };
        let plugin = language.load(&source);
        std::fs::remove_dir_all(root).expect("the folder is ours");
        Ok(Self {
            language,
            plugin: plugin?,
        })
    }

    pub(crate) fn object(&self, name: &str, hook_type: HookType) -> Object {
        let mut headers = HeaderMap::new();
        headers.insert("host", HeaderValue::from_static("api.example.com"));
        headers.insert("x-request-id", HeaderValue::from_static("id-1"));
        Object {
            hook_type,
            hook_name: name.into(),
            hook: self
                .plugin
                .hook(name, hook_type)
                .expect("the function exists"),
            request: Box::new(Request {
                raw_body: Bytes::from_static(b"body"),
                ..Request::new(Method::GET, Uri::from_static("/things?a=1"), headers)
            }),
            session: None,
            metadata: StringMap::new(),
            spec: Arc::new(Spec::default()),
            response: None,
            time_limit: Duration::from_secs(30),
        }
    }

    pub(crate) fn dispatch(&self, object: Object) -> Result<Object, DispatchError> {
        let dispatch = pin!(self.language.dispatch(object));
        match dispatch.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(outcome) => outcome,
            Poll::Pending => panic!("lua runs in place"),
        }
    }

    pub(crate) fn run(&self, name: &str) -> Result<Object, DispatchError> {
        self.dispatch(self.object(name, HookType::Pre))
    }

    pub(crate) fn run_within(&self, name: &str, limit: Duration) -> Result<Object, DispatchError> {
        let mut object = self.object(name, HookType::Pre);
        object.time_limit = limit;
        self.dispatch(object)
    }
}

struct Quiet;

impl Host for Quiet {
    fn log(&self, _level: LogLevel, _source: &str, _message: &str) {}

    fn emit_event(&self, _name: &str, _payload: &str) {}

    fn store_data(&self, _key: &str, _value: &[u8], _ttl: i64) -> Result<(), HostError> {
        Err(HostError::Storage("away".to_owned()))
    }

    fn get_data(&self, key: &str) -> Result<Option<Bytes>, HostError> {
        assert_ne!(key, "panic", "a deliberate panic");
        Ok(None)
    }
}

//! A language that is started, and objects to dispatch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coprocess_core::conformance::Recorder;
use coprocess_core::{
    CoProcessLanguage, DispatchError, HookType, InitContext, LoadError, Object, Plugin, Request,
    Response, Spec, StringMap,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use lang_grpc::Grpc;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::server::Server;

/// The language, with a thread's runtime to dispatch on.
pub(crate) struct Gateway {
    pub(crate) language: Grpc,
    pub(crate) host: Arc<Recorder>,
    pub(crate) runtime: Runtime,
    plugin: Arc<dyn Plugin>,
}

impl Gateway {
    pub(crate) fn new(options: Value) -> Self {
        Self::with(options, json!({})).unwrap()
    }

    /// With options of the process and of the API.
    pub(crate) fn with(options: Value, own: Value) -> Result<Self, LoadError> {
        let language = Grpc::default();
        let host = Arc::new(Recorder::default());
        let context = InitContext {
            host: Arc::<Recorder>::clone(&host),
            options: options.as_object().unwrap().clone(),
            plugin_directory: "no/such/folder".into(),
            workers: 1,
        };
        language.init(context).unwrap();
        let plugin = language.remote(own.as_object().unwrap()).unwrap()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Ok(Self {
            language,
            host,
            runtime,
            plugin,
        })
    }

    /// For one server.
    pub(crate) fn of(server: &Server) -> Self {
        Self::new(json!({"coprocess_grpc_server": server.url}))
    }

    /// A post hook's object, with a body.
    pub(crate) fn object(&self) -> Object {
        let mut headers = HeaderMap::new();
        for (name, value) in [("host", "a.example"), ("x-many", "1"), ("x-many", "2")] {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_static(value));
        }
        let uri = "/path?a=1&b=%20".parse().unwrap();
        let mut request = Request::new(Method::POST, uri, headers);
        request.raw_body = Bytes::from_static(b"body");
        request.client_address = Some([10, 0, 0, 1].into());
        let subject = ("subject".to_owned(), "CN=me.example".to_owned());
        request.client_certificate = Some(Arc::new([subject].into_iter().collect()));
        Object {
            hook_type: HookType::Post,
            hook_name: "Function".into(),
            hook: self.plugin.hook("Function", HookType::Post).unwrap(),
            request: Box::new(request),
            session: None,
            metadata: StringMap::new(),
            spec: Arc::new(Spec {
                org_id: "org".to_owned(),
                api_id: "api".to_owned(),
                listen_path: "/listen/".to_owned(),
                config_data: Some("{}".to_owned()),
                ..Spec::default()
            }),
            response: None,
            time_limit: Duration::from_secs(10),
        }
    }

    /// A response hook's object.
    pub(crate) fn response_object(&self) -> Object {
        let mut headers = HeaderMap::new();
        for value in ["a=1", "b=2"] {
            headers.append("set-cookie", HeaderValue::from_static(value));
        }
        let mut object = self.object();
        object.hook_type = HookType::Response;
        object.response = Some(Box::new(Response {
            status_code: 200,
            headers,
            edited_headers: None,
            header_edits: Vec::new(),
            raw_body: Bytes::from_static(b"answer"),
            raw_body_only: false,
        }));
        object
    }

    pub(crate) fn dispatch(&self, object: Object) -> Result<Object, DispatchError> {
        self.runtime.block_on(self.language.dispatch(object))
    }

    /// The text of a failure.
    pub(crate) fn failure(&self, object: Object) -> String {
        self.dispatch(object).unwrap_err().to_string()
    }

    pub(crate) fn handler(&self) -> coprocess_core::Hook {
        self.plugin.event_handler("on").unwrap()
    }
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

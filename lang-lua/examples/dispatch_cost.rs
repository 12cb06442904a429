//! Measures what one dispatch costs, per kind of hook, in nanoseconds:
//! `cargo run --release -p lang-lua --example dispatch_cost`.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coprocess_core::{
    CoProcessLanguage, HookType, Host, HostError, InitContext, LogLevel, Object, Plugin,
    PluginSource, Request, Response, Session, SourceKind, Spec, StringMap,
};
use http::{HeaderMap, HeaderValue, Method, Uri};

const PLUGIN: &str = r#"
function nothing(request, session, spec)
  return request, session
end

function set_header(request, session, spec)
  request:set_header("X-Plugin", "set")
  return request, session
end

function set_header_in_table(request, session, spec)
  request.set_headers["X-Plugin"] = "set"
  return request, session
end

function read_and_set(request, session, spec)
  request:set_header("X-Seen", request:get_header("X-Request-Id"))
  return request, session
end

function authenticate(request, session, metadata, spec)
  metadata.token = request:get_header("Authorization")
  session.rate = 100
  session.per = 1
  return request, session, metadata
end

function read_metadata(request, session, spec)
  request:set_header("X-Plan", session.metadata.plan)
  return request, session
end

local cjson = require("cjson")

function change_json(request, session, spec)
  local data = cjson.decode(request.body)
  data.seen = true
  request.raw_body = cjson.encode(data)
  return request, session
end

function add_response_header(request, response, session, metadata, spec)
  response.headers["X-Added"] = "yes"
  return response
end
"#;

struct Silent;

impl Host for Silent {
    fn log(&self, _level: LogLevel, _source: &str, _message: &str) {}
    fn emit_event(&self, _name: &str, _payload: &str) {}
    fn store_data(&self, _key: &str, _value: &[u8], _ttl: i64) -> Result<(), HostError> {
        Ok(())
    }
    fn get_data(&self, _key: &str) -> Result<Option<Bytes>, HostError> {
        Ok(None)
    }
}

fn main() {
    let root = std::env::temp_dir().join(format!("dispatch-cost-{}", std::process::id()));
    std::fs::create_dir_all(&root).expect("temporary folder");
    std::fs::write(root.join("plugin.lua"), PLUGIN).expect("temporary file");
    let language = lang_lua::Lua::default();
    let context = InitContext {
        host: Arc::new(Silent),
        options: serde_json::Map::new(),
        plugin_directory: root.clone(),
        workers: 1,
    };
    language.init(context).expect("lua starts");
    let source = PluginSource {
        name: "cost".to_owned(),
        root: root.clone(),
        files: vec![PathBuf::from("plugin.lua")],
        kind: SourceKind::Directory,
    };
    let plugin = language.load(&source).expect("the plugin loads");
    for (name, hook_type) in [
        ("nothing", HookType::Pre),
        ("set_header", HookType::Pre),
        ("set_header_in_table", HookType::Pre),
        ("read_and_set", HookType::Pre),
        ("authenticate", HookType::CustomKeyCheck),
        ("read_metadata", HookType::Post),
        ("change_json", HookType::Pre),
        ("add_response_header", HookType::Response),
    ] {
        let cost = cost(&language, plugin.as_ref(), name, hook_type);
        eprintln!("{name:22} {cost:6.0} ns");
    }
    let _ = std::fs::remove_dir_all(root);
}

/// The least mean of several rounds: what a busy machine adds is not the plugin's.
fn cost(language: &lang_lua::Lua, plugin: &dyn Plugin, name: &str, hook_type: HookType) -> f64 {
    const CALLS: u32 = 50_000;
    let mut object = object(plugin, name, hook_type);
    let mut least = f64::MAX;
    for _ in 0..7 {
        let mut own = Duration::ZERO;
        let began = Instant::now();
        for _ in 0..CALLS {
            object = finish(language.dispatch(object));
            let clean = Instant::now();
            object.request.set_headers.clear();
            object.metadata.clear();
            if let Some(response) = &mut object.response {
                response.edited_headers = None;
            }
            own += clean.elapsed();
        }
        let spent = began.elapsed().saturating_sub(own);
        least = least.min(spent.as_nanos() as f64 / f64::from(CALLS));
    }
    least
}

fn finish(dispatch: impl Future<Output = Result<Object, coprocess_core::DispatchError>>) -> Object {
    match pin!(dispatch).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome.expect("the hook succeeds"),
        Poll::Pending => unreachable!("lua runs in place"),
    }
}

fn object(plugin: &dyn Plugin, name: &str, hook_type: HookType) -> Object {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "api.example.com"),
        ("user-agent", "bench"),
        ("accept", "*/*"),
        ("authorization", "secret-key"),
        ("x-request-id", "id-1"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let response = Response {
        status_code: 200,
        headers: headers.clone(),
        edited_headers: None,
        raw_body: Bytes::from_static(b"body"),
        raw_body_only: false,
    };
    let mut session = Session::default();
    session
        .metadata
        .insert("plan".to_owned(), "premium".to_owned());
    Object {
        hook_type,
        hook_name: name.into(),
        hook: plugin.hook(name, hook_type).expect("the function exists"),
        request: Request {
            raw_body: json_of_4_kib(),
            ..Request::new(Method::GET, Uri::from_static("/things/1?a=b"), headers)
        },
        session: matches!(hook_type, HookType::Post | HookType::Response)
            .then(|| Box::new(session)),
        metadata: StringMap::new(),
        spec: Arc::new(Spec::default()),
        response: (hook_type == HookType::Response).then_some(response),
        time_limit: Duration::from_secs(5),
    }
}

fn json_of_4_kib() -> Bytes {
    let items: Vec<_> = (0..50)
        .map(|id| serde_json::json!({"id": id, "name": format!("item number {id}"), "price": 9.5, "tags": ["a", "b"]}))
        .collect();
    Bytes::from(serde_json::json!({ "items": items }).to_string())
}

//! Measures what one dispatch costs, per kind of hook, in nanoseconds:
//! `cargo run --release -p lang-lua --example dispatch_cost`.
//!
//! The hooks `HookP1` to `HookP4` are those of the shared benchmark. Instructions are counted
//! with callgrind: those of `dispatch_cost HookP1 4000`, less those of 2000 calls, less the same
//! difference with `idle` as a third argument, which makes the objects only.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use coprocess_core::{
    CoProcessLanguage, HookType, Host, HostError, InitContext, LogLevel, Object, Plugin,
    PluginSource, Request, Response, Session, SourceKind, Spec, StringMap,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

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

/// The benchmark's own hooks.
const HOOKS: &str = include_str!("../../tests/bench/plugins/lua/hooks.lua");

/// How many objects are dispatched in a row. What makes them and drops them is not measured.
const BATCH: usize = 50;

/// How many callers the hook that authenticates knows.
const TOKENS: usize = 10_000;

const CASES: &[(&str, HookType)] = &[
    ("nothing", HookType::Pre),
    ("set_header", HookType::Pre),
    ("set_header_in_table", HookType::Pre),
    ("read_and_set", HookType::Pre),
    ("authenticate", HookType::CustomKeyCheck),
    ("read_metadata", HookType::Post),
    ("change_json", HookType::Pre),
    ("add_response_header", HookType::Response),
    ("HookP1", HookType::Pre),
    ("HookP2", HookType::CustomKeyCheck),
    ("HookP3", HookType::Pre),
    ("HookP4", HookType::Response),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let only = arguments.next();
    let calls = arguments
        .next()
        .map(|calls| calls.parse().expect("a number"));
    let idle = arguments.next().is_some();
    let root = std::env::temp_dir().join(format!("dispatch-cost-{}", std::process::id()));
    std::fs::create_dir_all(&root).expect("temporary folder");
    let known: Vec<_> = (0..TOKENS)
        .map(|user| format!("tokens[\"{}\"] = \"user{user}\"\n", token(user)))
        .collect();
    for (file, code) in [
        ("plugin.lua", PLUGIN),
        ("hooks.lua", HOOKS),
        ("tokens.lua", &format!("tokens = {{}}\n{}", known.concat())),
    ] {
        std::fs::write(root.join(file), code).expect("temporary file");
    }
    let language = lang_lua::Lua::default();
    // Under callgrind all takes fifty times as long.
    let burst = ("lua_burst_ms".to_owned(), serde_json::json!(60_000));
    let context = InitContext {
        host: Arc::new(Silent),
        options: [burst].into_iter().collect(),
        plugin_directory: root.clone(),
        workers: 1,
    };
    language.init(context).expect("lua starts");
    let source = PluginSource {
        name: "cost".to_owned(),
        root: root.clone(),
        files: ["plugin.lua", "hooks.lua", "tokens.lua"]
            .map(PathBuf::from)
            .into(),
        kind: SourceKind::Directory,
    };
    let plugin = language.load(&source).expect("the plugin loads");
    for &(name, hook_type) in CASES {
        if only.as_deref().is_none_or(|only| only == name) {
            let make = |number| object(plugin.as_ref(), name, hook_type, number);
            match calls {
                Some(calls) => drop(rounds(&language, calls, idle, &make)),
                None => eprintln!("{name:22} {:6.0} ns", cost(&language, &make)),
            }
        }
    }
    let _ = std::fs::remove_dir_all(root);
}

/// The least mean of several rounds: what a busy machine adds is not the plugin's.
fn cost(language: &lang_lua::Lua, make: &dyn Fn(usize) -> Object) -> f64 {
    let least = (0..200).map(|_| rounds(language, 1000, false, make)).min();
    least.unwrap_or_default().as_nanos() as f64 / 1000.0
}

/// What so many dispatches take.
fn rounds(
    language: &lang_lua::Lua,
    calls: usize,
    idle: bool,
    make: &dyn Fn(usize) -> Object,
) -> Duration {
    let mut spent = Duration::ZERO;
    for round in 0..calls / BATCH {
        let mut objects: Vec<_> = (0..BATCH)
            .map(|at| Some(make(round * BATCH + at)))
            .collect();
        let began = Instant::now();
        if !idle {
            dispatch_all(language, &mut objects);
        }
        spent += began.elapsed();
    }
    spent
}

#[inline(never)]
fn dispatch_all(language: &lang_lua::Lua, objects: &mut [Option<Object>]) {
    for slot in objects {
        let object = slot.take().expect("it was put there");
        *slot = Some(finish(language.dispatch(object)));
    }
}

fn finish(dispatch: impl Future<Output = Result<Object, coprocess_core::DispatchError>>) -> Object {
    match pin!(dispatch).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome.expect("the hook succeeds"),
        Poll::Pending => unreachable!("lua runs in place"),
    }
}

/// What the gateway makes of the benchmark's requests.
fn object(plugin: &dyn Plugin, name: &str, hook_type: HookType, number: usize) -> Object {
    let mut request = Request::new(
        Method::GET,
        Uri::from_static("/api/items?id=1"),
        headers(&[
            ("host", "127.0.0.1:8080"),
            ("user-agent", "ldgen/1.0"),
            ("accept", "*/*"),
            ("x-client", "ldgen"),
            ("x-request-id", "id-1"),
        ]),
    );
    let authorization = format!("Bearer {}", token(number * 7 % TOKENS));
    let authorization = HeaderValue::try_from(authorization).expect("a header's value");
    request.headers.insert("authorization", authorization);
    request.raw_body = json_of_4_kib();
    let response = Response {
        status_code: 200,
        headers: headers(&[
            ("server", "up"),
            ("date", "Mon, 01 Jan 2024 00:00:00 GMT"),
            ("content-type", "application/json"),
            ("content-length", "1024"),
            ("x-upstream-version", "1.2.3"),
            ("cache-control", "no-store"),
            ("vary", "accept-encoding"),
            ("etag", "\"1\""),
        ]),
        edited_headers: None,
        header_edits: Vec::new(),
        raw_body: Bytes::new(),
        raw_body_only: false,
    };
    let mut session = Session::default();
    if hook_type == HookType::Post {
        let plan = ("plan".to_owned(), "premium".to_owned());
        session.metadata.extend([plan]);
    }
    Object {
        hook_type,
        hook_name: name.into(),
        hook: plugin.hook(name, hook_type).expect("the function exists"),
        request: Box::new(request),
        session: matches!(hook_type, HookType::Post | HookType::Response)
            .then(|| Box::new(session)),
        metadata: StringMap::new(),
        spec: Arc::new(Spec::default()),
        response: (hook_type == HookType::Response).then_some(Box::new(response)),
        time_limit: Duration::from_secs(60),
    }
}

fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
    let fields = list.iter();
    fields
        .map(|&(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

/// The token of a user: 32 letters and digits.
fn token(user: usize) -> String {
    format!(
        "{:032x}",
        (user as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    )
}

fn json_of_4_kib() -> Bytes {
    static TEXT: OnceLock<Bytes> = OnceLock::new();
    TEXT.get_or_init(|| {
        let items = (0..50).map(|id| {
            let price = 12.5 + f64::from(id);
            format!(
                r#"{{"id":{id},"name":"item-{id}","price":{price:?},"tags":["a","b","c"],"ok":true}}"#
            )
        });
        let items = items.collect::<Vec<_>>().join(",");
        let [before, after] = [r#"{"user":"alice","note":""#, r#"","items":["#];
        let note = 4096 - before.len() - after.len() - items.len() - 2;
        Bytes::from([before, &"n".repeat(note), after, &items, "]}"].concat())
    })
    .clone()
}

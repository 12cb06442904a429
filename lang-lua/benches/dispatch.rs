//! What one dispatch costs, by the headers and the body that a request has, read or not:
//! `cargo bench -p lang-lua --bench dispatch`.

use std::fmt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use coprocess_core::{
    CoProcessLanguage, DispatchError, HookType, Host, HostError, InitContext, LogLevel, Object,
    Plugin, PluginSource, Request, SourceKind, Spec, StringMap,
};
use divan::Bencher;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use lang_lua::Lua;

const PLUGIN: &str = r#"
function nothing(request, session, spec)
  return request, session
end

function light(request, session, spec)
  if request:get_header("X-Header-0") == "block" then
    request.return_overrides.response_code = 403
  end
  request:set_header("X-Plugin", "on")
  return request, session
end

function body(request, session, spec)
  request.raw_body = request.raw_body .. "!"
  return request, session
end
"#;

type Loaded = (Lua, Arc<dyn Plugin>);

static LOADED: LazyLock<Loaded> = LazyLock::new(|| {
    let language = Lua::default();
    let context = InitContext {
        host: Arc::new(Silent),
        options: serde_json::Map::new(),
        plugin_directory: root(),
        workers: 1,
    };
    language.init(context).expect("the language starts");
    let source = PluginSource {
        name: "bench".to_owned(),
        root: root(),
        files: vec![PathBuf::from("plugin.lua")],
        kind: SourceKind::Directory,
    };
    let plugin = language.load(&source).expect("the plugin loads");
    (language, plugin)
});

fn root() -> PathBuf {
    std::env::temp_dir().join(format!("lua-bench-{}", std::process::id()))
}

fn main() {
    std::fs::create_dir_all(root()).expect("temporary folder");
    std::fs::write(root().join("plugin.lua"), PLUGIN).expect("temporary file");
    divan::main();
    let _ = std::fs::remove_dir_all(root());
}

/// What a request has.
#[derive(Clone, Copy)]
struct Case {
    headers: usize,
    body: usize,
}

const CASES: [Case; 5] = [
    Case::new(0, 0),
    Case::new(8, 0),
    Case::new(30, 0),
    Case::new(8, 4 << 10),
    Case::new(8, 1 << 20),
];

impl Case {
    const fn new(headers: usize, body: usize) -> Self {
        Self { headers, body }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:2} headers, body of {:7}", self.headers, self.body)
    }
}

/// The call alone: nothing is read.
#[divan::bench(args = CASES)]
fn nothing(bencher: Bencher<'_, '_>, case: Case) {
    run(bencher, "nothing", case);
}

/// A header is read and another one set.
#[divan::bench(args = CASES)]
fn light(bencher: Bencher<'_, '_>, case: Case) {
    run(bencher, "light", case);
}

/// The body is read and replaced.
#[divan::bench(args = CASES)]
fn body(bencher: Bencher<'_, '_>, case: Case) {
    run(bencher, "body", case);
}

fn run(bencher: Bencher<'_, '_>, name: &str, case: Case) {
    let (language, plugin) = &*LOADED;
    let hook = plugin.hook(name, HookType::Pre).expect("it is there");
    let spec = Arc::new(Spec::default());
    let headers = headers(case.headers);
    let body = Bytes::from(vec![b'x'; case.body]);
    let input = || Object {
        hook_type: HookType::Pre,
        hook_name: name.into(),
        hook: hook.clone(),
        request: Request {
            raw_body: body.clone(),
            ..Request::new(
                Method::GET,
                Uri::from_static("/items/17?a=b"),
                headers.clone(),
            )
        },
        session: None,
        metadata: StringMap::new(),
        spec: Arc::clone(&spec),
        response: None,
        time_limit: Duration::from_secs(5),
    };
    bencher
        .with_inputs(input)
        .bench_local_values(|object| finish(language.dispatch(object)));
}

fn headers(count: usize) -> HeaderMap {
    let name = |number| HeaderName::try_from(format!("x-header-{number}"));
    let value = HeaderValue::from_static("a value of a usual length");
    let fields = (0..count).map(|number| (name(number).expect("this is a name"), value.clone()));
    fields.collect()
}

fn finish(dispatch: impl Future<Output = Result<Object, DispatchError>>) -> Object {
    match pin!(dispatch).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome.expect("the hook succeeds"),
        Poll::Pending => unreachable!("it runs in place"),
    }
}

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

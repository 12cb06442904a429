//! What one dispatch costs, in place, by the headers and the body that a request has, read or
//! not, and what JSON of 4 KiB costs in a hook, with the library's own functions for
//! comparison: `cargo bench -p lang-python --bench dispatch`.

#[path = "../../tests/bench/dispatch.rs"]
mod shared;

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use coprocess_core::{CoProcessLanguage, InitContext, Plugin, PluginSource, SourceKind};
use divan::Bencher;
use lang_python::PythonLanguage;

use shared::{CASES, Case, Silent};

const PLUGIN: &str = r#"
import json
from tyk.decorators import Hook

@Hook
def nothing(request, session, spec):
    return request, session

@Hook
def light(request, session, spec):
    if request.get_header("x-header-0") == "block":
        request.object.return_overrides.response_code = 403
    request.add_header("x-plugin", "on")
    return request, session

@Hook
def body(request, session, spec):
    request.object.raw_body = request.object.raw_body + b"!"
    return request, session

ITEMS = [{"id": n, "name": f"item-{n}", "price": 12.5 + n, "tags": ["a", "b", "c"], "ok": True} for n in range(50)]
DOCUMENT = {"user": "alice", "note": "n" * 400, "items": ITEMS}
SHORT = {"error": "forbidden"}
COMPACT = (",", ":")

def body_of(value):
    return json.dumps(value, separators=COMPACT).encode()

def add(name, function, value, **options):
    def hook(request, session, spec):
        function(value, **options)
        return request, session
    hook.__name__ = name
    globals()[name] = Hook(hook)

for end, function in (("", json.loads), ("_original", json.loads.__wrapped__)):
    add("loads" + end, function, body_of(DOCUMENT))
    add("loads_short" + end, function, body_of(SHORT))
for end, function in (("", json.dumps), ("_original", json.dumps.__wrapped__)):
    add("dumps" + end, function, DOCUMENT, separators=COMPACT)
    add("dumps_short" + end, function, SHORT)
"#;

const JSON: &[&str] = &[
    "loads",
    "loads_original",
    "loads_short",
    "loads_short_original",
    "dumps",
    "dumps_original",
    "dumps_short",
    "dumps_short_original",
];

type Loaded = (PythonLanguage, Arc<dyn Plugin>);

static LOADED: LazyLock<Loaded> = LazyLock::new(|| {
    let language = PythonLanguage::default();
    let context = InitContext {
        host: Arc::new(Silent),
        options: options(),
        plugin_directory: root(),
        workers: 1,
    };
    language.init(context).expect("the language starts");
    let source = PluginSource {
        name: "bench".to_owned(),
        root: root(),
        files: vec![PathBuf::from("plugin.py")],
        kind: SourceKind::Directory,
    };
    let plugin = language.load(&source).expect("the plugin loads");
    (language, plugin)
});

fn options() -> serde_json::Map<String, serde_json::Value> {
    let in_place = ("python_dispatch".to_owned(), "inline".into());
    serde_json::Map::from_iter([in_place])
}

fn root() -> PathBuf {
    std::env::temp_dir().join(format!("python-bench-{}", std::process::id()))
}

fn main() {
    std::fs::create_dir_all(root()).expect("temporary folder");
    std::fs::write(root().join("plugin.py"), PLUGIN).expect("temporary file");
    divan::main();
    let _ = std::fs::remove_dir_all(root());
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

/// JSON is read or written, of 4 KiB and of a short answer.
#[divan::bench(args = JSON)]
fn json(bencher: Bencher<'_, '_>, name: &str) {
    run(bencher, name, CASES[0]);
}

fn run(bencher: Bencher<'_, '_>, name: &str, case: Case) {
    let (language, plugin) = &*LOADED;
    shared::run(bencher, language, plugin.as_ref(), name, case);
}

//! What one dispatch costs, in place, by the headers and the body that a request has, read or
//! not: `cargo bench -p lang-python --bench dispatch`.

#[path = "../../tests/bench/dispatch.rs"]
mod shared;

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use coprocess_core::{CoProcessLanguage, InitContext, Plugin, PluginSource, SourceKind};
use divan::Bencher;
use lang_python::PythonLanguage;

use shared::{CASES, Case, Silent};

const PLUGIN: &str = r#"
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
"#;

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

fn run(bencher: Bencher<'_, '_>, name: &str, case: Case) {
    let (language, plugin) = &*LOADED;
    shared::run(bencher, language, plugin.as_ref(), name, case);
}

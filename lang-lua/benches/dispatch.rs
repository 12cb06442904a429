//! What one dispatch costs, by the headers and the body that a request has, read or not:
//! `cargo bench -p lang-lua --bench dispatch`.

#[path = "../../tests/bench/dispatch.rs"]
mod shared;

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use coprocess_core::{CoProcessLanguage, InitContext, Plugin, PluginSource, SourceKind};
use divan::Bencher;
use lang_lua::Lua;

use shared::{CASES, Case, Silent};

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

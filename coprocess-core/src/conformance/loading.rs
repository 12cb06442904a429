//! Cases about loading: what is found, what is refused, what a reload changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::Suite;
use super::request::sent;
use super::suite::{directory, files_of, object};
use crate::{HookType, LoadError, Plugin, PluginSource, SourceKind};

pub(super) fn an_unknown_function_is_refused_with_those_that_exist(suite: &Suite) {
    match suite.plugin.hook("no_such_function", HookType::Pre) {
        Err(LoadError::UnknownHook { name, known }) => {
            assert_eq!(name, "no_such_function");
            assert!(known.iter().any(|name| name == "set_header"), "{known:?}");
            assert!(known.is_sorted(), "{known:?}");
        }
        other => panic!("{other:?}"),
    }
}

pub(super) fn a_broken_file_is_a_problem_not_the_end(suite: &Suite) {
    let problems = suite.plugin.problems();
    let broken = problems.iter().find(|problem| problem.contains("broken."));
    let text = broken.unwrap_or_else(|| panic!("no problem names the file: {problems:?}"));
    assert!(text.contains('3'), "no line: {text}");
    suite.pre("set_header");
}

pub(super) fn a_bundle_finds_its_sibling_module(suite: &Suite) {
    let bundle = suite.load(&bundle(suite));
    assert_eq!(bundle.problems(), [""; 0]);
    let object = suite.succeed(object(bundle.as_ref(), "set_header", HookType::Pre));
    assert_eq!(sent(&object, "X-Plugin"), Some("from the bundle"));
}

pub(super) fn plugins_do_not_see_each_other(suite: &Suite) {
    let bundle = suite.load(&bundle(suite));
    let theirs = suite.succeed(object(bundle.as_ref(), "set_header", HookType::Pre));
    assert_eq!(sent(&theirs, "X-Plugin"), Some("from the bundle"));
    let ours = suite.pre("set_header");
    assert_eq!(sent(&ours, "X-Plugin"), Some("set"));
    let foreign = bundle.hook("delete_header", HookType::Pre);
    assert!(
        matches!(foreign, Err(LoadError::UnknownHook { .. })),
        "{foreign:?}"
    );
}

pub(super) fn a_reload_gives_new_code_and_keeps_the_old(suite: &Suite) {
    let scratch = Scratch::new();
    scratch.put(&fixture(suite, "before"), "plugin");
    let old = suite.load(&directory(&scratch.0));
    assert_eq!(version(suite, old.as_ref()), "before");
    scratch.put(&fixture(suite, "after"), "plugin");
    let new = suite.load(&directory(&scratch.0));
    assert_eq!(version(suite, new.as_ref()), "after");
    assert_eq!(version(suite, old.as_ref()), "before");
    drop(old);
    assert_eq!(version(suite, new.as_ref()), "after");
}

fn version(suite: &Suite, plugin: &dyn Plugin) -> String {
    let object = suite.succeed(object(plugin, "version", HookType::Pre));
    object.request.set_headers["X-Version"].clone()
}

fn bundle(suite: &Suite) -> PluginSource {
    let root = suite.plugins.join("bundle");
    // The entry file first, as a manifest would list it.
    let mut files = files_of(&root);
    files.reverse();
    PluginSource {
        name: "conformance-bundle".to_owned(),
        root,
        files,
        kind: SourceKind::Bundle,
    }
}

/// The file of `reload/` with that stem.
fn fixture(suite: &Suite, stem: &str) -> PathBuf {
    let root = suite.plugins.join("reload");
    let file = files_of(&root)
        .into_iter()
        .find(|file| file.file_stem().is_some_and(|found| found == stem))
        .unwrap_or_else(|| panic!("no file `{stem}` in {}", root.display()));
    root.join(file)
}

/// A folder of its own that goes away with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("conformance-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("the folder for temporary files is writable");
        Self(path)
    }

    fn put(&self, file: &Path, stem: &str) {
        let mut to = self.0.join(stem);
        to.set_extension(file.extension().expect("fixtures have an ending"));
        fs::copy(file, to).expect("the fixture can be copied");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

//! Where code comes from, what it may import, and how it goes away.

use std::path::Path;
use std::time::{Duration, Instant};

use coprocess_core::{CoProcessLanguage, HookType, LoadError, SourceKind};

use crate::harness::*;

fn bundle_hook(body: &str) -> String {
    hook_file(body)
}

#[test]
fn two_bundles_may_each_have_a_module_of_the_same_name() {
    let files = |text: &str| {
        let rules = format!("WORD = '{text}'\n");
        Folder::with(&[
            (
                "middleware.py",
                &format!(
                    "from rules import WORD\n{}",
                    bundle_hook(
                        "import rules, sys\nassert rules.WORD == WORD\nassert 'rules' not in sys.modules\nrequest.add_header('word', rules.WORD)"
                    )
                ),
            ),
            ("rules.py", &rules),
        ])
    };
    let (one, two) = (files("one"), files("two"));
    let first = shared().load(&one.source(SourceKind::Bundle)).unwrap();
    let second = shared().load(&two.source(SourceKind::Bundle)).unwrap();
    for (plugin, word) in [(&first, "one"), (&second, "two"), (&first, "one")] {
        let object = run(shared(), object(plugin.as_ref(), "hook")).unwrap();
        assert_eq!(object.request.set_headers["word"], word);
    }
}

#[test]
fn packages_vendor_and_relative_imports_are_found() {
    let folder = Folder::with(&[
        ("middleware.py", &bundle_hook(
            "import vendored\nimport parts.deep.leaf\nfrom parts import deep\nfrom parts.deep import leaf as again\nfrom parts import *\n".replace("from parts import *\n", "").as_str(),
        )),
        ("parts/__init__.py", "top = 1\n"),
        ("parts/deep/__init__.py", "from . import leaf\nfrom .. import top\n"),
        ("parts/deep/leaf.py", "import parts\nvalue = parts.top + 1\n"),
        ("vendor/vendored/__init__.py", "from vendored.inner import VALUE\n"),
        ("vendor/vendored/inner.py", "import json\nVALUE = json.dumps(1)\n"),
    ]);
    let plugin = shared().load(&folder.source(SourceKind::Bundle)).unwrap();
    run(shared(), object(plugin.as_ref(), "hook")).unwrap();
}

#[test]
fn the_real_path_is_in_file_so_that_plugins_can_extend_the_search_path() {
    let folder = Folder::with(&[
        (
            "middleware.py",
            &format!(
                "import os, sys\nsys.path.append(os.path.join(os.path.dirname(__file__), 'extra'))\nimport only_in_extra\n{}",
                bundle_hook("assert only_in_extra.x == 1")
            ),
        ),
        ("extra/only_in_extra.py", "x = 1\n"),
    ]);
    let plugin = shared().load(&folder.source(SourceKind::Bundle)).unwrap();
    run(shared(), object(plugin.as_ref(), "hook")).unwrap();
}

#[test]
fn a_bundle_of_one_file_needs_no_middleware_file() {
    let folder = Folder::with(&[("anything-else.py", &bundle_hook("pass"))]);
    let plugin = shared().load(&folder.source(SourceKind::Bundle)).unwrap();
    run(shared(), object(plugin.as_ref(), "hook")).unwrap();
}

#[test]
fn without_an_entry_file_all_files_of_a_bundle_count() {
    let folder = Folder::with(&[
        (
            "botdetection.py",
            &format!("import rules\n{}", bundle_hook("assert rules.x")),
        ),
        ("rules.py", "x = 1\n"),
    ]);
    let plugin = shared().load(&folder.source(SourceKind::Bundle)).unwrap();
    run(shared(), object(plugin.as_ref(), "hook")).unwrap();
}

#[test]
fn a_bundle_that_fails_says_where() {
    for (text, parts) in [
        (
            "import no_such_module_anywhere\n",
            ["middleware.py:1", "no_such_module_anywhere"],
        ),
        (
            "x = 1\n\ndef broken(:\n",
            ["middleware.py:3", "SyntaxError"],
        ),
        (
            "import sys\nsys.exit(4)\n",
            ["middleware.py:2", "SystemExit: 4"],
        ),
        ("x = 1\n\nx.y\n", ["middleware.py:3", "AttributeError"]),
    ] {
        let folder = Folder::with(&[("middleware.py", text)]);
        let error = load_error(shared().load(&folder.source(SourceKind::Bundle)));
        assert!(matches!(error, LoadError::Code { .. }), "{error}");
        let shown = error.to_string();
        assert!(parts.iter().all(|part| shown.contains(part)), "{shown}");
    }
    let empty = Folder::with(&[("readme.txt", "")]);
    let error = load_error(shared().load(&empty.source(SourceKind::Bundle)));
    assert!(error.to_string().contains("no Python file"), "{error}");
}

#[test]
fn functions_of_a_directory_are_shared_and_a_clash_is_a_problem() {
    let folder = Folder::with(&[
        ("a.py", &hook_file("request.add_header('from', 'a')")),
        (
            "b.py",
            &hook_file("import a\nrequest.add_header('from', 'b')"),
        ),
    ]);
    let plugin = shared()
        .load(&folder.source(SourceKind::Directory))
        .unwrap();
    let problems = plugin.problems().join("\n");
    assert!(
        problems.contains("a.py:3") && problems.contains("b.py:3"),
        "{problems}"
    );
    let object = run(shared(), object(plugin.as_ref(), "hook")).unwrap();
    assert_eq!(object.request.set_headers["from"], "b");
}

#[test]
fn a_change_within_the_same_second_is_seen() {
    let folder = Folder::with(&[(
        "middleware.py",
        &format!(
            "import part\n{}",
            hook_file("request.add_header('v', part.v)")
        ),
    )]);
    for value in ["1", "2", "3"] {
        folder.write("part.py", &format!("v = '{value}'\n"));
        let plugin = shared().load(&folder.source(SourceKind::Bundle)).unwrap();
        let object = run(shared(), object(plugin.as_ref(), "hook")).unwrap();
        assert_eq!(object.request.set_headers["v"], value);
    }
    assert!(!Path::new(&folder.0).join("__pycache__").exists());
}

#[test]
fn an_import_that_does_not_end_is_given_up() {
    let language = start(r#"{"python_import_timeout_ms": 200}"#);
    for (text, stays) in [
        ("while True: pass\n", false),
        ("import time\ntime.sleep(3)\n", true),
    ] {
        let folder = Folder::with(&[("middleware.py", text)]);
        let began = Instant::now();
        let error = load_error(language.load(&folder.source(SourceKind::Bundle)));
        assert!(began.elapsed() < Duration::from_millis(2500));
        let shown = error.to_string();
        assert!(
            shown.contains("middleware.py") && shown.contains("200 ms"),
            "{shown}"
        );
        assert_eq!(shown.contains("could not be stopped"), stays, "{shown}");
    }
}

#[test]
fn files_whose_import_still_hangs_are_not_imported_again() {
    let language = start(r#"{"python_import_timeout_ms": 200}"#);
    let folder = Folder::with(&[("middleware.py", "import time\ntime.sleep(3)\n")]);
    let error = || load_error(language.load(&folder.source(SourceKind::Bundle))).to_string();
    assert!(error().contains("could not be stopped"));
    let began = Instant::now();
    let shown = error();
    assert!(shown.contains("still goes on"), "{shown}");
    assert!(began.elapsed() < Duration::from_millis(500));
    eventually("another try after its end", || {
        error().contains("could not be stopped")
    });
    folder.write("middleware.py", &bundle_hook("pass"));
    language.load(&folder.source(SourceKind::Bundle)).unwrap();
}

#[test]
fn what_is_read_of_a_file_after_its_import_runs_under_the_same_limit() {
    let language = start(r#"{"python_import_timeout_ms": 200}"#);
    for text in [
        "class Endless(Exception):\n    def __str__(self):\n        while True: pass\nraise Endless()\n",
        "class Endless:\n    @property\n    def __class__(self):\n        while True: pass\nobject = Endless()\n",
    ] {
        let folder = Folder::with(&[("middleware.py", text)]);
        let error = load_error(language.load(&folder.source(SourceKind::Bundle)));
        let shown = error.to_string();
        assert!(shown.contains("did not end within 200 ms"), "{shown}");
        assert!(!shown.contains("could not be stopped"), "{shown}");
    }
}

#[test]
fn loading_again_and_again_does_not_grow() {
    let folder = Folder::with(&[
        (
            "middleware.py",
            &format!(
                "import part\nblob = bytearray(1 << 20)\nclass Cycle: pass\nc = Cycle(); c.self = c; c.blob = bytearray(1 << 20)\n{}",
                hook_file("pass")
            ),
        ),
        ("part.py", "blob = bytearray(1 << 20)\n"),
    ]);
    let cycle = || {
        let plugin = shared().load(&folder.source(SourceKind::Bundle)).unwrap();
        run(shared(), object(plugin.as_ref(), "hook")).unwrap();
    };
    for _ in 0..10 {
        cycle();
    }
    let before = modules();
    for _ in 0..40 {
        cycle();
    }
    // 3 MiB for each load that would stay. Other tests run beside this one.
    eventually("as many modules as before", || modules() <= before + 12);
    assert!(resident_mib() < 400, "{} MiB", resident_mib());
}

/// Modules of plugins that the interpreter knows.
fn modules() -> usize {
    let object = run_body(
        "import sys\nrequest.add_header('n', str(len([m for m in sys.modules if m.startswith('_tyk_plugin_')])))",
    )
    .unwrap();
    object.request.set_headers["n"].parse().unwrap()
}

fn resident_mib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

#[test]
fn a_hook_outlives_its_plugin() {
    let hook = {
        let plugin = load(shared(), &hook_file("import json\njson.dumps(1)"));
        plugin.hook("hook", HookType::Pre).unwrap()
    };
    let outcome = run(shared(), object_of(hook, "hook"));
    outcome.unwrap();
}

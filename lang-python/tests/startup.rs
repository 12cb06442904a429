//! Starting and ending the interpreter. A process has one, so each case runs in a process of
//! its own: the test starts this program again for the ignored test that is the case.
#![allow(
    clippy::unwrap_used,
    reason = "a failed unwrap in a helper is a failed test with a backtrace"
)]

#[path = "plugins/harness.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use all of it")]
mod harness;

use std::process::Command;
use std::time::{Duration, Instant};

use coprocess_core::{CoProcessLanguage, LogLevel, SourceKind};

use harness::*;

const EXECUTABLE: &str = env!("COPROCESS_PYTHON_EXECUTABLE");
const VERSION: &str = env!("COPROCESS_PYTHON_VERSION");

/// Runs the ignored test `case` in a process of its own, with variables in its environment.
fn run_case(case: &str, variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", case, "--ignored", "--nocapture"])
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("1 passed"), "{shown}");
    shown.into_owned()
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// Runs a hook with that body in a language with those options.
fn run_in(options: &str, body: &str) {
    let language = start(options);
    let plugin = load(&language, &hook_file(body));
    if let Err(error) = run(&language, object(plugin.as_ref(), "hook")) {
        panic!("{error}");
    }
}

#[test]
fn a_virtual_environment_is_used() {
    let folder = Folder::with(&[]);
    let venv = folder.0.join("venv");
    let made = Command::new(EXECUTABLE)
        .args(["-m", "venv", "--without-pip"])
        .arg(&venv)
        .status();
    assert!(made.unwrap().success());
    let packages = format!("venv/lib/python{VERSION}/site-packages/only_in_venv.py");
    folder.write(&packages, "x = 1\n");
    run_case("case_venv", &[("CASE_VENV", venv.to_str().unwrap())]);
}

#[test]
#[ignore = "a case of its own process, run by a_virtual_environment_is_used"]
fn case_venv() {
    let venv = variable("CASE_VENV");
    run_in(
        &format!(r#"{{"python_venv": "{venv}"}}"#),
        &format!(
            "import sys, json, only_in_venv\nassert sys.prefix == {venv:?}, sys.prefix\nassert sys.base_prefix != sys.prefix"
        ),
    );
    host().expect_line(LogLevel::Info, &["Python 3.", &venv]);
}

#[test]
fn prefix_and_environment_both_reach_the_search_path() {
    let folder = Folder::with(&[
        ("prefix/from_prefix.py", "x = 1\n"),
        ("environment/from_environment.py", "x = 1\n"),
    ]);
    let path = |name: &str| folder.0.join(name).to_str().unwrap().to_owned();
    run_case(
        "case_paths",
        &[
            ("CASE_PREFIX", &path("prefix")),
            ("PYTHONPATH", &path("environment")),
        ],
    );
}

#[test]
#[ignore = "a case of its own process, run by prefix_and_environment_both_reach_the_search_path"]
fn case_paths() {
    let prefix = variable("CASE_PREFIX");
    run_in(
        &format!(r#"{{"python_path_prefix": "{prefix}", "python_executable": "{EXECUTABLE}"}}"#),
        &format!(
            "import os, sys, from_prefix, from_environment\n\
             assert sys.path[0] == {prefix:?}\n\
             assert os.environ['PYTHONPATH'] in sys.path\n\
             assert sys.executable == {EXECUTABLE:?}, sys.executable"
        ),
    );
}

#[test]
fn the_default_interpreter_finds_its_own_library_and_leaves_signals_alone() {
    run_case("case_default", &[]);
}

#[test]
#[ignore = "a case of its own process, run by the_default_interpreter_finds_its_own_library"]
fn case_default() {
    let prefix = Command::new(EXECUTABLE)
        .args(["-c", "import sys; print(sys.prefix)"])
        .output()
        .unwrap();
    let prefix = String::from_utf8(prefix.stdout).unwrap();
    // Modules in C come from files that must find the interpreter's symbols.
    run_in(
        "{}",
        &format!(
            "import sys, signal, threading, ctypes, _ssl, _decimal, _json\n\
             assert sys.prefix == {:?}, sys.prefix\n\
             assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler\n\
             assert threading.main_thread().is_alive()\n\
             print('to standard', 'output')",
            prefix.trim()
        ),
    );
}

#[test]
fn what_plugins_print_is_there_at_once() {
    let shown = run_case("case_default", &[]);
    assert!(shown.contains("to standard output\n"), "{shown}");
}

#[test]
fn shutdown_runs_what_plugins_registered() {
    run_case("case_shutdown", &[]);
}

#[test]
#[ignore = "a case of its own process, run by shutdown_runs_what_plugins_registered"]
fn case_shutdown() {
    let language = start("{}");
    let text = format!(
        "import atexit\nfrom gateway import TykGateway\n\
         atexit.register(lambda: TykGateway.log('the plugin says goodbye', 'info'))\n{}",
        hook_file("pass")
    );
    let plugin = load(&language, &text);
    run(&language, object(plugin.as_ref(), "hook")).unwrap();
    language.shutdown();
    host().expect_line(LogLevel::Info, &["the plugin says goodbye"]);
    let after = run(&language, object(plugin.as_ref(), "hook"));
    assert!(matches!(
        after,
        Err(coprocess_core::DispatchError::Unavailable(_))
    ));
}

#[test]
fn shutdown_does_not_wait_for_ever() {
    run_case("case_endless_shutdown", &[]);
}

#[test]
#[ignore = "a case of its own process, run by shutdown_does_not_wait_for_ever"]
fn case_endless_shutdown() {
    let language = start("{}");
    load(
        &language,
        "import atexit, time\natexit.register(lambda: time.sleep(60))\n",
    );
    let began = Instant::now();
    language.shutdown();
    assert!(began.elapsed() < Duration::from_secs(20));
    host().expect_line(LogLevel::Warning, &["shutdown", "not done"]);
}

#[test]
fn an_interpreter_of_another_version_is_refused() {
    let folder = Folder::with(&[
        ("venv/pyvenv.cfg", "version = 2.7.18\n"),
        ("venv/bin/readme", ""),
    ]);
    let venv = folder.0.join("venv");
    // Something that can be run and does not print our version.
    std::os::unix::fs::symlink("/bin/echo", venv.join("bin/python")).unwrap();
    let options = serde_json::json!({ "python_venv": venv });
    let language = lang_python::PythonLanguage::default();
    let outcome = language.init(coprocess_core::InitContext {
        host: host(),
        options: options.as_object().unwrap().clone(),
        plugin_directory: venv,
        workers: 1,
    });
    let shown = outcome.unwrap_err().to_string();
    assert!(
        shown.starts_with("coprocess_options.python_venv: "),
        "{shown}"
    );
    assert!(
        shown.contains("is Python") && shown.contains(VERSION),
        "{shown}"
    );
    // Nothing was started, so nothing can be loaded.
    let source = folder.source(SourceKind::Bundle);
    load_error(language.load(&source));
}

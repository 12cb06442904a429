//! What replaces `json.loads` and `json.dumps` does what they do: the same hooks compare both,
//! with inputs that are written out and with ones that are made up.
#![allow(
    clippy::unwrap_used,
    reason = "a failed unwrap in a helper is a failed test with a backtrace"
)]

#[path = "plugins/harness.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use all of it")]
mod harness;

use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use harness::*;

/// Runs one of the hooks that compare, one at a time: they change `json` for the process.
fn check(name: &str) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let plugin = load(shared(), include_str!("json/checks.py"));
    let mut object = object(plugin.as_ref(), name);
    object.time_limit = Duration::from_secs(60);
    if let Err(error) = run(shared(), object) {
        panic!("{error}");
    }
}

#[test]
fn texts_are_read_and_refused_as_by_the_original() {
    check("texts");
}

#[test]
fn arguments_mean_what_they_mean_to_the_original() {
    check("arguments");
}

#[test]
fn values_are_written_and_refused_as_by_the_original() {
    check("values");
}

#[test]
fn documents_that_are_made_up_and_damaged_come_out_as_from_the_original() {
    check("documents");
}

#[test]
fn floats_are_read_and_written_to_the_last_bit() {
    check("floats");
}

#[test]
fn the_functions_look_like_the_originals() {
    check("appearance");
}

#[test]
fn what_a_plugin_puts_into_the_module_counts() {
    check("replaced");
}

#[test]
fn no_object_and_no_reference_is_left_behind() {
    check("memory");
}

/// A process has one interpreter, so this runs in one of its own.
#[test]
fn with_the_option_off_the_functions_are_the_originals() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "case_off", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}");
    assert!(shown.contains("1 passed"), "{shown}");
}

#[test]
#[ignore = "a case of its own process, run by with_the_option_off_the_functions_are_the_originals"]
fn case_off() {
    let language = start(r#"{"python_fast_json": false}"#);
    let body = "import json, inspect\n\
        for function in (json.loads, json.dumps):\n    \
            assert inspect.isfunction(function) and not hasattr(function, '__wrapped__')\n";
    let plugin = load(&language, &hook_file(body));
    run(&language, object(plugin.as_ref(), "hook")).unwrap();
}

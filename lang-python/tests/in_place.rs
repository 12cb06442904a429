//! When hooks run on the caller's thread. A process of its own: what other tests do with the
//! interpreter would count as these hooks being slow.
#![allow(
    clippy::unwrap_used,
    reason = "a failed unwrap in a helper is a failed test with a backtrace"
)]

#[path = "plugins/harness.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use all of it")]
mod harness;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coprocess_core::{CoProcessLanguage, DispatchError, Plugin};
use lang_python::PythonLanguage;

use harness::*;

/// One test at a time, for the same reason.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs a hook so often that it has proved short.
fn prove(language: &PythonLanguage, plugin: &dyn Plugin) {
    for _ in 0..3000 {
        run(language, object(plugin, "hook")).unwrap();
    }
}

const TELLS_ITS_THREAD: &str = "from tyk.decorators import *\nimport threading, time\npause = 0\n\
     @Hook\ndef hook(request, session, spec):\n    if request.get_header('x-client') == 'slow': time.sleep(0.02)\n    request.add_header('thread', str(threading.get_native_id()))\n    return request, session\n";

fn thread_of(language: &PythonLanguage, plugin: &dyn Plugin) -> String {
    let object = run(language, object(plugin, "hook")).unwrap();
    object.request.set_headers["thread"].clone()
}

fn own_thread() -> String {
    let path = std::fs::read_link("/proc/thread-self").unwrap();
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn a_hook_that_proves_short_runs_in_place_until_it_is_slow_once() {
    let _alone = alone();
    let language = start("{}");
    let plugin = load(&language, TELLS_ITS_THREAD);
    assert_ne!(thread_of(&language, plugin.as_ref()), own_thread());
    // A loaded machine may send it back in between; it must get there in the end.
    eventually("a call in place", || {
        prove(&language, plugin.as_ref());
        thread_of(&language, plugin.as_ref()) == own_thread()
    });
    let mut slow = object(plugin.as_ref(), "hook");
    slow.request
        .headers
        .insert("x-client", http::HeaderValue::from_static("slow"));
    run(&language, slow).unwrap();
    assert_ne!(thread_of(&language, plugin.as_ref()), own_thread());
}

#[test]
fn a_proved_hook_leaves_the_callers_thread_while_another_may_hold_the_interpreter() {
    let _alone = alone();
    let language = start("{}");
    let plugin = load(&language, TELLS_ITS_THREAD);
    eventually("a call in place", || {
        prove(&language, plugin.as_ref());
        thread_of(&language, plugin.as_ref()) == own_thread()
    });
    let sleeping = load(&language, &hook_file("import time\ntime.sleep(0.5)"));
    let pending = language.dispatch(object(sleeping.as_ref(), "hook"));
    eventually("a call on a thread", || {
        thread_of(&language, plugin.as_ref()) != own_thread()
    });
    block_on(pending).unwrap();
}

#[test]
fn an_endless_loop_in_place_is_cut_with_its_place() {
    let _alone = alone();
    let language = start(r#"{"python_dispatch": "inline"}"#);
    let plugin = load(&language, &hook_file("while True:\n    pass"));
    let mut given = object(plugin.as_ref(), "hook");
    given.time_limit = Duration::from_millis(200);
    match run(&language, given) {
        Err(DispatchError::TimeLimit { detail, .. }) => {
            assert!(detail.contains("plugin.py\", line "), "{detail}");
        }
        other => panic!("{other:?}"),
    }
    let fine = load(&language, &hook_file("pass"));
    run(&language, object(fine.as_ref(), "hook")).unwrap();
}

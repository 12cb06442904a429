//! When hooks run on the caller's thread. A process of its own: what other tests do with the
//! interpreter would count as these hooks being slow.
#![allow(
    clippy::unwrap_used,
    reason = "a failed unwrap in a helper is a failed test with a backtrace"
)]

#[path = "plugins/harness.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use all of it")]
mod harness;

use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use coprocess_core::{
    CoProcessLanguage, DispatchError, HookType, LogLevel, Object, Placement, Plugin, SourceKind,
};
use lang_python::PythonLanguage;

use harness::*;

/// Runs a test on a thread with a stack as a data-plane thread has it, one test at a time.
fn alone(test: impl FnOnce() + Send) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        let builder = thread::Builder::new().stack_size(8 << 20);
        let handle = builder.spawn_scoped(scope, test).unwrap();
        if let Err(panicked) = handle.join() {
            std::panic::resume_unwind(panicked);
        }
    });
}

/// Runs a hook so often that it has proved short.
fn prove(language: &PythonLanguage, plugin: &dyn Plugin) {
    for _ in 0..3000 {
        run(language, object(plugin, "hook")).unwrap();
    }
}

/// When it is slow, it takes several times the 10 ms that a hook in place may take, on a fast
/// processor too.
const TELLS_ITS_THREAD: &str = "from tyk.decorators import *\nimport threading\n\
     @Hook\ndef hook(request, session, spec):\n    if request.get_header('x-client') == 'slow': sum(range(4_000_000))\n    request.add_header('thread', str(threading.get_native_id()))\n    return request, session\n";

fn thread_of(language: &PythonLanguage, plugin: &dyn Plugin) -> String {
    let object = run(language, object(plugin, "hook")).unwrap();
    object.request.set_headers["thread"].clone()
}

fn own_thread() -> String {
    let path = std::fs::read_link("/proc/thread-self").unwrap();
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// Runs a hook until it runs in place. A loaded machine makes calls slow that are short, so
/// that the hook has to prove itself again; it must get there in the end.
fn come_in_place(language: &PythonLanguage, plugin: &dyn Plugin) {
    eventually("a call in place", || {
        prove(language, plugin);
        thread_of(language, plugin) == own_thread()
    });
}

/// Loads a plugin whose hook runs in place. One that a loaded machine made slow is sent back
/// for longer each time, so a plugin that does not come in place at once is loaded anew.
fn load_in_place(language: &PythonLanguage, text: &str) -> Arc<dyn Plugin> {
    let mut in_place = None;
    eventually("a call in place", || {
        let plugin = load(language, text);
        prove(language, plugin.as_ref());
        if thread_of(language, plugin.as_ref()) == own_thread() {
            in_place = Some(plugin);
        }
        in_place.is_some()
    });
    in_place.unwrap()
}

#[test]
fn a_hook_that_proves_short_runs_in_place_until_it_is_slow_once() {
    alone(|| {
        let language = start("{}");
        let plugin = load(&language, TELLS_ITS_THREAD);
        assert_ne!(thread_of(&language, plugin.as_ref()), own_thread());
        let plugin = load_in_place(&language, TELLS_ITS_THREAD);
        let mut slow = object(plugin.as_ref(), "hook");
        slow.request
            .headers
            .insert("x-client", http::HeaderValue::from_static("slow"));
        // On a loaded machine it may even be cut.
        let _ = run(&language, slow);
        assert_ne!(thread_of(&language, plugin.as_ref()), own_thread());
    });
}

#[test]
fn a_proved_hook_leaves_the_callers_thread_while_another_may_hold_the_interpreter() {
    alone(|| {
        let language = start("{}");
        let plugin = load_in_place(&language, TELLS_ITS_THREAD);
        let sleeping = load(&language, &hook_file("import time\ntime.sleep(0.5)"));
        let pending = language.dispatch(object(sleeping.as_ref(), "hook"));
        eventually("a call on a thread", || {
            thread_of(&language, plugin.as_ref()) != own_thread()
        });
        block_on(pending).unwrap();
    });
}

#[test]
fn hooks_run_in_place_again_when_an_import_was_given_up() {
    alone(|| {
        let language = start(r#"{"python_import_timeout_ms": 200}"#);
        let plugin = load(&language, TELLS_ITS_THREAD);
        let folder = Folder::with(&[("plugin.py", "import time\ntime.sleep(12)\n")]);
        let began = Instant::now();
        let outcome = language.load(&folder.source(SourceKind::Bundle));
        load_error(outcome);
        come_in_place(&language, plugin.as_ref());
        assert!(began.elapsed() < Duration::from_secs(12));
    });
}

#[test]
fn an_endless_loop_in_place_is_cut_with_its_place() {
    alone(|| {
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
    });
}

#[test]
fn a_caller_is_not_held_by_native_code_that_was_given_up() {
    alone(|| {
        let language = start("{}");
        let plugin = load_in_place(&language, TELLS_ITS_THREAD);
        // Keeps the interpreter's lock for longer than the limit.
        let native = load(
            &language,
            &hook_file("import ctypes\nctypes.PyDLL(None).usleep(1500000)"),
        );
        let mut given = object(native.as_ref(), "hook");
        given.time_limit = Duration::from_millis(100);
        let outcome = run(&language, given);
        assert!(matches!(outcome, Err(DispatchError::TimeLimit { .. })));
        let began = Instant::now();
        let answer = language.dispatch(object(plugin.as_ref(), "hook"));
        let held = began.elapsed();
        assert!(held < Duration::from_millis(500), "{held:?}");
        block_on(answer).unwrap();
    });
}

#[test]
fn recursion_through_native_code_fits_the_callers_stack() {
    alone(|| {
        let language = start(r#"{"python_dispatch": "inline"}"#);
        let plugin = load(
            &language,
            &hook_file("def deep(n): return sorted([n], key=deep)\ndeep(1)"),
        );
        let message = raised(run(&language, object(plugin.as_ref(), "hook")));
        assert!(message.starts_with("RecursionError"), "{message}");
    });
}

#[test]
fn a_thread_with_a_small_stack_runs_nothing_in_place() {
    let language = start(r#"{"python_dispatch": "inline"}"#);
    let plugin = load(&language, TELLS_ITS_THREAD);
    // The system gives a new thread the large stack of one that ended, if it has one left.
    // It has fewer than this.
    let together = Barrier::new(16);
    let is_elsewhere = || {
        together.wait();
        let elsewhere = thread_of(&language, plugin.as_ref()) != own_thread();
        together.wait();
        elsewhere
    };
    let elsewhere = thread::scope(|scope| {
        let spawn = |_| {
            let builder = thread::Builder::new().stack_size(2 << 20);
            builder.spawn_scoped(scope, is_elsewhere).unwrap()
        };
        let handles: Vec<_> = (0..16).map(spawn).collect();
        let told = handles.into_iter().map(|handle| handle.join().unwrap());
        told.filter(|elsewhere| *elsewhere).count()
    });
    assert!(elsewhere > 0);
    host().expect_line(LogLevel::Warning, &["do not run in place", "2048 KiB"]);
}

#[test]
fn a_file_that_is_read_at_import_does_not_keep_a_hook_on_threads() {
    let text = "import os, threading\nfrom tyk.decorators import *\nwith open(os.devnull) as lines:\n    SEEN = lines.read()\n@Hook\ndef hook(request, session, spec):\n    request.add_header('thread', str(threading.get_native_id()))\n    return request, session\n";
    alone(|| {
        let language = start("{}");
        load_in_place(&language, text);
    });
}

#[test]
fn an_async_hook_without_anything_to_wait_for_runs_in_place() {
    let text = "import threading\nfrom tyk.decorators import *\n\
         class Pause:\n    def __await__(self):\n        yield\n        return str(threading.get_native_id())\n\
         async def inner(): return await Pause()\n\
         @Hook\nasync def hook(request, session, spec):\n    request.add_header('thread', await inner())\n    return request, session\n";
    alone(|| {
        let language = start("{}");
        load_in_place(&language, text);
    });
}

#[test]
fn a_hook_whose_code_may_wait_stays_on_threads() {
    let tells = "    request.add_header('thread', str(threading.get_native_id()))\n    return request, session\n";
    let texts = [
        format!(
            "import time, threading\nfrom tyk.decorators import *\ndef later(): time.sleep(1)\n@Hook\ndef hook(request, session, spec):\n{tells}"
        ),
        format!(
            "import threading\nfrom tyk.decorators import *\ndef later(): open('x')\n@Hook\ndef hook(request, session, spec):\n{tells}"
        ),
        format!(
            "import threading\nfrom tyk.decorators import *\n@Hook\ndef hook(request, session, spec):\n    import socket\n{tells}"
        ),
        format!(
            "import re, threading\nfrom tyk.decorators import *\nCLIENT = re.compile('(a+)+$')\n@Hook\ndef hook(request, session, spec):\n    CLIENT.match('b')\n{tells}"
        ),
        format!(
            "import threading\nfrom tyk.decorators import *\ndef later(n): return 3 ** n\n@Hook\ndef hook(request, session, spec):\n{tells}"
        ),
        format!(
            "import hashlib, threading\nfrom tyk.decorators import *\ndef later(): hashlib.scrypt\n@Hook\ndef hook(request, session, spec):\n{tells}"
        ),
        format!(
            "import asyncio, threading\nfrom tyk.decorators import *\n@Hook\nasync def hook(request, session, spec):\n{tells}"
        ),
    ];
    alone(|| {
        let language = start("{}");
        for text in &texts {
            let plugin = load(&language, text);
            for _ in 0..3 {
                prove(&language, plugin.as_ref());
                assert_ne!(thread_of(&language, plugin.as_ref()), own_thread());
            }
        }
    });
}

#[test]
fn a_loop_of_a_proved_hook_is_cut_long_before_its_own_limit() {
    let text = "import threading\nfrom tyk.decorators import *\n\
         @Hook\ndef hook(request, session, spec):\n    while request.get_header('x-client') == 'loop': pass\n    request.add_header('thread', str(threading.get_native_id()))\n    return request, session\n";
    alone(|| {
        let language = start("{}");
        let plugin = load_in_place(&language, text);
        let mut looping = object(plugin.as_ref(), "hook");
        let value = http::HeaderValue::from_static("loop");
        looping.request.headers.insert("x-client", value);
        let began = Instant::now();
        let outcome = run(&language, looping);
        let held = began.elapsed();
        assert!(matches!(outcome, Err(DispatchError::TimeLimit { .. })));
        assert!(held < Duration::from_secs(2), "{held:?}");
        assert_ne!(thread_of(&language, plugin.as_ref()), own_thread());
    });
}

/// A hook of `hooks.py`, which imports, beside those other files, and their folder.
fn load_beside(
    language: &PythonLanguage,
    import: &str,
    others: &[(&str, &str)],
) -> (Folder, Arc<dyn Plugin>) {
    let text = format!(
        "import threading\nfrom tyk.decorators import *\n@Hook\ndef hook(request, session, spec):\n    if request.get_header('never'): {import}\n    request.add_header('thread', str(threading.get_native_id()))\n    return request, session\n"
    );
    let folder = Folder::with(&[("hooks.py", text.as_str())]);
    for (name, text) in others {
        folder.write(name, text);
    }
    let plugin = language.load(&folder.source(SourceKind::Directory));
    (folder, plugin.unwrap())
}

#[test]
fn a_module_that_is_imported_later_counts_as_one_that_is_imported_already() {
    let waits = "import time\ndef later(): time.sleep(5)\n";
    alone(|| {
        for (import, others) in [
            // After `hooks.py` in the folder's order, and never imported at load.
            ("import zz", vec![("zz.py", waits)]),
            (
                "import parts.inner",
                vec![("parts/__init__.py", ""), ("parts/inner.py", waits)],
            ),
            // Inside of a package the name of a harmless module may mean another.
            (
                "import parts",
                vec![
                    ("parts/__init__.py", "from .json import later\n"),
                    ("parts/json.py", waits),
                ],
            ),
            ("import native", vec![("native.so", "")]),
        ] {
            let language = start("{}");
            let (_folder, plugin) = load_beside(&language, import, &others);
            for _ in 0..3 {
                prove(&language, plugin.as_ref());
                let thread = thread_of(&language, plugin.as_ref());
                assert_ne!(thread, own_thread(), "{import}");
            }
        }
        let harmless = [("zz.py", "import json\ndef later(): json.dumps(1)\n")];
        let language = start("{}");
        let (_folder, plugin) = load_beside(&language, "import zz", &harmless);
        come_in_place(&language, plugin.as_ref());
    });
}

#[test]
fn an_api_may_say_where_its_hooks_run_whatever_the_process_says() {
    alone(|| {
        for (process, placement, expected) in [
            ("thread", Placement::Inline, true),
            ("inline", Placement::Thread, false),
            ("inline", Placement::Auto, false),
        ] {
            let language = start(&format!(r#"{{"python_dispatch": "{process}"}}"#));
            let plugin = load(&language, TELLS_ITS_THREAD);
            let hook = plugin.placed_hook("hook", HookType::Pre, placement);
            let given = Object {
                hook: hook.unwrap(),
                ..object(plugin.as_ref(), "hook")
            };
            let told = run(&language, given).unwrap();
            let in_place = told.request.set_headers["thread"] == own_thread();
            assert_eq!(in_place, expected, "{process}, {placement:?}");
            // Another API that uses the same function says nothing.
            let in_place = thread_of(&language, plugin.as_ref()) == own_thread();
            assert_eq!(in_place, process == "inline");
        }
    });
}

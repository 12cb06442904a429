//! Async functions that wait for longer than they may.

use std::thread;
use std::time::Duration;

use coprocess_core::{CoProcessLanguage, DispatchError, Event, LogLevel, Object, Plugin};
use lang_python::PythonLanguage;

use crate::harness::*;

const HEAD: &str = "import asyncio, sys, threading, time\nfrom tyk.decorators import *\n\
     from gateway import TykGateway as tyk\n";

fn short(plugin: &dyn Plugin, name: &str, milliseconds: u64) -> Object {
    let mut object = object(plugin, name);
    object.time_limit = Duration::from_millis(milliseconds);
    object
}

fn must_time_out(language: &PythonLanguage, plugin: &dyn Plugin, name: &str) {
    let outcome = run(language, short(plugin, name, 60));
    assert!(
        matches!(outcome, Err(DispatchError::TimeLimit { .. })),
        "{name}: {outcome:?}"
    );
}

#[test]
fn async_hooks_that_are_only_slow_leave_their_plugin_enabled() {
    let language = start(r#"{"python_dispatch": "thread", "python_max_concurrency": 40}"#);
    let text = format!(
        "{HEAD}@Hook\nasync def slow(request, session, spec):\n    await asyncio.sleep(60)\n\
         @Hook\nasync def tidies(request, session, spec):\n    try:\n        await asyncio.sleep(60)\n    \
         finally:\n        await asyncio.sleep(0.3)\n\
         @Hook\ndef fine(request, session, spec):\n    return request, session\n"
    );
    let plugin = load(&language, &text);
    thread::scope(|scope| {
        for client in 0..40 {
            let (language, plugin) = (&language, plugin.as_ref());
            let name = ["slow", "tidies"][client % 2];
            scope.spawn(move || {
                for _ in 0..5 {
                    // One that tidies up may still do so when the next comes.
                    let outcome = run(language, short(plugin, name, 60));
                    assert!(
                        matches!(
                            outcome,
                            Err(DispatchError::TimeLimit { .. } | DispatchError::Overloaded(_))
                        ),
                        "{name}: {outcome:?}"
                    );
                }
            });
        }
    });
    eventually("a hook of the same plugin that runs", || {
        let outcome = run(&language, object(plugin.as_ref(), "fine"));
        assert!(
            !matches!(outcome, Err(DispatchError::Disabled(_))),
            "{outcome:?}"
        );
        outcome.is_ok()
    });
}

#[test]
fn cuts_that_arrive_in_the_loop_count_for_no_plugin() {
    let text = format!(
        "{HEAD}@Hook\nasync def is_missed(request, session, spec):\n    \
         cut = sys.modules['_tyk_support'].HookTimeout\n    \
         for _ in range(4): asyncio.get_running_loop().call_soon(cut)\n    \
         await asyncio.sleep(0.01)\n    return request, session\n\
         @Hook\nasync def is_hit(request, session, spec):\n    \
         cut = sys.modules['_tyk_support'].HookTimeout\n    \
         for _ in range(4):\n        try: raise cut\n        except BaseException: pass\n    \
         return request, session\n"
    );
    let plugin = load(shared(), &text);
    for _ in 0..2 {
        run(shared(), object(plugin.as_ref(), "is_missed")).unwrap();
    }
    let _ = run(shared(), object(plugin.as_ref(), "is_hit"));
    let outcome = run(shared(), object(plugin.as_ref(), "is_missed"));
    assert!(
        matches!(outcome, Err(DispatchError::Disabled(_))),
        "{outcome:?}"
    );
}

#[test]
fn async_event_handlers_may_wait_up_to_their_limit() {
    let text = format!(
        "{HEAD}@Event\nasync def waits(event, spec):\n    await asyncio.sleep(0.01)\n    \
         tyk.log('waited for ' + event['Type'] + ' asynchronously', 'info')\n\
         @Event\nasync def endless(event, spec):\n    await asyncio.sleep(3600)\n"
    );
    let plugin = load(shared(), &text);
    for (name, limit) in [("waits", 10_000), ("endless", 50)] {
        let handler = plugin.event_handler(name).unwrap();
        let mut event = Event::new(name, handler, r#"{"message": {"Type": "X"}}"#.to_owned());
        event.time_limit = Duration::from_millis(limit);
        shared().trigger_event(event);
    }
    host().expect_line(LogLevel::Info, &["waited for X asynchronously"]);
    host().expect_line(LogLevel::Error, &["`endless`", "ran longer than 50ms"]);
}

#[test]
fn a_cut_at_the_end_of_a_loop_leaves_the_thread_usable() {
    let language = start(r#"{"python_dispatch": "inline"}"#);
    // The state of a thread that is cut in the last lines of `run_forever`.
    let text = format!(
        "{HEAD}def poison():\n    asyncio._set_running_loop(asyncio.new_event_loop())\n    \
         sys.set_asyncgen_hooks(firstiter=print)\n\
         @Hook\ndef is_cut(request, session, spec):\n    poison()\n    while True: pass\n\
         @Hook\ndef poisons(request, session, spec):\n    poison()\n    return request, session\n\
         @Hook\ndef own(request, session, spec):\n    asyncio.run(asyncio.sleep(0))\n    return request, session\n\
         @Hook\nasync def waits(request, session, spec):\n    await asyncio.sleep(0)\n    return request, session\n"
    );
    let plugin = load(&language, &text);
    // In place, so that all of them run on one thread.
    let all = || {
        must_time_out(&language, plugin.as_ref(), "is_cut");
        for name in ["own", "poisons", "waits", "own"] {
            if let Err(error) = run(&language, object(plugin.as_ref(), name)) {
                panic!("{name}: {error}");
            }
        }
    };
    thread::scope(|scope| {
        let builder = thread::Builder::new().stack_size(8 << 20);
        builder.spawn_scoped(scope, all).unwrap().join().unwrap();
    });
}

#[test]
fn calls_that_hold_all_threads_are_named_until_they_end() {
    let text = format!(
        "{HEAD}gate = threading.Event()\n\
         @Hook\nasync def holds(request, session, spec):\n    await asyncio.to_thread(gate.wait)\n    return request, session\n\
         @Hook\nasync def many(request, session, spec):\n    \
         await asyncio.gather(*[asyncio.to_thread(time.sleep, 0) for _ in range(200)])\n    return request, session\n\
         @Hook\ndef opens(request, session, spec):\n    gate.set()\n    return request, session\n"
    );
    let plugin = load(shared(), &text);
    run(shared(), object(plugin.as_ref(), "many")).unwrap();
    let mut message = None;
    for _ in 0..200 {
        match run(shared(), short(plugin.as_ref(), "holds", 40)) {
            Err(DispatchError::Raised { message: why }) => {
                message = Some(why);
                break;
            }
            Err(_) => {}
            Ok(_) => panic!("the gate is closed"),
        }
    }
    let message = message.expect("threads are bounded");
    assert!(message.contains("all 64 threads"), "{message}");
    run(shared(), object(plugin.as_ref(), "opens")).unwrap();
    eventually("free threads", || {
        run(shared(), object(plugin.as_ref(), "many")).is_ok()
    });
}

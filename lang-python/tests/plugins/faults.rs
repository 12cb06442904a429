//! Hooks that fail, hang or keep what is not theirs.

use std::time::{Duration, Instant};

use coprocess_core::{DispatchError, LogLevel};

use crate::harness::*;

const LIMIT: Duration = Duration::from_millis(200);

/// The error of a hook with that body that must be stopped.
fn cut(body: &str) -> DispatchError {
    let plugin = load(shared(), &hook_file(body));
    let mut given = object(plugin.as_ref(), "hook");
    given.time_limit = LIMIT;
    let began = Instant::now();
    let outcome = run(shared(), given);
    assert!(began.elapsed() < LIMIT * 10, "took {:?}", began.elapsed());
    outcome.expect_err("must be stopped")
}

#[test]
fn whatever_is_raised_becomes_an_error_with_its_place() {
    let cases = [
        ("raise ValueError('plain')", "ValueError: plain"),
        ("raise BaseException('base')", "BaseException: base"),
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise ValueError('lone \\udc80')", "ValueError: lone"),
        (
            "class E(Exception):\n    def __str__(self): raise TypeError('no')\nraise E()",
            "E",
        ),
        ("def f(): return f()\nf()", "RecursionError"),
        ("raise SystemExit(SystemExit)", "SystemExit"),
        ("raise StopIteration(1)", "StopIteration: 1"),
    ];
    for (body, first) in cases {
        let message = raised(run_body(body));
        assert!(
            message.lines().next().unwrap().contains(first),
            "{body}: {message}"
        );
        assert!(message.contains("plugin.py\", line "), "{body}: {message}");
    }
    check_body("pass");
}

#[test]
fn loops_end_at_the_limit_also_when_they_swallow_the_cut() {
    for body in [
        "while True: pass",
        "def spin():\n    while True: pass\nwhile True:\n    try: spin()\n    except BaseException: pass",
        "import time\nfor i in range(100000): time.sleep(0.01)",
        "time = __import__('time')\ntime.sleep(1)",
    ] {
        let error = cut(body);
        assert!(
            matches!(error, DispatchError::TimeLimit { .. }),
            "{body}: {error}"
        );
    }
}

#[test]
fn a_plugin_that_swallows_three_cuts_is_disabled_until_it_is_loaded_again() {
    // The loop is in a function of its own: the jump of a loop beside the handler would be
    // outside of the handler's range in some versions.
    let text = "from tyk.decorators import *\n\
         def spin():\n    while True: pass\n\
         @Hook\ndef stubborn(request, session, spec):\n    count = 0\n    while count < 5:\n        try: spin()\n        except BaseException: count += 1\n    return request, session\n\
         @Hook\ndef fine(request, session, spec):\n    return request, session\n";
    let plugin = load(shared(), text);
    let mut given = object(plugin.as_ref(), "stubborn");
    given.time_limit = LIMIT;
    run(shared(), given).expect_err("must be stopped");
    eventually("a disabled plugin", || {
        let outcome = run(shared(), object(plugin.as_ref(), "fine"));
        matches!(outcome, Err(DispatchError::Disabled(ref why)) if why.contains("stubborn"))
    });
    host().expect_line(
        LogLevel::Error,
        &["stubborn", "disabled until it is loaded again"],
    );
    let again = load(shared(), text);
    run(shared(), object(again.as_ref(), "fine")).unwrap();
}

#[test]
fn a_cut_never_hits_the_next_hook() {
    // Ends by itself about when it is cut, so that cuts arrive late and are taken back.
    let late = load(
        shared(),
        &hook_file(
            "import time\nend = time.monotonic() + 0.021\nwhile time.monotonic() < end: pass",
        ),
    );
    let next = load(shared(), &hook_file("for i in range(1000): pass"));
    for _ in 0..40 {
        let mut given = object(late.as_ref(), "hook");
        given.time_limit = Duration::from_millis(20);
        let _ = run(shared(), given);
        run(shared(), object(next.as_ref(), "hook")).unwrap();
    }
}

#[test]
fn what_is_traced_or_profiled_runs_on_after_hooks_that_were_cut_or_wait() {
    let text = "import asyncio, sys\nfrom tyk.decorators import *\n\
         @Hook\nasync def waits(request, session, spec):\n    await asyncio.sleep(0.001)\n    return request, session\n\
         @Hook\ndef spins(request, session, spec):\n    sys.settrace(lambda *event: None)\n    def spin():\n        while True: pass\n    spin()\n\
         @Hook\ndef watched(request, session, spec):\n    seen = []\n    def called(): return 1\n    for watch in (sys.setprofile, sys.settrace):\n        watch(lambda *event: seen.append(event[1]))\n        try: called()\n        finally: watch(None)\n    assert seen.count('call') >= 2, seen\n    return request, session\n";
    let plugin = load(shared(), text);
    let run = |name: &str| {
        let mut given = object(plugin.as_ref(), name);
        given.time_limit = LIMIT * 5;
        run(shared(), given)
    };
    for before in ["waits", "spins", "waits"] {
        assert_eq!(run(before).is_err(), before == "spins", "{before}");
        eventually("a hook that is watched and ends", || run("watched").is_ok());
    }
}

#[test]
fn native_code_that_keeps_the_interpreter_is_named_and_the_request_answered() {
    let error = cut("import ctypes\nctypes.PyDLL(None).usleep(900000)");
    assert!(matches!(error, DispatchError::TimeLimit { .. }), "{error}");
    host().expect_line(LogLevel::Error, &["GIL held", "`hook`", "under-test"]);
    check_body("pass");
}

#[test]
fn what_a_plugin_keeps_raises_and_does_not_crash() {
    let text = "from tyk.decorators import *\nimport threading\nkept = []\nfailures = []\n\
         @Hook\ndef keep(request, response, session, metadata, spec):\n    kept[:] = [request, request.object.set_headers, request.object.delete_headers, request.object.return_overrides, session, session.metadata, session.tags, session.access_rights, session.access_rights['a'], metadata, response.headers]\n    return request, session\n\
         @Hook\ndef use(request, session, spec):\n    uses = [lambda: kept[0].get_header('a'), lambda: kept[0].add_header('a', 'b'), lambda: kept[0].object.url, lambda: kept[1]['a'], lambda: kept[1].__setitem__('a', 'b'), lambda: kept[2].append('a'), lambda: kept[3].response_code, lambda: kept[4].rate, lambda: setattr(kept[4], 'rate', 1), lambda: len(kept[5]), lambda: list(kept[6]), lambda: kept[7]['a'], lambda: kept[8].api_id, lambda: kept[9].items(), lambda: kept[10]['a'], lambda: str(kept[0]), lambda: kept[4].CopyFrom(session), lambda: session.CopyFrom(kept[4])]\n    def all():\n        for number, use in enumerate(uses):\n            try:\n                use()\n            except RuntimeError as error:\n                assert 'has ended' in str(error)\n            else:\n                failures.append(number)\n    all()\n    thread = threading.Thread(target=all)\n    thread.start(); thread.join()\n    assert failures == [], failures\n    assert all and repr(kept)\n    return request, session\n\
         @Hook\ndef give_back(request, session, spec):\n    return kept[0], session\n";
    let plugin = load(shared(), text);
    run(shared(), object(plugin.as_ref(), "keep")).unwrap();
    if let Err(error) = run(shared(), object(plugin.as_ref(), "use")) {
        panic!("{error}");
    }
    let message = raised(run(shared(), object(plugin.as_ref(), "give_back")));
    assert!(message.contains("has ended"), "{message}");
}

#[test]
fn what_a_plugin_keeps_of_a_call_that_fails_is_empty_too() {
    let text = "from tyk.decorators import *\nkept = []\n\
         @Hook\ndef keep(request, response, session, metadata, spec):\n    kept[:] = [request, session, request.object.set_headers, metadata, session.tags, response.headers]\n    request.add_header('secret', 'of one client')\n    how = request.get_header('x-client')\n    if how == 'raise': raise ValueError('no')\n    if how == 'shape': return 1\n    while True: pass\n\
         @Hook\ndef use(request, session, spec):\n    for use in (lambda: kept[0].get_header('a'), lambda: kept[0].object.raw_body, lambda: kept[1].rate, lambda: kept[2]['secret'], lambda: kept[3].items(), lambda: list(kept[4]), lambda: kept[5]['a']):\n        try: use()\n        except RuntimeError as error: assert 'has ended' in str(error)\n        else: raise AssertionError('still there')\n    return request, session\n\
         @Hook\ndef give_back(request, session, spec):\n    return kept[0], kept[1]\n";
    for how in ["raise", "shape", "loop"] {
        let plugin = load(shared(), text);
        let mut given = object(plugin.as_ref(), "keep");
        given.time_limit = LIMIT;
        let value = http::HeaderValue::from_static(how);
        given.request.headers.insert("x-client", value);
        run(shared(), given).expect_err("must fail");
        // One that is cut is answered before it has ended.
        eventually(&format!("nothing that is left after `{how}`"), || {
            run(shared(), object(plugin.as_ref(), "use")).is_ok()
        });
        let message = raised(run(shared(), object(plugin.as_ref(), "give_back")));
        assert!(message.contains("has ended"), "{message}");
    }
}

#[test]
fn texts_that_are_no_headers_do_not_crash() {
    let object = run_body(
        "assert request.get_header('not a name') is None\n\
         assert request.get_header('') is None\n\
         request.add_header('a\\r\\nb', 'c\\x00d')\n\
         request.add_header('', '')",
    )
    .unwrap();
    assert_eq!(object.request.set_headers.len(), 2);
}

#[test]
fn changing_a_list_while_it_is_read_is_an_error_at_worst() {
    check_body(
        "def items():\n    for i in range(3):\n        session.tags.append('inner')\n        yield 'outer'\n\
         session.tags.extend(items())\n\
         assert 'outer' in session.tags\n\
         session.tags.sort(key=lambda tag: session.tags.append('late') or tag)",
    );
}

#[test]
fn errors_that_reach_the_top_of_a_thread_are_logged_and_do_not_end_the_process() {
    check_body(
        "import threading\n\
         def exits(): raise SystemExit(1)\n\
         def fails(): raise ValueError('at the top')\n\
         for target in (exits, fails):\n    thread = threading.Thread(target=target, name='mine')\n    thread.start()\n    thread.join()",
    );
    let parts = ["thread mine", "ValueError: at the top", "plugin.py"];
    host().expect_line(LogLevel::Error, &parts);
}

const LOGS_ON_A_THREAD: &str = "import logging, threading\n\
     def logs():\n    logging.getLogger('new to all').warning('not held up')\n    done.append(1)\n\
     done = []\n\
     thread = threading.Thread(target=logs, daemon=True)\n\
     thread.start(); thread.join(3)\n";

#[test]
fn a_lock_that_a_cut_leaves_in_the_logging_module_stops_nobody() {
    let error = cut("import logging\nlogging._lock.acquire()\nwhile True: pass");
    assert!(matches!(error, DispatchError::TimeLimit { .. }), "{error}");
    // The request is answered before the hook has ended.
    std::thread::sleep(LIMIT);
    check_body(&format!("{LOGS_ON_A_THREAD}assert done"));
}

#[test]
fn a_lock_that_a_cut_leaves_in_an_import_stops_nobody() {
    for taken in [
        "importlib._bootstrap._get_module_lock('colorsys')",
        "importlib._bootstrap._ImportLockContext()",
    ] {
        let enter = if taken.contains("Context") {
            "__enter__"
        } else {
            "acquire"
        };
        let error = cut(&format!(
            "import importlib\nkept = {taken}\nkept.{enter}()\nwhile True: pass"
        ));
        assert!(matches!(error, DispatchError::TimeLimit { .. }), "{error}");
        std::thread::sleep(LIMIT);
        check_body(
            "import sys, threading\nsys.modules.pop('colorsys', None)\ndone = []\n\
             def imports():\n    import colorsys\n    done.append(1)\n\
             thread = threading.Thread(target=imports, daemon=True)\n\
             thread.start(); thread.join(3)\n\
             assert done",
        );
    }
}

#[test]
fn who_holds_the_gateways_log_handler_stops_nobody() {
    check_body(&format!(
        "import logging\n\
         own = [h for h in logging.getLogger().handlers if type(h).__name__ == '_LogBridge'][0]\n\
         own.acquire()\n\
         {LOGS_ON_A_THREAD}\
         own.release()\n\
         assert done"
    ));
}

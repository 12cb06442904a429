//! Calls beside each other, queues, and threads of plugins.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use coprocess_core::{CoProcessLanguage, DispatchError, Event, Host, LogLevel, Plugin};

use crate::harness::*;

fn sleeper(seconds: &str) -> Arc<dyn Plugin> {
    load(
        shared(),
        &hook_file(&format!("import time\ntime.sleep({seconds})")),
    )
}

#[test]
fn a_hook_that_sleeps_stops_nobody() {
    let sleeping = sleeper("1.5");
    let quick = load(shared(), &hook_file("pass"));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| run(shared(), object(sleeping.as_ref(), "hook")).unwrap());
        }
        let mut worst = Duration::ZERO;
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            let began = Instant::now();
            run(shared(), object(quick.as_ref(), "hook")).unwrap();
            worst = worst.max(began.elapsed());
        }
        assert!(worst < Duration::from_millis(500), "{worst:?}");
    });
}

#[test]
fn one_that_was_brief_and_sleeps_once_stops_nobody() {
    // Brief for long enough that its thread is expected back at once, then not.
    let plugin = load(
        shared(),
        "from tyk.decorators import *\nimport time\ncalls = 0\n\
         @Hook\ndef hook(request, session, spec):\n    global calls\n    calls += 1\n    if calls == 200: time.sleep(2)\n    return request, session\n",
    );
    for _ in 0..199 {
        run(shared(), object(plugin.as_ref(), "hook")).unwrap();
    }
    thread::scope(|scope| {
        scope.spawn(|| run(shared(), object(plugin.as_ref(), "hook")).unwrap());
        thread::sleep(Duration::from_millis(100));
        let began = Instant::now();
        run(shared(), object(plugin.as_ref(), "hook")).unwrap();
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{:?}",
            began.elapsed()
        );
    });
}

#[test]
fn threads_of_plugins_run_while_no_request_does() {
    let plugin = load(
        shared(),
        "from tyk.decorators import *\nimport threading, time\nticks = 0\n\
         def tick():\n    global ticks\n    while True:\n        ticks += 1\n        time.sleep(0.001)\n\
         threading.Thread(target=tick, daemon=True).start()\n\
         @Hook\ndef hook(request, session, spec):\n    request.add_header('ticks', str(ticks))\n    return request, session\n",
    );
    let ticks = || -> u64 {
        let object = run(shared(), object(plugin.as_ref(), "hook")).unwrap();
        object.request.set_headers["ticks"].parse().unwrap()
    };
    let before = ticks();
    thread::sleep(Duration::from_millis(500));
    assert!(ticks() > before + 50);
}

#[test]
fn a_full_queue_is_an_error_and_drains() {
    let language =
        start(r#"{"python_dispatch": "thread", "python_max_concurrency": 2, "python_queue": 1}"#);
    let plugin = load(&language, &hook_file("import time\ntime.sleep(0.4)"));
    let calls: Vec<_> = (0..4)
        .map(|_| language.dispatch(object(plugin.as_ref(), "hook")))
        .collect();
    let outcomes: Vec<_> = calls.into_iter().map(block_on).collect();
    let full: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().err())
        .collect();
    assert_eq!(full.len(), 1, "{full:?}");
    assert!(matches!(full[0], DispatchError::Overloaded(text) if text.contains("1 calls")));
    run(&language, object(plugin.as_ref(), "hook")).unwrap();
}

#[test]
fn a_call_that_never_gets_a_thread_is_answered_at_its_limit() {
    let language = start(r#"{"python_dispatch": "thread", "python_max_concurrency": 1}"#);
    let plugin = load(&language, &hook_file("import time\ntime.sleep(1)"));
    let running = language.dispatch(object(plugin.as_ref(), "hook"));
    let mut waiting = object(plugin.as_ref(), "hook");
    waiting.time_limit = Duration::from_millis(100);
    let began = Instant::now();
    let outcome = run(&language, waiting);
    assert!(
        began.elapsed() < Duration::from_millis(800),
        "{:?}",
        began.elapsed()
    );
    match outcome {
        Err(DispatchError::TimeLimit { detail, .. }) => assert!(detail.contains("never started")),
        other => panic!("{other:?}"),
    }
    block_on(running).unwrap();
}

#[test]
fn threads_that_are_lost_are_replaced_up_to_the_limit_and_come_back() {
    let language = start(
        r#"{"python_dispatch": "thread", "python_max_concurrency": 2, "python_max_stuck_threads": 3}"#,
    );
    let stuck = load(&language, &hook_file("import time\ntime.sleep(3)"));
    let other = load(&language, &hook_file("pass"));
    let give_up = || {
        let mut given = object(stuck.as_ref(), "hook");
        given.time_limit = Duration::from_millis(50);
        run(&language, given)
    };
    eventually(
        "a refusal",
        || matches!(give_up(), Err(DispatchError::Overloaded(text)) if text.contains("2 calls")),
    );
    run(&language, object(other.as_ref(), "hook")).unwrap();
    eventually("threads that are back", || {
        matches!(give_up(), Err(DispatchError::TimeLimit { .. }))
    });
}

#[test]
fn calls_that_wait_take_no_more_threads_than_may_be_lost() {
    let language = start(
        r#"{"python_dispatch": "thread", "python_max_concurrency": 2, "python_max_stuck_threads": 3}"#,
    );
    let plugin = load(
        &language,
        "from tyk.decorators import *\nfrom gateway import TykGateway as tyk\nimport time\ncalls = 0\n\
         @Hook\ndef hook(request, session, spec):\n    global calls\n    calls += 1\n    tyk.store_data('calls-that-hang', str(calls), 0)\n    time.sleep(3)\n    return request, session\n",
    );
    // Each is given up a little later than the one before, so that there is always one that
    // waits and has time left.
    let calls: Vec<_> = (1..=12)
        .map(|step| {
            let mut given = object(plugin.as_ref(), "hook");
            given.time_limit = Duration::from_millis(100 * step);
            language.dispatch(given)
        })
        .collect();
    for call in calls {
        block_on(call).expect_err("must be given up");
    }
    let started = host().get_data("calls-that-hang").unwrap().unwrap();
    // Two are lost, and the second that started with one of them already lost.
    assert_eq!(started, "3");
    eventually("a lane that works again", || {
        let mut given = object(plugin.as_ref(), "hook");
        given.time_limit = Duration::from_millis(10);
        matches!(run(&language, given), Err(DispatchError::TimeLimit { .. }))
    });
}

#[test]
fn an_abandoned_call_is_not_run() {
    let language = start(r#"{"python_dispatch": "thread", "python_max_concurrency": 1}"#);
    let plugin = load(
        &language,
        "from tyk.decorators import *\nimport time\ncalls = 0\n\
         @Hook\ndef slow(request, session, spec):\n    time.sleep(0.3)\n    return request, session\n\
         @Hook\ndef count(request, session, spec):\n    global calls\n    calls += 1\n    request.add_header('calls', str(calls))\n    return request, session\n",
    );
    let running = language.dispatch(object(plugin.as_ref(), "slow"));
    drop(language.dispatch(object(plugin.as_ref(), "count")));
    block_on(running).unwrap();
    let object = run(&language, object(plugin.as_ref(), "count")).unwrap();
    assert_eq!(object.request.set_headers["calls"], "1");
}

#[test]
fn an_event_handler_that_fails_or_waits_is_logged_and_holds_nobody_up() {
    let plugin = load(
        shared(),
        "from tyk.decorators import *\nfrom gateway import TykGateway as tyk\nimport time\n\
         @Event\ndef fails(event, spec):\n    raise ValueError('handler of ' + spec['APIID'])\n\
         @Event\ndef waits(event, spec):\n    time.sleep(0.5)\n    tyk.log('waited for ' + event['Type'], 'info')\n",
    );
    let fire = |name: &str| {
        let payload = r#"{"message": {"Type": "X"}, "spec": {"APIID": "a1"}}"#;
        let handler = plugin.event_handler(name).unwrap();
        shared().trigger_event(Event::new(name, handler, payload.to_owned()));
    };
    let began = Instant::now();
    fire("waits");
    fire("fails");
    assert!(began.elapsed() < Duration::from_millis(300));
    host().expect_line(LogLevel::Error, &["handler of a1", "plugin.py", "`fails`"]);
    host().expect_line(LogLevel::Info, &["waited for X"]);
}

#[test]
fn a_panic_below_a_handler_loses_no_place() {
    let language = start(r#"{"python_dispatch": "thread", "python_max_concurrency": 1}"#);
    // The exception that a panic in the host becomes; the first error has made its class.
    let plugin = load(
        &language,
        "from tyk.decorators import *\nfrom gateway import TykGateway as tyk\n\
         def panic():\n    raise next(c for c in BaseException.__subclasses__() if c.__name__ == 'PanicException')('from a test')\n\
         @Hook\ndef fails(request, session, spec):\n    raise ValueError\n\
         @Hook\ndef panics(request, session, spec):\n    panic()\n\
         @Event\ndef event(event, spec):\n    panic()\n\
         @Event\ndef logs(event, spec):\n    tyk.log('the lane is free', 'info')\n",
    );
    raised(run(&language, object(plugin.as_ref(), "fails")));
    for _ in 0..2 {
        let message = raised(run(&language, object(plugin.as_ref(), "panics")));
        assert!(message.contains("panic in the host"), "{message}");
    }
    for name in ["event", "logs"] {
        let handler = plugin.event_handler(name).unwrap();
        language.trigger_event(Event::new(name, handler, "{}".to_owned()));
    }
    host().expect_line(LogLevel::Error, &["`event`", "panic in the host"]);
    host().expect_line(LogLevel::Info, &["the lane is free"]);
}

#[test]
fn the_pool_keeps_its_counts_through_cuts_drops_and_refusals() {
    let language = start(
        r#"{"python_dispatch": "thread", "python_max_concurrency": 3, "python_queue": 4, "python_max_stuck_threads": 2}"#,
    );
    let plugin = load(
        &language,
        "from tyk.decorators import *\nimport time\n\
         @Hook\ndef quick(request, session, spec):\n    return request, session\n\
         @Hook\ndef sleeps(request, session, spec):\n    time.sleep(0.03)\n    return request, session\n\
         @Hook\ndef spins(request, session, spec):\n    while True: pass\n\
         @Event\ndef event(event, spec):\n    time.sleep(0.01)\n",
    );
    let call = |name: &str, limit: u64| {
        let mut given = object(plugin.as_ref(), name);
        given.time_limit = Duration::from_millis(limit);
        language.dispatch(given)
    };
    let end = Instant::now() + Duration::from_secs(3);
    thread::scope(|scope| {
        for seed in 0..6 {
            let call = &call;
            let (language, plugin) = (&language, &plugin);
            scope.spawn(move || {
                for step in seed.. {
                    match step % 6 {
                        0 => drop(block_on(call("sleeps", 10))),
                        1 => drop(call("sleeps", 1000)),
                        2 => drop(block_on(call("spins", 20))),
                        3 => language.trigger_event(Event::new(
                            "event",
                            plugin.event_handler("event").unwrap(),
                            "{}".to_owned(),
                        )),
                        _ => drop(block_on(call("quick", 1000))),
                    }
                    if Instant::now() > end {
                        break;
                    }
                }
            });
        }
    });
    // Nothing is lost: as many calls as may run at the same time do, and at once.
    eventually("a pool that works as before", || {
        let began = Instant::now();
        let calls: Vec<_> = (0..3).map(|_| call("sleeps", 1000)).collect();
        let done = calls
            .into_iter()
            .map(block_on)
            .filter(Result::is_ok)
            .count();
        done == 3 && began.elapsed() < Duration::from_millis(85)
    });
}

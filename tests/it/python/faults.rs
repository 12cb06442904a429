//! Python code that misbehaves, while other routes are watched.

use crate::coprocess::faults::check;

/// The routes that a fault must not disturb: everybody.
const EVERYBODY: &[&str] = &["/plain/", "/quick/"];

/// The same where the fault holds the interpreter's lock: everybody who needs no Python.
const WITHOUT_PYTHON: &[&str] = &["/plain/"];

fn fault(body: &str, watched: &[&str]) {
    let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
    let source = format!(
        "from tyk.decorators import *\nimport ctypes, re, sys, threading, time\n\n\
         @Hook\ndef Fault(request, session, spec):\n{body}    return request, session\n\n\
         @Hook\ndef Quick(request, session, spec):\n    return request, session\n"
    );
    check("python", "faulty.py", &source, watched);
}

#[test]
fn a_loop_inside_a_generator_ends() {
    fault(
        "def forever():\n    while True:\n        yield 1\nfor one in forever():\n    pass",
        EVERYBODY,
    );
}

#[test]
fn recursion_is_an_error() {
    fault("def down():\n    return down()\ndown()", EVERYBODY);
}

#[test]
fn recursion_through_c_is_an_error() {
    fault(
        "nested = []\nfor _ in range(200000):\n    nested = [nested]\nrepr(nested)",
        EVERYBODY,
    );
}

#[test]
fn a_sleep_is_abandoned_at_the_limit() {
    fault("time.sleep(4)", EVERYBODY);
}

#[test]
fn a_lock_that_nobody_opens_is_abandoned_at_the_limit() {
    fault(
        "threading.Lock().acquire(timeout=4) and threading.Event().wait(4)",
        EVERYBODY,
    );
}

/// A call into C that keeps the interpreter's lock cannot be stopped. The client is answered all
/// the same, and who needs no Python does not notice.
#[test]
fn a_long_call_into_c_is_answered_at_the_limit() {
    fault("sum(range(60000000))", WITHOUT_PYTHON);
}

#[test]
fn a_backtracking_expression_is_answered_at_the_limit() {
    fault("re.match(r'(a+)+$', 'a' * 24 + 'b')", WITHOUT_PYTHON);
}

//! Python code that misbehaves, while other routes are watched.

use crate::coprocess::faults::{Reach, check};

fn fault(body: &str, reach: Reach) {
    let body: String = body.lines().map(|line| format!("    {line}\n")).collect();
    let source = format!(
        "from tyk.decorators import *\nimport ctypes, re, sys, threading, time\n\n\
         @Hook\ndef Fault(request, session, spec):\n{body}    return request, session\n\n\
         @Hook\ndef Quick(request, session, spec):\n    return request, session\n"
    );
    check("python", "faulty.py", &source, reach);
}

#[test]
fn a_loop_inside_a_generator_ends() {
    fault(
        "def forever():\n    while True:\n        yield 1\nfor one in forever():\n    pass",
        Reach::Nobody,
    );
}

#[test]
fn recursion_is_an_error() {
    fault("def down():\n    return down()\ndown()", Reach::Nobody);
}

#[test]
fn recursion_through_c_is_an_error() {
    fault(
        "nested = []\nfor _ in range(200000):\n    nested = [nested]\nrepr(nested)",
        Reach::Nobody,
    );
}

#[test]
fn a_sleep_is_abandoned_at_the_limit() {
    fault("time.sleep(4)", Reach::Nobody);
}

#[test]
fn a_lock_that_nobody_opens_is_abandoned_at_the_limit() {
    fault(
        "threading.Lock().acquire(timeout=4) and threading.Event().wait(4)",
        Reach::Nobody,
    );
}

/// A call into C that keeps the interpreter's lock cannot be stopped. The client is answered all
/// the same, and who needs no Python does not notice.
#[test]
fn a_long_call_into_c_is_answered_at_the_limit() {
    fault("sum(range(60000000))", Reach::SameLanguage);
}

#[test]
fn a_backtracking_expression_is_answered_at_the_limit() {
    fault("re.match(r'(a+)+$', 'a' * 24 + 'b')", Reach::SameLanguage);
}

//! The C API from Python: ctypes, a Cython module, and a C library loaded by ctypes.

use serde_json::json;
use test_harness::native;

use crate::BINARY;
use crate::coprocess::native::Native;

const CTYPES: &str = r#"
from tyk.decorators import *
import ctypes

process = ctypes.CDLL(None)
process.TykTriggerEvent.argtypes = [ctypes.c_char_p, ctypes.c_char_p]
process.TykTriggerEvent.restype = None

@Hook
def Call(request, session, spec):
    process.TykTriggerEvent(b"native", request.get_header("X-Payload").encode())
    return request, session
"#;

#[test]
fn ctypes_finds_trigger_event_in_the_process() {
    Native::new().start("python", "plugin.py", CTYPES).check();
}

const PYX: &str = r#"
cdef extern from "api.h":
    void TykTriggerEvent(char* event_name, char* payload)

def trigger(name, payload):
    cdef bytes name_bytes = name.encode()
    cdef bytes payload_bytes = payload.encode()
    TykTriggerEvent(name_bytes, payload_bytes)
"#;

const USES_CYTHON: &str = r#"
from tyk.decorators import *
import os
import sys

sys.path.append(os.path.dirname(os.path.abspath(__file__)) + "/../../native")
import cython_events

@Hook
def Call(request, session, spec):
    cython_events.trigger("native", request.get_header("X-Payload"))
    return request, session
"#;

#[test]
fn a_cython_module_calls_trigger_event() {
    let environment = native::test_environment(BINARY);
    let setup = Native::new();
    native::build_cython(&environment, &setup.build_folder(), "cython_events", PYX);
    let options = json!({"coprocess_options": {"python_venv": environment}});
    setup
        .with(|builder| builder.conf(options))
        .start("python", "plugin.py", USES_CYTHON)
        .check();
}

const USES_LIBRARY: &str = r#"
from tyk.decorators import *
import ctypes

relay = ctypes.CDLL("@LIBRARY@")

@Hook
def Call(request, session, spec):
    payload = request.get_header("X-Payload")
    if payload == "nonsense":
        relay.relay_nonsense()
    elif payload == "round trip":
        relay.relay_round_trip(b"native", b"a key", "a stored value: grüße".encode())
    else:
        relay.relay_event(b"native", payload.encode())
    return request, session
"#;

#[test]
fn a_c_library_calls_the_whole_api() {
    let setup = Native::new();
    let library = setup.relay();
    let source = USES_LIBRARY.replace("@LIBRARY@", &library.display().to_string());
    let mut running = setup.start("python", "plugin.py", &source);
    running.check();
    running.call("nonsense");
    running.call("round trip");
    running.assert_arrives("a stored value: grüße");
    running.check();
    assert!(running.gateway.is_running());
}

const LOOKS_UP: &str = r#"
from tyk.decorators import *
import ctypes

process = ctypes.CDLL(None)

@Hook
def Call(request, session, spec):
    for name in request.get_header("X-Payload").split(","):
        assert ctypes.cast(getattr(process, name), ctypes.c_void_p).value, name
    return request, session
"#;

#[test]
fn every_exported_name_is_found_in_the_process() {
    let names = native::exported_names();
    assert!(
        names.iter().any(|name| name == "TykTriggerEvent"),
        "{names:?}"
    );
    let running = Native::new().start("python", "plugin.py", LOOKS_UP);
    running.call(&names.join(","));
}

const FROM_A_THREAD: &str = r#"
from tyk.decorators import *
import ctypes
import threading

process = ctypes.CDLL(None)

@Hook
def Call(request, session, spec):
    payload = request.get_header("X-Payload").encode()
    thread = threading.Thread(target=lambda: process.TykTriggerEvent(b"native", payload))
    thread.start()
    thread.join()
    return request, session
"#;

#[test]
fn any_thread_may_call() {
    Native::new()
        .start("python", "plugin.py", FROM_A_THREAD)
        .check();
}

//! The message classes against protobuf's own, on generated sequences of operations.
//!
//! The `protobuf` package is in the tests' environment, which `cargo xtask setup` makes.
#![allow(
    clippy::unwrap_used,
    reason = "a failed unwrap in a helper is a failed test with a backtrace"
)]

mod environment;
#[path = "plugins/harness.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use all of it")]
mod harness;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use coprocess_core::{CoProcessLanguage, Object, PluginSource, SourceKind};
use lang_python::PythonLanguage;

use environment::test_environment;
use harness::*;

/// How many sequences are run, and how many operations each has at most.
const SEQUENCES: u32 = 3000;
const LENGTH: u32 = 25;

/// One interpreter serves all tests of this file.
fn language() -> &'static PythonLanguage {
    static LANGUAGE: OnceLock<PythonLanguage> = OnceLock::new();
    LANGUAGE.get_or_init(|| {
        let environment = test_environment();
        start(&format!(
            r#"{{"python_venv": {:?}, "python_dispatch": "thread"}}"#,
            environment.to_str().unwrap()
        ))
    })
}

#[test]
fn generated_sequences_do_the_same_on_both() {
    let source = PluginSource {
        name: "protobuf".to_owned(),
        root: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/protobuf"),
        files: vec!["middleware.py".into(), "sequences.py".into()],
        kind: SourceKind::Bundle,
    };
    let plugin = language().load(&source).unwrap();
    let first: u32 = std::env::var("SEED").map_or(0, |seed| seed.parse().unwrap());
    let last = std::env::var("SEED").map_or(SEQUENCES, |_| first + 1);
    let mut object = object(plugin.as_ref(), "compare");
    object.time_limit = Duration::from_secs(300);
    object.request.raw_body =
        format!(r#"{{"seeds": [{first}, {last}], "length": {LENGTH}}}"#).into();
    let after = run(language(), object).unwrap_or_else(|error| panic!("{error}"));
    let text = String::from_utf8_lossy(&after.request.raw_body);
    let count = text.matches("seed ").count();
    assert!(text.is_empty(), "{count} sequences differ:\n{text}");
}

/// Runs a hook with that body, which sees all wire modules.
fn check(body: &str) -> Object {
    let imports = "from coprocess_object_pb2 import Object
from coprocess_common_pb2 import HookType, Pre, StringSlice
from coprocess_mini_request_object_pb2 import MiniRequestObject
from coprocess_return_overrides_pb2 import ReturnOverrides
from coprocess_response_object_pb2 import ResponseObject, Header
from coprocess_session_state_pb2 import SessionState, AccessDefinition, AccessSpec, Monitor
from tyk.session import TykSession
";
    let plugin = load(language(), &hook_file(&format!("{imports}{body}")));
    let outcome = run(language(), object(plugin.as_ref(), "hook"));
    outcome.unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn messages_of_protobuf_are_taken_wherever_ours_are() {
    let after = check(
        "theirs = SessionState(alias='them', tags=['a'], access_rights={'x': AccessDefinition(api_id='x')})
session.CopyFrom(theirs)
assert session.alias == 'them' and session.access_rights['x'].api_id == 'x'
session.MergeFrom(theirs)
assert session.tags == ['a', 'a']
session.access_rights['x'].allowed_urls.append(AccessSpec(url='/a'))
session.access_rights['x'].allowed_urls.extend([AccessSpec(url='/b')])
assert TykSession(monitor=Monitor(trigger_limits=[5])).monitor.trigger_limits == [5]
assert SessionState.FromString(session.SerializeToString()).access_rights['x'].allowed_urls[1].url == '/b'
for wrong in (Monitor(), HookType, object()):
    try:
        session.CopyFrom(wrong)
    except TypeError:
        continue
    assert 0, wrong
assert HookType.Name(Pre) == 'Pre' and Object(hook_type=Pre).hook_type == 1 and StringSlice(items=['a'])
changed = SessionState(alias='returned')
answer = MiniRequestObject(set_headers={'X-A': 'b'}, return_overrides=ReturnOverrides(response_code=418))
return answer, changed",
    );
    assert_eq!(after.session.unwrap().alias, "returned");
    assert_eq!(after.request.set_headers["X-A"], "b");
    assert_eq!(after.request.return_overrides.response_code, 418);
    assert_eq!(after.request.method, "GET");
}

#[test]
fn protobufs_own_tools_read_our_messages() {
    check(
        "from google.protobuf import json_format
session.alias = 'a'; session.metadata['k'] = 'v'; session.tags.append('t'); session.expires = 5
theirs = SessionState.FromString(session.SerializeToString())
assert session.DESCRIPTOR is SessionState.DESCRIPTOR
assert json_format.MessageToDict(theirs)['metadata'] == {'k': 'v'}",
    );
}

#[test]
fn what_protobuf_raises_ours_raises_and_what_it_skips_ours_skips() {
    check(
        r"import _tyk_native, _tyk_wire
def outcome(kind, code):
    make = lambda name: getattr(_tyk_native, name) if kind == 'ours' else _tyk_wire.message_class(name)
    scope = {'o': make('MiniRequestObject')(), 's': make('SessionState')(), 'r': None}
    try:
        exec(code, scope)
    except Exception as error:
        return type(error).__name__
    return scope['r']
two = 'm = o.headers; m[\'a\'] = \'1\'; m[\'b\'] = \'2\'\n'
rights = 'm = s.access_rights; m[\'a\']; m[\'b\']\n'
cases = [
    'o.url = b\'\\xff\'', 'o.url = \'\\ud800\'', 'o.headers[\'a\'] = \'\\ud800\'',
    'o.headers[\'\\ud800\']', 'o.headers[b\'\\xff\'] = \'a\'',
    'o.return_overrides.response_code = True', 's.expires = False', 's.rate = True',
    's.is_inactive = 2', 's.tags.append(b\'\\xff\')',
    two + 'for k in m: m[k + \'x\'] = \'3\'', two + 'for k in m: m[k] = \'3\'',
    two + 'for k in m: del m[k]', two + 'for k, v in m.items(): m[\'new\']',
    two + 'i = iter(m); next(i); next(i); m[\'q\'] = \'1\'; next(i)',
    two + 'i = iter(m); m.clear(); next(i)',
    rights + 'for k in m: m[k + \'x\']', rights + 'for k in m: m[k].api_id = k',
    rights + 'for k in m: del m[k]',
]
groups = [b'\x0b\x0c', b'\x53\x54', b'\x53', b'\x53\x5c', b'\x54', b'\x53\x5b\x08\x01\x5c\x54', b'\x53\x54\x54']
groups += [b'\x53' * n + b'\x54' * n for n in (99, 100, 101)]
cases += ['r = o.ParseFromString(%r)' % data for data in groups]
for code in cases:
    ours, theirs = outcome('ours', code), outcome('theirs', code)
    assert ours == theirs, (code, ours, theirs)",
    );
}

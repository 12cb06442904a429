//! Message classes behave as protobuf's do. The bodies are assertions in Python.

use crate::harness::*;

const RAISES: &str = "
def raises(kind, f):
    try:
        f()
    except kind:
        return True
    return False
";

fn check(body: &str) {
    check_body(&format!("{RAISES}{body}"));
}

#[test]
fn a_missing_key_reads_as_empty_text_and_is_there_then() {
    check(
        "m = session.metadata
assert 'a' not in m and len(m) == 0
assert m.get('a') is None and m.get('a', 'd') == 'd' and 'a' not in m
assert m['a'] == '' and 'a' in m and 'a' in m.keys()
assert session.metadata is m
assert dict(m) == {'a': ''} and m == {'a': ''} and list(m.items()) == [('a', '')]
del m['a']
assert raises(KeyError, lambda: m.__delitem__('a'))
assert m.setdefault('k', 'v') == 'v' and m.pop('k') == 'v' and m.pop('k', None) == ''
m.update({'x': '1'}, y='2'); m.MergeFrom({'z': '3'})
assert sorted(m) == ['x', 'y', 'z'] and sorted(m.values()) == ['1', '2', '3']
m.clear(); assert not m",
    );
}

#[test]
fn values_of_the_wrong_type_are_refused() {
    check(
        "assert raises(TypeError, lambda: session.metadata.__setitem__('k', 1))
assert raises(TypeError, lambda: session.metadata.__setitem__(1, 'v'))
assert raises(TypeError, lambda: setattr(session, 'alias', 1))
assert raises(TypeError, lambda: setattr(session, 'expires', 1.5))
assert raises(TypeError, lambda: setattr(session, 'expires', '1'))
assert raises(TypeError, lambda: setattr(session, 'rate', '1'))
assert raises(TypeError, lambda: setattr(session, 'is_inactive', 'yes'))
assert raises(TypeError, lambda: setattr(request.object, 'raw_body', 'text'))
assert raises(TypeError, lambda: session.tags.append(1))
assert raises(ValueError, lambda: setattr(session, 'expires', 1 << 70))
assert raises(ValueError, lambda: setattr(request.object.return_overrides, 'response_code', 1 << 40))
assert raises(ValueError, lambda: setattr(request.object, 'method', 'NOT A METHOD'))
assert raises(AttributeError, lambda: setattr(session, 'no_such_field', 1))
session.rate = 3; session.is_inactive = 1; session.expires = 1
assert raises(TypeError, lambda: setattr(session, 'expires', True))
assert session.rate == 3.0 and isinstance(session.rate, float)
assert session.is_inactive is True and session.expires == 1",
    );
}

#[test]
fn messages_maps_and_lists_are_not_assigned() {
    check(
        "for name in ('metadata', 'tags', 'monitor', 'access_rights'):
    assert raises(AttributeError, lambda: setattr(session, name, None)), name
assert raises(ValueError, lambda: session.access_rights.__setitem__('a', None))",
    );
}

#[test]
fn lists_of_texts_and_numbers_behave_as_lists() {
    check(
        "t = session.tags
t.append('b'); t.extend(['c', 'a']); t += ['d']
assert list(t) == ['b', 'c', 'a', 'd'] and t == ['b', 'c', 'a', 'd'] and len(t) == 4
assert t[0] == 'b' and t[-1] == 'd' and t[1:3] == ['c', 'a'] and 'a' in t and t.index('a') == 2
t[0] = 'z'; del t[1]; t.sort(); t.remove('d'); t.insert(0, 'first')
assert t == ['first', 'a', 'z'] and t.pop() == 'z' and t.pop(0) == 'first'
assert raises(IndexError, lambda: t[9])
assert raises(TypeError, lambda: t.extend([1])) and t == ['a']
session.monitor.trigger_limits.extend([80, 90.5])
assert session.monitor.trigger_limits == [80.0, 90.5]",
    );
}

#[test]
fn reading_an_access_right_makes_it() {
    let object = run_body(
        "session.access_rights['api'].api_id = 'api'
session.access_rights['api'].versions.append('v1')
spec_one = session.access_rights['api'].allowed_urls.add()
spec_one.url = '/a'
spec_one.methods.append('GET')
assert session.access_rights.get('other') is None and 'api' in session.access_rights
assert len(session.access_rights['api'].allowed_urls) == 1",
    )
    .unwrap();
    let session = object.session.unwrap();
    let access = &session.access_rights["api"];
    assert_eq!((access.api_id.as_str(), access.versions.len()), ("api", 1));
    assert_eq!(access.allowed_urls[0].url, "/a");
    assert_eq!(access.allowed_urls[0].methods, ["GET"]);
}

#[test]
fn messages_are_copied_merged_and_cleared() {
    check(
        "from tyk.session import TykSession, AccessDefinition, Monitor
import copy
other = TykSession(rate=5, alias='x', tags=['a'], metadata={'k': 'v'}, monitor={'trigger_limits': [1]})
other.access_rights['api'].CopyFrom(AccessDefinition(api_id='api', versions=['v']))
session.CopyFrom(other)
assert session == other and session is not other
session.MergeFrom(TykSession(alias='y', tags=['b'], metadata={'l': 'w'}))
assert session.alias == 'y' and session.rate == 5 and session.tags == ['a', 'b']
assert session.metadata == {'k': 'v', 'l': 'w'} and session != other
assert session.HasField('monitor') and not session.HasField('jwt_data')
assert raises(ValueError, lambda: session.HasField('alias'))
assert raises(ValueError, lambda: session.HasField('nothing'))
assert [f.name for f, _ in Monitor(trigger_limits=[1]).ListFields()] == ['trigger_limits']
twin = copy.deepcopy(other); twin.alias = 'twin'; assert other.alias == 'x'
assert raises(TypeError, lambda: session.CopyFrom(Monitor()))
session.ClearField('tags'); assert len(session.tags) == 0
session.Clear(); assert session == TykSession()
assert raises(ValueError, lambda: TykSession(nothing=1))",
    );
}

#[test]
fn text_is_protobuf_text_format() {
    check(
        r#"from tyk.session import TykSession
s = TykSession(rate=0.5, alias='a "b"\n', tags=['x', 'y'], metadata={'k': 'v'}, is_inactive=True)
s.access_rights['api'].api_id = 'id'
expected = [
    'rate: 0.5', 'access_rights {', '  key: "api"', '  value {', '    api_id: "id"', '  }', '}',
    'is_inactive: true', 'metadata {', '  key: "k"', '  value: "v"', '}',
    'tags: "x"', 'tags: "y"', 'alias: "a \\"b\\"\\n"', '',
]
assert str(s).split('\n') == expected, str(s)"#,
    );
}

#[test]
fn wrapper_and_map_share_their_content() {
    let object = run_body(
        "request.add_header('before', '1')
headers = request.object.set_headers
assert headers == {'before': '1'}
request.add_header('after', '2')
assert headers['after'] == '2'
request.delete_header('x'); assert request.object.delete_headers == ['x']
request.delete_header('y'); request.object.delete_headers.append('z')
request.add_param('p', 'q'); request.object.add_params['r'] = 's'
request.delete_param('t')",
    )
    .unwrap();
    let request = object.request;
    assert_eq!(
        request.set_headers.keys().collect::<Vec<_>>(),
        ["before", "after"]
    );
    assert_eq!(request.delete_headers, ["x", "y", "z"]);
    assert_eq!(request.add_params.len(), 2);
    assert_eq!(request.delete_params, ["t"]);
}

#[test]
fn edits_of_the_spec_stay_with_the_call() {
    let body = "assert 'config_data' not in spec and spec['config_data'] == ''
assert 'config_data' in spec
spec['APIID'] = 'changed'";
    check(body);
    check(body);
}

#[test]
fn names_without_prefix_and_wire_modules_are_importable() {
    check(
        "import decorators, session as s, tyk.object, tyk.event, tyk.middleware
from tyk.session import SessionState
from tyk.request import MiniRequestObject
assert decorators.Hook is __import__('tyk.decorators').decorators.Hook
assert s.TykSession is SessionState
assert isinstance(request, MiniRequestObject) and isinstance(request.object, MiniRequestObject)",
    );
}

#[test]
fn a_message_is_read_back_from_its_bytes() {
    check(
        r"import pickle
session.alias = 'é'; session.metadata['k'] = 'v'; session.expires = -1; session.rate = 0.5
session.access_rights['api'].allowed_urls.add(url='/a', methods=['GET'])
session.monitor.trigger_limits.append(80)
data = session.SerializeToString()
assert type(session).FromString(data) == session and session.ByteSize() == len(data)
assert pickle.loads(pickle.dumps(session)) == session
assert session.DESCRIPTOR.full_name == 'coprocess.SessionState'
assert session.DESCRIPTOR.fields_by_name['alias'].number == 25
for bad in (b'\xff', b'\x0a', data[:-1], b'\xca\x01\x01\xff', b'\x00', b'\x0b'):
    assert raises(Exception, lambda: type(session).FromString(bad)), bad
assert type(session).FromString(b'\xf8\x07\x05' + data) == session",
    );
}

#[test]
fn wire_modules_say_what_they_need() {
    check(
        "try:
    import coprocess_object_pb2
except ModuleNotFoundError as error:
    assert 'pip install protobuf' in str(error), error
else:
    assert 0, 'the environment of this test has protobuf'",
    );
}

#[test]
fn data_is_stored_as_text_or_bytes_and_read_as_bytes() {
    check(
        r"tyk.store_data('text', 'é', 0)
tyk.store_data('bytes', b'\x00\xff', 10)
assert tyk.get_data('text') == 'é'.encode() and tyk.get_data('bytes') == b'\x00\xff'
assert tyk.get_data('missing in this test') == b''",
    );
    let error = coprocess_core::LogLevel::Error;
    host().expect_line(error, &["missing in this test"]);
}

#[test]
fn the_logging_module_writes_to_the_gateways_log() {
    check(
        "import logging\nlogging.getLogger('mine').warning('bridged %d', 7)\ntyk.log('lone \\udc80', 'debug')",
    );
    use coprocess_core::LogLevel::{Debug, Warning};
    host().expect_line(Warning, &["bridged 7"]);
    host().expect_line(Debug, &["lone \\udc80"]);
}

#[test]
fn plugins_of_the_first_release_find_their_names() {
    let object = run_body(
        "assert request.Headers['X-Client'] == ['someone'] and request.Params == {'a': ['1']}
assert request.URL == '/things/1' and request.Body == 'body'
request.SetHeaders['a'] = 'b'
request.DeleteHeaders.append('Accept')
request.AddParams['c'] = 'd'
request.DeleteParams.append('e')
request.Body = 'changed'
request.ReturnOverrides.ResponseCode = 403
request.ReturnOverrides.ResponseError = 'no'
tyk.log_error('one', 'two')",
    )
    .unwrap();
    let request = object.request;
    assert_eq!(
        (
            request.set_headers["a"].as_str(),
            request.add_params["c"].as_str()
        ),
        ("b", "d")
    );
    assert_eq!(
        (&request.delete_headers[0], &request.delete_params[0]),
        (&"Accept".into(), &"e".into())
    );
    assert_eq!(request.raw_body, "changed");
    assert_eq!(request.return_overrides.response_code, 403);
    assert_eq!(request.return_overrides.response_error, "no");
    host().expect_line(coprocess_core::LogLevel::Error, &["one two"]);
}

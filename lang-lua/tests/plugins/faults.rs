//! Bad plugins of every kind: each row's message says file, function and line.

use crate::plugin::Fixture;
use coprocess_core::{DispatchError, HookType, Response};
use http::HeaderMap;

/// How a plugin that is loaded from a folder says what is wrong with it.
fn problem(code: &str) -> String {
    Fixture::new(code).plugin.problems().join("\n")
}

const UNLOADABLE: &[(&str, &str)] = &[
    (
        "function hook(\nreturn",
        "plugin.lua:2: <name> or '...' expected near 'return'",
    ),
    ("x = 'open", "plugin.lua:1: unfinished string near '<eof>'"),
    ("x = [[open\n", "plugin.lua:2: unfinished long string"),
    ("goto nowhere", "plugin.lua:1: undefined label 'nowhere'"),
    ("break", "plugin.lua:1: "),
    ("x = 1 +", "plugin.lua:1: unexpected symbol near '<eof>'"),
    ("\n\nerror('top level')", "plugin.lua:3: top level"),
    ("\nerror({ code = 7 })", "plugin.lua:2: table: "),
    ("\nerror(nil)", "plugin.lua:2: nil"),
    (
        "\nerror(setmetatable({}, { __tostring = function() return 'shown' end }))",
        "shown",
    ),
    (
        "\nlocal x = nil + 1",
        "plugin.lua:2: attempt to perform arithmetic on a nil value",
    ),
    (
        "\nrequire('socket')",
        "plugin.lua:2: no module 'socket' in this plugin; there are: plugin",
    ),
    (
        "\nio.open('/etc/passwd')",
        "plugin.lua:2: attempt to index global 'io' (a nil value)",
    ),
    (
        "\nos.exit(1)",
        "plugin.lua:2: attempt to call field 'exit' (a nil value)",
    ),
    (
        "\nos.execute('true')",
        "plugin.lua:2: attempt to call field 'execute' (a nil value)",
    ),
    ("\ncoroutine.yield()", "plugin.lua:2: "),
    (
        "\nlocal t = {} t[nil] = 1",
        "plugin.lua:2: table index is nil",
    ),
    (
        "\nlocal function f() return 1 + f() end f()",
        "stack overflow",
    ),
    ("\nlocal s = ('x'):rep(2 ^ 30)", "memory"),
    (
        "\nrequest.url = '/'",
        "plugin.lua:2: attempt to index global 'request' (a nil value)",
    ),
    (
        "\nlocal h = object.request",
        "plugin.lua:2: no request is being handled",
    ),
    (
        "\ntyk.req.set_header('X', '1')",
        "plugin.lua:2: no request is being handled",
    ),
    ("\ntyk.req.http_version()", "no hook is running"),
    (
        "\u{1b}Lua",
        "plugin.lua: is compiled bytecode; ship the source instead",
    ),
    ("\0", "plugin.lua:1: unexpected symbol"),
    ("\nsetfenv(0, {}) x = y.z", "plugin.lua:2: "),
];

#[test]
fn what_does_not_load_is_told_with_its_line() {
    for &(code, expected) in UNLOADABLE {
        let text = problem(code);
        assert!(text.contains("plugin.lua"), "{code:?}: {text}");
        assert!(text.contains(expected), "{code:?}: {text}");
    }
}

#[test]
fn what_a_file_may_begin_with_is_skipped() {
    for code in [
        "\u{feff}x = 1",
        "#!/usr/bin/env luajit\nx = 1",
        "",
        "\r\n\t ",
    ] {
        assert_eq!(problem(code), "", "{code:?}");
    }
}

fn failure(hook_type: HookType, code: &str) -> DispatchError {
    let fixture = Fixture::new(code);
    assert_eq!(fixture.plugin.problems(), [""; 0], "{code}");
    let mut object = fixture.object("hook", hook_type);
    object.response = (hook_type == HookType::Response).then(|| {
        Box::new(Response {
            status_code: 200,
            headers: HeaderMap::new(),
            edited_headers: None,
            header_edits: Vec::new(),
            raw_body: bytes::Bytes::new(),
            raw_body_only: false,
        })
    });
    match fixture.dispatch(object) {
        Err(error) => error,
        Ok(_) => panic!("came back: {code}"),
    }
}

/// The function begins on line 2.
fn check(hook_type: HookType, body: &str, expected: &str) {
    let arguments = match hook_type {
        HookType::CustomKeyCheck => "request, session, metadata, spec",
        HookType::Response => "request, response, session, metadata, spec",
        _ => "request, session, spec",
    };
    let code = format!("-- A plugin.\nfunction hook({arguments})\n{body}\nend");
    let text = failure(hook_type, &code).to_string();
    assert!(text.contains("plugin.lua:"), "{body}: {text}");
    assert!(text.contains("hook"), "{body}: {text}");
    assert!(text.contains(expected), "{body}: {text}");
}

const WRONG_RETURNS: &[(HookType, &str, &str)] = &[
    (
        HookType::Pre,
        "",
        "returned nothing; expected `return request, session`",
    ),
    (
        HookType::Pre,
        "return nil",
        "plugin.lua:2: in function `hook`: hook `hook` returned",
    ),
    (
        HookType::Pre,
        "return 42",
        "returned a number; expected `return request, session`",
    ),
    (HookType::Pre, "return 'text'", "returned a string"),
    (HookType::Pre, "return false", "returned a boolean"),
    (
        HookType::Pre,
        "return function() end",
        "returned a function",
    ),
    (
        HookType::Pre,
        "return coroutine.create(print)",
        "returned a thread",
    ),
    (
        HookType::Pre,
        "return request, 1",
        "returned as value 2 a number",
    ),
    (
        HookType::Pre,
        "return session, request",
        "returned the session; expected `return request, session`",
    ),
    (
        HookType::Pre,
        "session.rate = 1 return session, request",
        "returned the session; expected",
    ),
    (
        HookType::Pre,
        "return { headerz = {} }",
        "request has no field `headerz`",
    ),
    (
        HookType::Pre,
        "return { [1] = request }",
        "request has no field `1`",
    ),
    (
        HookType::Pre,
        "return { set_headers = 'x' }",
        "set_headers: ",
    ),
    (
        HookType::Pre,
        "return { delete_headers = 'x' }",
        "delete_headers: ",
    ),
    (
        HookType::Pre,
        "return { delete_headers = { {} } }",
        "delete_headers: ",
    ),
    (
        HookType::Pre,
        "return { return_overrides = 5 }",
        "return_overrides: ",
    ),
    (HookType::Pre, "return { url = {} }", "url: "),
    (
        HookType::Pre,
        "return { method = 'a b' }",
        "request.method: ",
    ),
    (HookType::Pre, "return { method = {} }", "method: "),
    (HookType::Pre, "return { raw_body = {} }", "raw_body: "),
    (
        HookType::Pre,
        "return setmetatable({ url = {} }, { __index = function() return '/' end })",
        "url: ",
    ),
    (
        HookType::CustomKeyCheck,
        "",
        "returned nothing; expected `return request, session, metadata`",
    ),
    (
        HookType::CustomKeyCheck,
        "return request, session, 'token'",
        "returned as value 3 a string",
    ),
    (
        HookType::CustomKeyCheck,
        "return request, session, { token = {} }",
        "metadata: ",
    ),
    (
        HookType::CustomKeyCheck,
        "return request, 'session'",
        "returned as value 2 a string",
    ),
    (
        HookType::Response,
        "",
        "returned nothing; expected `return response`",
    ),
    (
        HookType::Response,
        "response.status_code = 'ok' return response",
        "status_code: ",
    ),
    (
        HookType::Response,
        "response.headers = 'x' return response",
        "response.headers: ",
    ),
    (
        HookType::Response,
        "response.multivalue_headers = 'x' return response",
        "multivalue_headers: ",
    ),
    (
        HookType::Response,
        "response.multivalue_headers = { 'x' } return response",
        "multivalue_headers: ",
    ),
    (
        HookType::Response,
        "response.raw_body = {} return response",
        "raw_body: ",
    ),
    (
        HookType::Response,
        "response.code = 1 return response",
        "response has no field `code`",
    ),
];

#[test]
fn a_hook_that_returns_the_wrong_thing_is_told_with_its_place() {
    for &(hook_type, body, expected) in WRONG_RETURNS {
        check(hook_type, body, expected);
    }
}

#[test]
fn a_hook_that_fails_is_told_with_its_line() {
    for (body, expected) in [
        ("error('text')", "plugin.lua:3: text"),
        ("error('text', 0)", "plugin.lua:2: in function `hook`: text"),
        ("error()", "plugin.lua:2: in function `hook`: nil"),
        ("error({})", "plugin.lua:2: in function `hook`: table: "),
        (
            "error(setmetatable({}, { __tostring = function() return 5 end }))",
            "plugin.lua",
        ),
        ("error(('x'):rep(1e6))", "plugin.lua:3: xxx"),
        (
            "return request.headers.nothing.here",
            "plugin.lua:3: attempt to index field 'nothing' (a nil value)",
        ),
        ("coroutine.yield(request, session)", "plugin.lua"),
        (
            "os.exit(0)",
            "plugin.lua:3: attempt to call field 'exit' (a nil value)",
        ),
        (
            "require('redis')",
            "plugin.lua:3: no module 'redis' in this plugin; there are: plugin",
        ),
        (
            "request.headers = nil return request.headers.X.Y",
            "plugin.lua:3: attempt to index field 'X'",
        ),
        (
            "object.request = {} return request",
            "plugin.lua:3: `object.request` cannot be assigned",
        ),
        (
            "setmetatable(request, nil) return request.headers.Host",
            "plugin.lua:3: attempt to index field 'headers'",
        ),
        ("hook = nil error('gone', 0)", "gone"),
        ("tyk.store_data({}, 'x') return request", "plugin.lua:3: "),
        (
            "tyk.trigger_event('E', {}) return request",
            "plugin.lua:3: ",
        ),
        ("tyk.log(nil, {}) return request", "plugin.lua:3: "),
        (
            "request:set_header({}, 'x') return request",
            "plugin.lua:3: ",
        ),
        (
            "request.set_header('X', 'x') return request",
            "plugin.lua:3: ",
        ),
        ("request.raw_body = ('x'):rep(2e9) return request", "memory"),
    ] {
        check(HookType::Pre, body, expected);
    }
}

#[test]
fn a_table_that_lies_about_itself_changes_nothing() {
    for body in [
        "return setmetatable({}, { __index = error, __newindex = error, __len = error, __tostring = error })",
        "return setmetatable({}, { __metatable = 'mine', __pairs = error, __call = error })",
        "getmetatable(request).__index = nil return request",
    ] {
        let code = format!("function hook(request, session)\n{body}\nend");
        let fixture = Fixture::new(&code);
        let object = fixture
            .run("hook")
            .unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_eq!(object.request.raw_body, "body", "{body}");
        assert!(object.request.set_headers.is_empty(), "{body}");
    }
}

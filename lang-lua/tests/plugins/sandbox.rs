//! What plugin code cannot do, and what becomes of code that tries.

use std::time::{Duration, Instant};

use crate::plugin::Fixture;
use coprocess_core::{DispatchError, HookType};

/// The message of a hook that must raise; afterwards the same plugin still works.
fn raised(code: &str) -> String {
    let fixture = Fixture::new(&format!(
        "function fault(request, session, spec)\n{code}\nreturn request, session\nend\n\
         function fine(request, session, spec) return request, session end"
    ));
    let outcome = fixture.run("fault");
    fixture.run("fine").expect("the plugin works on");
    match outcome {
        Err(DispatchError::Raised { message }) => message,
        other => panic!("{code}: {other:?}"),
    }
}

#[test]
fn nothing_reaches_files_processes_or_bytecode() {
    for name in [
        "io",
        "debug",
        "ffi",
        "dofile",
        "loadfile",
        "newproxy",
        "module",
        "os.execute",
        "os.exit",
        "os.getenv",
        "os.remove",
        "os.rename",
        "os.tmpname",
        "os.setlocale",
        "string.dump",
        "package.loadlib",
        "package.loaders",
        "package.searchers",
        "jit.attach",
        "jit.util",
        "jit.opt",
        "package.loaded.io",
        "package.loaded.debug",
        "package.loaded.ffi",
    ] {
        let message = raised(&format!("error('it is ' .. tostring({name}))"));
        assert!(message.contains("it is nil"), "{name}: {message}");
    }
}

#[test]
fn doors_that_look_harmless_are_shut() {
    for (code, expected) in [
        (
            "require('ffi')",
            "no module 'ffi' in this plugin; there are: plugin",
        ),
        ("require('../plugin')", "no module '../plugin'"),
        ("require('/etc/passwd')", "no module '/etc/passwd'"),
        (
            "assert(loadstring('\\27LJ'))",
            "attempt to load chunk with wrong mode",
        ),
        (
            "local done assert(load(function() if not done then done = true return '\\27LJ' end end))",
            "attempt to load chunk with wrong mode",
        ),
        (
            "assert(load('\\27LJ', 'x', 'b'))",
            "attempt to load chunk with wrong mode",
        ),
        (
            "loadstring(function() end)",
            "bad argument #1 to 'loadstring' (string expected, got function)",
        ),
        (
            "load({})",
            "bad argument #1 to 'load' (string expected, got table)",
        ),
        ("getmetatable('').__index = nil", "attempt to index"),
        ("collectgarbage('stop')", "not available to plugins"),
        ("request.set_headers['X'] = {} ", "set_headers: "),
        ("request.set_headers['X'] = '\\255' ", "set_headers: "),
        ("request:set_header('X', nil)", "nil"),
        ("request.method = 'NO METHOD'", "request.method: "),
        ("request.headerz = {}", "request has no field `headerz`"),
        ("session.rates = 1", "session has no field `rates`"),
        ("session.tags = 'red'", "session.tags: "),
        (
            "request.return_overrides.response_code = 'teapot'",
            "return_overrides.response_code: ",
        ),
    ] {
        let message = raised(code);
        assert!(message.contains(expected), "{code}: {message}");
    }
}

#[test]
fn any_error_value_becomes_a_message() {
    for (code, expected) in [
        ("error('plain')", "plugin.lua:2: plain"),
        ("error('two\\nlines', 0)", "two\nlines"),
        ("error('\\255bytes')", "bytes"),
        ("error(nil)", "nil"),
        ("error()", "nil"),
        ("error({ a = 1 })", "table"),
        (
            "error(setmetatable({}, { __tostring = function() return 'shown' end }))",
            "shown",
        ),
        (
            "error(setmetatable({}, { __tostring = function() error('no') end }))",
            "",
        ),
        (
            "local t = nil; t.x = 1",
            "plugin.lua:2: attempt to index local 't'",
        ),
    ] {
        let message = raised(code);
        assert!(message.contains(expected), "{code}: {message}");
    }
}

#[test]
fn recursion_is_an_error_also_through_c_functions() {
    for code in [
        "local function f() return 1 + f() end f()",
        "local function f() string.gsub('a', 'a', f) end f()",
        "local function f(s) return (s:gsub('.', f)) end f('ab')",
        "local t = setmetatable({}, {}) getmetatable(t).__index = function() return ('a'):gsub('a', t) end local x = ('a'):gsub('a', t)",
        "local function f() table.sort({ 1, 2, 3 }, f) end f()",
        "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() return string.format('%s', t) end tostring(t)",
        "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() return tostring(t) .. 'x' end tostring(t)",
        "local function f() coroutine.wrap(f)() end f()",
        "local function f() assert(coroutine.resume(coroutine.create(f))) end f()",
        "local function f() assert(load(f)) end f()",
        "local function f() assert(loadstring(f)) end f()",
        "local function f() return 1 + select(2, assert(pcall(f))) end f()",
        "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return t[k .. 'x'] end local x = t.a",
        "local t = {} for i = 1, 1e5 do t = setmetatable({}, { __index = t }) end local x = t.a assert(x)",
        "local s = ('('):rep(1e5) assert(loadstring('return ' .. s))",
        "local s = ('{'):rep(1e5) assert(loadstring('return ' .. s))",
    ] {
        raised(code);
    }
}

#[test]
fn memory_is_limited_and_comes_back() {
    for code in [
        "local t = {} for i = 1, 1e9 do t[i] = { i } end",
        "hog = {} for i = 1, 1e9 do hog[i] = ('x'):rep(1000) .. i end",
        "local s = ('x'):rep(2 ^ 30)",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} for i = 1, 1e7 do t[i] = 'xxxxxxxxxx' end t = table.concat(t)",
    ] {
        let message = raised(code);
        assert!(message.contains("memory"), "{code}: {message}");
    }
}

#[test]
fn loops_end_wherever_they_hide() {
    for code in [
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "xpcall(error, function() while true do end end)",
        "error(setmetatable({}, { __tostring = function() while true do end end }))",
        "local t = setmetatable({}, { __index = function() while true do end end }) local x = t.a",
        "for x in function() return 1 end do end",
        "load(function() while true do end end)",
        "repeat local ok = pcall(pcall, pcall, function() while true do end end) until false",
        "while true do request:get_header('Host') end",
        "while true do request:set_header('X-Count', 'x') end",
        "while true do tyk.log('x', 'debug') end",
        "local s = ('x'):rep(1e5) while true do s = s:reverse() end",
        "while true do collectgarbage() end",
        "while true do pcall(require, 'nothing') end",
        "while true do load(function() while true do end end) end",
        "while true do pcall(loadstring, function() while true do end end) end",
        "while true do table.sort({ 1, 2 }, function() pcall(error) end) end",
        "while true do coroutine.wrap(function() pcall(error) end)() end",
        "while true do pcall(string.rep, 'x', 2 ^ 30) end",
    ] {
        let fixture = Fixture::new(&format!(
            "function fault(request)\n{code}\nreturn request\nend"
        ));
        let began = Instant::now();
        let error = match fixture.run_within("fault", Duration::from_millis(50)) {
            Err(error) => error,
            Ok(_) => panic!("came back: {code}"),
        };
        assert!(began.elapsed() < Duration::from_secs(2), "{code}");
        assert!(
            matches!(error, DispatchError::TimeLimit { .. }),
            "{code}: {error}"
        );
    }
}

#[test]
fn a_cut_leaves_nothing_behind() {
    // Sets a flag that only code after the cut would take back, as `require` does.
    let fixture = Fixture::new(
        "package.preload.slow = function() if SPIN then while true do end end return {} end\n\
         function fault(request) SPIN = true require('slow') return request end\n\
         function fine(request) SPIN = nil require('slow') return request end",
    );
    let error = fixture
        .run_within("fault", Duration::from_millis(50))
        .unwrap_err();
    assert!(matches!(error, DispatchError::TimeLimit { .. }), "{error}");
    fixture.run("fine").unwrap();
}

#[test]
fn a_burst_is_limited_apart_from_the_time_limit() {
    let code = "function fault(request)\nwhile true do end\nend";
    let fixture = Fixture::with_options(code, r#"{"lua_burst_ms": 30}"#);
    let error = fixture
        .run_within("fault", Duration::from_secs(60))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "hook ran longer than 30ms; at plugin.lua:2"
    );
}

#[test]
fn files_that_never_finish_loading_are_a_problem() {
    let fixture = Fixture::new("while true do end");
    let problems = fixture.plugin.problems().join("\n");
    assert!(
        problems.contains("did not load within 5s; at plugin.lua:1"),
        "{problems}"
    );
}

#[test]
fn bytecode_is_not_a_plugin() {
    let fixture = Fixture::new("\u{1b}LJ");
    let problems = fixture.plugin.problems().join("\n");
    assert!(problems.contains("is compiled bytecode"), "{problems}");
}

#[test]
fn a_panic_of_the_host_is_an_error_of_the_hook() {
    let fixture = Fixture::new(
        "function fault(request) tyk.get_data('panic') return request end\n\
         function fine(request) return request end",
    );
    let error = fixture.run("fault").unwrap_err();
    assert!(error.to_string().contains("panic"), "{error}");
    fixture.run("fine").unwrap();
}

#[test]
fn ffi_is_there_when_the_operator_allows_it() {
    let code = "local ffi = require('ffi')\nffi.cdef('int getpid(void);')\n\
                function pid(request)\n\
                request:set_header('X-Pid', tostring(ffi.C.getpid()))\nreturn request\nend";
    let fixture = Fixture::with_options(code, r#"{"lua_allow_ffi": true}"#);
    assert_eq!(fixture.plugin.problems(), [""; 0]);
    let object = fixture.run("pid").unwrap();
    let pid = std::process::id().to_string();
    assert_eq!(object.request.set_headers["X-Pid"], pid);
}

#[test]
fn a_hook_works_on_every_thread() {
    let fixture = Fixture::new(
        "local count = 0\nfunction count_up(request)\ncount = count + 1\n\
         request:set_header('X-Count', tostring(count))\nreturn request\nend",
    );
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for count in 1..=3 {
                    let object = fixture.run("count_up").unwrap();
                    // A VM of its own for each thread.
                    assert_eq!(object.request.set_headers["X-Count"], count.to_string());
                }
            });
        }
    });
    let object = fixture.object("count_up", HookType::Pre);
    drop(fixture);
    // The object holds the plugin: a request in flight outlives a reload.
    assert!(object.hook.get::<String>().is_none());
}

#[test]
fn one_long_call_in_c_does_not_disable_a_plugin() {
    // The C library's sort, where no hook runs, for much longer than three cuts.
    let fixture = Fixture::with_options(
        "local ffi = require('ffi')\n\
         ffi.cdef('typedef int (*order)(const void *, const void *);\
         int strcmp(const char *, const char *);\
         void qsort(void *, size_t, size_t, order);')\n\
         function fault(request)\n\
         local list = ffi.new('uint64_t[?]', 4e6)\n\
         for i = 0, 4e6 - 1 do list[i] = i * 7919 % 1000003 end\n\
         while true do ffi.C.qsort(list, 4e6, 8, ffi.cast('order', ffi.C.strcmp)) end\nend\n\
         function fine(request) return request end",
        r#"{"lua_allow_ffi": true, "lua_burst_ms": 10000}"#,
    );
    fixture.run("fine").unwrap();
    let error = fixture
        .run_within("fault", Duration::from_millis(100))
        .unwrap_err();
    assert!(matches!(error, DispatchError::TimeLimit { .. }), "{error}");
    fixture.run("fine").unwrap();
}

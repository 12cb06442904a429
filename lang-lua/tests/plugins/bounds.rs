//! What plugin code hands to the gateway has a size, and the work on it an end.

use std::time::{Duration, Instant};

use crate::plugin::Fixture;
use coprocess_core::DispatchError;

/// Ends within a second or two, with the error that the options lead to.
fn error_of(code: &str, limit: Duration) -> DispatchError {
    let fixture = Fixture::with_options(
        &format!(
            "local big = ('x'):rep(1e6)\n\
             local function nested(depth) local t = {{}} for i = 1, depth do t = {{ t, t }} end return t end\n\
             function fault(request, session)\n{code}\nreturn request, session\nend\n\
             function fine(request) return request end"
        ),
        r#"{"lua_burst_ms": 10000, "lua_memory_limit_mb": 16}"#,
    );
    fixture.run("fine").expect("the plugin works");
    let began = Instant::now();
    let outcome = fixture.run_within("fault", limit);
    assert!(began.elapsed() < Duration::from_secs(3), "{code}");
    fixture.run("fine").expect("the plugin works on");
    match outcome {
        Err(error) => error,
        Ok(_) => panic!("came back: {code}"),
    }
}

#[test]
fn copies_out_of_a_vm_are_limited_in_bytes() {
    for code in [
        "require('cjson').encode(nested(40))",
        "local t = {} for i = 1, 1000 do t[i] = big end require('cjson').encode(t)",
        "local t = {} for i = 1, 1e5 do t[i] = big end request.delete_headers = t",
        "for i = 1, 1e5 do request:delete_header(big) end",
        "for i = 1, 1e5 do request:set_header(i, big) end",
        "local t = {} for i = 1, 1e4 do t[i] = big end request.add_params = t",
        "for i = 1, 1e5 do tyk.log(big, 'debug') end",
        "local v = {} for i = 1, 1e3 do v[i] = big end\n\
         session.access_rights = { a = { versions = v } }",
        "local u = {} for i = 1, 1e3 do u[i] = { url = big } end\n\
         session.access_rights = { a = { allowed_urls = u } }",
        "local m = {} for i = 1, 1e3 do m[i] = big end\n\
         local u = { methods = m } session.access_rights = { a = { allowed_urls = { u, u } } }",
        "local t = {} for i = 1, 1000 do t[i] = big end session.tags = t",
        "require('cjson').decode('[' .. ('[],'):rep(5e5) .. '1]')",
    ] {
        match error_of(code, Duration::from_secs(30)) {
            DispatchError::Raised { message } => {
                assert!(message.contains("memory"), "{code}: {message}");
            }
            other => panic!("{code}: {other}"),
        }
    }
}

#[test]
fn what_is_copied_for_a_moment_can_be_copied_again() {
    let fixture = Fixture::with_options(
        "function hook(request)\n\
         local text = ('x'):rep(2.5e5)\n\
         for i = 1, 20 do\n\
         local json = require('cjson').encode({ text })\n\
         assert(require('cjson').decode(json)[1] == text)\n\
         end\n\
         collectgarbage()\n\
         return request\nend",
        r#"{"lua_burst_ms": 30000, "lua_memory_limit_mb": 4}"#,
    );
    fixture.run("hook").unwrap();
}

#[test]
fn long_conversions_are_cut() {
    for code in [
        "while true do pcall(require('cjson').encode, nested(16)) end",
        "local json = '[' .. ('1,'):rep(1e5) .. '1]'\n\
         while true do pcall(require('cjson').decode, json) end",
        "local json = '[' .. (' '):rep(3e6) .. '1]'\n\
         while true do pcall(require('cjson').decode, json) end",
    ] {
        let error = error_of(code, Duration::from_millis(50));
        assert!(
            matches!(error, DispatchError::TimeLimit { .. }),
            "{code}: {error}"
        );
    }
}

#[test]
fn a_long_text_is_read_as_a_short_one_is() {
    let fixture = Fixture::new(
        r#"function hook(request)
        local item = '{"a\\"b,[":[1,2.5,null,true,"x\\\\",{}]}'
        local long = require('cjson').decode('[' .. (item .. ','):rep(2000) .. item .. ']')
        request.raw_body = #long .. require('cjson').encode(long[2001])
        local ok, problem = pcall(require('cjson').decode, (' '):rep(20000) .. '{"a":}')
        assert(not ok and problem:find('not JSON: expected value', 1, true), problem)
        return request
        end"#,
    );
    let body = fixture.run("hook").unwrap().request.raw_body;
    let expected = r#"2001{"a\"b,[":[1,2.5,null,true,"x\\",{}]}"#;
    assert_eq!(body, expected.as_bytes());
}

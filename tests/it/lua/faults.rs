//! Lua code that misbehaves, while other routes are watched.

use crate::coprocess::faults::check;

fn fault(body: &str) {
    let source = format!(
        "function Fault(request, session, spec)\n{body}\n  return request, session\nend\n\n\
         function Quick(request, session, spec)\n  return request, session\nend\n"
    );
    check("lua", "faulty.lua", &source, &["/plain/", "/quick/"]);
}

#[test]
fn a_loop_in_a_coroutine_ends() {
    fault("local co = coroutine.wrap(function() while true do end end)\nco()");
}

#[test]
fn a_loop_under_pcall_ends() {
    fault("while true do pcall(function() while true do end end) end");
}

#[test]
fn a_loop_in_a_metamethod_ends() {
    fault(
        "local t = setmetatable({}, {__index = function() while true do end end})\nlocal _ = t.x",
    );
}

#[test]
fn recursion_is_an_error() {
    fault("local function down() return down() + 1 end\ndown()");
}

#[test]
fn recursion_through_c_is_an_error() {
    fault("local function down() return (('x'):gsub('x', down)) end\ndown()");
}

#[test]
fn a_pattern_that_would_take_hours_is_cut() {
    fault("string.find(string.rep('a', 40), string.rep('a*', 40) .. 'b')");
}

#[test]
fn a_memory_hog_is_cut() {
    fault("local held = {}\nwhile true do held[#held + 1] = string.rep('x', 1000000) .. #held end");
}

#[test]
fn a_huge_string_is_an_error() {
    fault("local text = string.rep('x', 1000000)\nfor _ = 1, 40 do text = text .. text end");
}

//! Pattern matching on texts that are long enough to leave LuaJIT's matcher.

use std::time::{Duration, Instant};

use coprocess_core::DispatchError;

use crate::plugin::Fixture;

/// Each returns a text; `long` is a function that makes the subject.
const CALLS: &[&str] = &[
    "long():find('%s*(%w+)%s*=%s*(%w+)%s*', 40)",
    "long():find('.-;', -20)",
    "long():find('%s*()%w+')",
    "long():find('no such %w+ thing')",
    "large():find(piece(), 1, true)",
    "large():find(piece(), -1, true)",
    "large():find(piece(), 500005, true)",
    "large():find('no' .. piece(), 1, true)",
    "large():find(piece())",
    "large():match(piece())",
    "(large():gsub(piece(), 'p')):sub(-10)",
    "('a b c '):rep(30000):gsub('%w', { a = 1, b = 'x' })",
    "('a b c '):rep(30000):gsub('(%w)( )', function(a, b) return b .. a end)",
    "('a b c '):rep(30000):gsub('%w', string.upper)",
    "('a b'):rep(100):gsub('(a)( )', ('%2%0%1%%'):rep(5000))",
    "sorted(20000)",
    "sorted(100)",
    "select(2, pcall(table.sort, many(1000, {}))):match('attempt to compare')",
    "long():match('^(%w+)%s*=%s*(%w+)')",
    "long():match('%w+')",
    "long():match('no such %w+ thing')",
    "long():match('%f[%d](%d+).-%1')",
    "long():gsub('%s+', '')",
    "long():gsub('(%w+)%s*=%s*(%w+)', '%2:%1 %0 %%')",
    "long():gsub('%w+', '<%1>')",
    "long():gsub('%w*', '-')",
    "long():gsub('^%w+', 'first')",
    "long():gsub('^;+', 'first')",
    "long():gsub('%w+', 'x', 3)",
    "long():gsub('%w+', 'x', 0)",
    "long():gsub('%w+', { k1 = 'one', k2 = 2, k3 = false })",
    "long():gsub('(%w)(%w+)', function(a, b) return a:upper() .. #b end)",
    "long():gsub('%d+', function(d) if #d > 1 then return d + 1 end end)",
    "long():gsub('()%w+', function(at) return at end)",
    "long():gsub('%w*()', '%1')",
    "gather(long():gmatch('(%w+)%s*=%s*(%w+)'))",
    "gather(long():gmatch('%d+'))",
    "gather(long():gmatch('%d*'))",
    "gather(long():gmatch('()=()%s*'))",
    "gather(('^k'):rep(2000):gmatch('^%w+'))",
    "('x'):rep(3000):gsub('%w-', '-')",
    "select(2, pcall(string.gsub, long(), '%w+', function() return {} end)):match('invalid replacement value')",
    "select(2, pcall(string.gsub, long(), '%w+', '%2')):match('invalid capture index')",
    "select(2, pcall(string.find, long(), '(%w+')):match('unfinished capture')",
    "select(2, pcall(string.find, long(), '%w+[')):match('malformed pattern')",
];

const PRELUDE: &str = r##"
local function long()
  local lines = {}
  for i = 1, 400 do lines[i] = "k" .. i .. "  =  value" .. i % 7 .. ";" end
  return table.concat(lines, "\n")
end

local function piece()
  return ("needle"):rep(20)
end

local function large()
  return ("hay nee "):rep(62500) .. "x" .. piece() .. ("hay"):rep(100) .. piece()
end

local function many(count, item)
  local list = {}
  for i = 1, count do list[i] = item or i * 7919 % 1000003 end
  return list
end

local function sorted(count)
  local list = many(count)
  table.sort(list)
  return table.concat(list, " ")
end

local function gather(...)
  local found = {}
  for a, b in ... do found[#found + 1] = tostring(a) .. "/" .. tostring(b) end
  return table.concat(found, ",")
end

local function show(...)
  local made = {}
  for i = 1, select("#", ...) do made[i] = tostring((select(i, ...))) end
  return table.concat(made, "|")
end
"##;

#[test]
fn long_texts_are_matched_as_short_ones_are() {
    for call in CALLS {
        let plain = mlua::Lua::new();
        let expected: String = plain
            .load(format!("{PRELUDE}\nreturn show({call})"))
            .eval()
            .unwrap_or_else(|error| panic!("{call}: {error}"));
        let code = format!(
            "{PRELUDE}\nfunction hook(request)\nrequest.raw_body = show({call})\nreturn request\nend"
        );
        let object = Fixture::new(&code).run("hook").unwrap();
        let found = String::from_utf8(object.request.raw_body.to_vec()).unwrap();
        assert_eq!(found, expected, "{call}");
        assert!(!expected.is_empty(), "{call}");
    }
}

#[test]
fn matching_that_would_take_hours_is_cut() {
    for call in [
        "('a'):rep(2 ^ 23):find(('a'):rep(2 ^ 22) .. 'b', 1, true)",
        "('a'):rep(2 ^ 21):find(('a'):rep(2 ^ 20) .. 'b')",
        "('a'):rep(2 ^ 20):gsub(('[a]'):rep(2 ^ 18) .. 'b', '')",
        "('a'):rep(1000):find('.-' .. ('a'):rep(300) .. 'b' .. '.-' .. ('a'):rep(300) .. '.-b')",
        "(function() local t = {} for i = 1, 2e6 do t[i] = i * 7919 % 1000003 end table.sort(t) end)()",
        "(function() local t, s = {}, ('a'):rep(2 ^ 22) for i = 1, 200 do t[i] = s .. i % 7 end table.sort(t) end)()",
        "(function() local t = {} for i = 1, 3e6 do t[i] = i * 7919 % 1000003 end table.sort(t, rawequal) end)()",
        "('a'):rep(1e5):gsub('', ('%0'):rep(1e6))",
        "(function() local s = ('a'):rep(9e6) while true do s:gsub('.', tostring) s:gsub('.', {}) end end)()",
        "(function() while true do (''):rep(2 ^ 31 - 1) end end)()",
        "('a'):rep(5000):find('(.-)(.-)(.-)(.-)(.-)b')",
        "('a'):rep(5000):match('.*.*.*.*.*b')",
        "('a'):rep(400):find(('.-'):rep(20) .. 'b')",
        "('a'):rep(30):find(('.-'):rep(30) .. 'b')",
        "('a'):rep(60):find(('a?'):rep(60) .. ('a'):rep(60))",
        "('('):rep(1e6):find('%b()')",
        "('a'):rep(5000):gsub('.-.-.-.-b', '')",
        "('a'):rep(5000):gmatch('.-.-.-.-b')()",
    ] {
        let fixture = Fixture::new(&format!("function fault(request)\nlocal x = {call}\nend"));
        let began = Instant::now();
        let error = match fixture.run_within("fault", Duration::from_millis(50)) {
            Err(error) => error,
            Ok(_) => panic!("came back: {call}"),
        };
        assert!(began.elapsed() < Duration::from_secs(2), "{call}");
        assert!(
            matches!(error, DispatchError::TimeLimit { .. }),
            "{call}: {error}"
        );
    }
}

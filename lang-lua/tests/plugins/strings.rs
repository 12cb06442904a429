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

-- Leaves a plugin only what it may use, and puts bounds where the libraries have none.
-- Arguments: the functions that the gateway provides, the name of a module as its file has it,
-- its code by that name, ffi or nil.
local native, module_named, module_chunk, ffi = ...

local type, error, select, tostring, tonumber = type, error, select, tostring, tonumber
local unpack, rawget = unpack, rawget
local raw_pcall, raw_xpcall, raw_load = pcall, xpcall, load
local raw_getmetatable = getmetatable
local concat = table.concat

-- Gone: files, bytecode, code that runs where it cannot be interrupted.
dofile, loadfile, newproxy, module = nil, nil, nil, nil
string.dump = nil
os = { time = os.time, clock = os.clock, date = os.date, difftime = os.difftime }
jit = {
  version = jit.version, version_num = jit.version_num, os = jit.os, arch = jit.arch,
  on = jit.on, off = jit.off, flush = jit.flush, status = jit.status,
}
raw_getmetatable("").__metatable = "string"

-- Code in pieces is put together here: LuaJIT would ask for them from within its compiler,
-- where a function that is cut leaves the VM deaf to the next cut.
local function whole(piece)
  local pieces = {}
  for text in piece do
    if type(text) ~= "string" then
      error("reader function must return a string", 3)
    end
    if text == "" then
      break
    end
    pieces[#pieces + 1] = text
  end
  return concat(pieces)
end

-- LuaJIT's own function is never handed a reader: it would run as part of the compiler, where
-- no check of the stack is made and no cut comes through.
local function check_code(chunk, who)
  local kind = type(chunk)
  if kind ~= "string" and kind ~= "number" then
    error("bad argument #1 to '" .. who .. "' (string expected, got " .. kind .. ")", 3)
  end
end

-- Only text is code.
function load(chunk, name, _, ...)
  if type(chunk) == "function" then
    chunk, name = whole(chunk), name or "=(load)"
  end
  check_code(chunk, "load")
  if select("#", ...) > 0 then
    return raw_load(chunk, name, "t", (...))
  end
  return raw_load(chunk, name, "t")
end

function loadstring(text, name)
  check_code(text, "loadstring")
  return raw_load(text, name, "t")
end

-- Errors of the gateway's functions are objects; plugins expect text.
local match, find = string.match, string.find

local function textual(ok, problem, ...)
  if not ok and type(problem) == "userdata" then
    local text = tostring(problem)
    text = match(text, "^runtime error: (.*)") or text
    return false, match(text, "^(.-)\nstack traceback:") or text
  end
  return ok, problem, ...
end

function pcall(body, ...)
  return textual(raw_pcall(body, ...))
end

-- The handler runs after the failed call is left: inside it the time limit could not cut.
local function handled(handler, ok, ...)
  if ok then
    return true, ...
  end
  return false, select(2, raw_pcall(handler, ...))
end

function xpcall(body, handler, ...)
  return handled(handler, textual(raw_pcall(body, ...)))
end

local raw_collectgarbage = collectgarbage
local collect_options = { collect = true, count = true, step = true }

function collectgarbage(option, argument)
  option = option or "collect"
  if not collect_options[option] then
    error("collectgarbage(\"" .. tostring(option) .. "\") is not available to plugins", 2)
  end
  return raw_collectgarbage(option, argument)
end

function print(...)
  local words = {}
  for i = 1, select("#", ...) do
    words[i] = tostring((select(i, ...)))
  end
  native.log(concat(words, "\t"), "info")
end

-- Matching that may take long goes to a matcher that can be ended; it gives the same results.
do
  local find, match, gmatch, gsub = string.find, string.match, string.gmatch, string.gsub
  local sub, slow_find = string.sub, native.find
  local huge, min, max = math.huge, math.min, math.max

  -- What LuaJIT may do in one go: so many times may a byte of the text meet one of the pattern.
  local most_meetings = 1e7

  -- The longest text that LuaJIT's matcher is trusted with, by pattern: a million steps at
  -- most, when each repetition tries each position.
  local longest, patterns = {}, 0

  local function longest_of(pattern)
    local _, repeats = gsub(pattern, "[*+-]", "")
    local _, options = gsub(pattern, "?", "")
    local _, balances = gsub(pattern, "%%b", "")
    repeats = repeats + balances
    local limit = most_meetings / #pattern
    if find(pattern, "%%%d") then
      -- A capture is compared as a whole, at each position.
      limit = min(limit, most_meetings ^ 0.5)
    end
    if repeats > 0 or options > 10 then
      -- What is between the repetitions is tried as often as they are.
      limit = (1e6 / 2 ^ options / max(1, #pattern / 32)) ^ (1 / (repeats + 1))
    end
    if #pattern > 256 then
      return limit
    end
    if patterns >= 1000 then
      longest, patterns = {}, 0
    end
    longest[pattern], patterns = limit, patterns + 1
    return limit
  end

  local function is_slow_plain(text, piece)
    return type(text) == "string" and type(piece) == "string"
      and #text * #piece > most_meetings
  end

  local function is_slow(text, pattern)
    return type(text) == "string" and type(pattern) == "string"
      and #text > (longest[pattern] or longest_of(pattern))
  end

  local function captured(text, first, last, ...)
    if not first then
      return nil
    end
    if select("#", ...) == 0 then
      return sub(text, first, last)
    end
    return ...
  end

  function string.find(text, pattern, from, plain)
    if plain then
      if is_slow_plain(text, pattern) then
        return slow_find(text, pattern, from, true)
      end
    elseif is_slow(text, pattern) then
      return slow_find(text, pattern, from)
    end
    return find(text, pattern, from, plain)
  end

  function string.match(text, pattern, from)
    if is_slow(text, pattern) then
      return captured(text, slow_find(text, pattern, from))
    end
    return match(text, pattern, from)
  end

  function string.gmatch(text, pattern)
    if not is_slow(text, pattern) then
      return gmatch(text, pattern)
    end
    if sub(pattern, 1, 1) == "^" then
      -- Here the sign means itself.
      pattern = "%" .. pattern
    end
    local from = 1
    local function step(first, last, ...)
      if not first then
        from = #text + 2
        return nil
      end
      from = last >= first and last + 1 or first + 1
      return captured(text, first, last, ...)
    end
    return function()
      if from <= #text + 1 then
        return step(slow_find(text, pattern, from))
      end
    end
  end

  local function expand(template, text, first, last, captures)
    return (gsub(template, "%%(.)", function(sign)
      if sign == "0" then
        return sub(text, first, last)
      elseif find(sign, "%d") then
        local index = tonumber(sign)
        local value = captures[index]
        if value == nil and index == 1 then
          value = sub(text, first, last)
        end
        if value == nil then
          error("invalid capture index", 0)
        end
        return tostring(value)
      end
      return sign
    end))
  end

  local function replaced(text, replacement, first, last, captures)
    local whole = sub(text, first, last)
    local key = captures[1]
    if key == nil then
      key = whole
    end
    local value
    if type(replacement) == "function" then
      value = replacement(unpack(captures[1] == nil and { whole } or captures))
    elseif type(replacement) == "table" then
      value = replacement[key]
    else
      value = expand(tostring(replacement), text, first, last, captures)
    end
    if not value then
      return whole
    elseif type(value) ~= "string" and type(value) ~= "number" then
      error("invalid replacement value (a " .. type(value) .. ")", 0)
    end
    return value
  end

  local function slow_gsub(text, pattern, replacement, most)
    local pieces, from, count = {}, 1, 0
    local anchored = sub(pattern, 1, 1) == "^"
    while count < most and from <= #text + 1 do
      local found = { slow_find(text, pattern, from) }
      local first, last = found[1], found[2]
      if not first or anchored and first > 1 then
        break
      end
      count = count + 1
      pieces[#pieces + 1] = sub(text, from, first - 1)
      local captures = { select(3, unpack(found)) }
      pieces[#pieces + 1] = replaced(text, replacement, first, last, captures)
      if last >= first then
        from = last + 1
      else
        pieces[#pieces + 1] = sub(text, first, first)
        from = first + 1
      end
      if anchored then
        break
      end
    end
    pieces[#pieces + 1] = sub(text, from)
    return concat(pieces), count
  end

  -- Signs for captures may stand for nothing, so that no memory limit ends the work on them.
  local function is_slow_template(text, replacement)
    return type(text) == "string" and type(replacement) == "string"
      and #text * #replacement > most_meetings and find(replacement, "%", 1, true)
  end

  function string.gsub(text, pattern, replacement, most)
    local kind = type(replacement)
    if (is_slow(text, pattern) or is_slow_template(text, replacement))
      and (kind == "string" or kind == "number" or kind == "table" or kind == "function") then
      return slow_gsub(text, pattern, replacement, most or huge)
    end
    return gsub(text, pattern, replacement, most)
  end
end

-- Functions in C that call back into Lua use the C stack; each level checks what is left.
do
  local check = native.check_stack
  local gsub, sort, format = string.gsub, table.sort, string.format
  local resume, wrap = coroutine.resume, coroutine.wrap

  -- Tables and functions in C would be asked without an instruction where a cut can come.
  local function looked_up(values)
    return function(key)
      return values[key]
    end
  end

  local function called(body)
    return function(...)
      return body(...)
    end
  end

  function string.gsub(text, pattern, replacement, limit)
    local kind = type(replacement)
    if kind == "table" or kind == "function" then
      check()
      if type(text) == "string" and #text > 1e5 then
        replacement = kind == "table" and looked_up(replacement) or called(replacement)
      end
    end
    return gsub(text, pattern, replacement, limit)
  end

  local function less(a, b)
    return a < b
  end

  -- Short lists of short texts; what takes longer is compared where it can be cut.
  local function is_quick(list)
    local length = #list
    if length > 200 then
      return false
    end
    for i = 1, length do
      local item = rawget(list, i)
      if type(item) == "string" and #item > 1000 then
        return false
      end
    end
    return true
  end

  function table.sort(list, before)
    check()
    if type(list) == "table" and not is_quick(list) then
      if before == nil then
        before = less
      elseif type(before) == "function" then
        before = called(before)
      end
    end
    return sort(list, before)
  end

  function string.format(pattern, ...)
    for i = 1, select("#", ...) do
      if type((select(i, ...))) == "table" then
        check()
        break
      end
    end
    return format(pattern, ...)
  end

  function coroutine.resume(routine, ...)
    check()
    return textual(resume(routine, ...))
  end

  function coroutine.wrap(body)
    local run = wrap(body)
    return function(...)
      check()
      return run(...)
    end
  end
end

-- Modules: what the plugin ships, and nothing else.
local loaded = {
  _G = _G, string = string, table = table, math = math, os = os, bit = bit, jit = jit,
  coroutine = coroutine, ffi = ffi,
}
package = { loaded = loaded, preload = {}, path = "", cpath = "" }
local loading, ran = {}, {}

-- Where the last error in a module came up. Only text has its line with it.
local raised_at

local function note_place(problem)
  raised_at = native.place()
  return problem
end

local function run_module(name, chunk)
  loading[name], ran[name] = true, true
  local ok, value = raw_xpcall(chunk, note_place, name)
  loading[name] = nil
  if not ok then
    error(value, 0)
  end
  if value ~= nil then
    loaded[name] = value
  elseif loaded[name] == nil then
    loaded[name] = true
  end
  return loaded[name]
end

function require(name)
  if type(name) ~= "string" then
    error("require needs the name of a module, got " .. type(name), 2)
  end
  if loaded[name] ~= nil then
    return loaded[name]
  end
  local preload = package.preload
  local chunk = type(preload) == "table" and preload[name] or nil
  local own_name = name
  if chunk == nil then
    native.check_stack()
    local found, problem = module_named(name)
    if not found then
      error(problem, 2)
    end
    -- `a/b` is `a.b`, and `b` may be in `vendor`: one module, however it is asked for.
    own_name = found
  end
  if loading[own_name] then
    error("module '" .. name .. "' requires itself", 2)
  end
  if loaded[own_name] == nil then
    run_module(own_name, chunk or module_chunk(own_name))
  end
  loaded[name] = loaded[own_name]
  return loaded[name]
end

-- Runs one of the plugin's files, unless a `require` in another has run it already.
return function(name, chunk)
  if ran[name] then
    return
  end
  raised_at = nil
  local ok, problem = raw_pcall(run_module, name, chunk)
  if not ok then
    local text = tostring(problem)
    local has_place = type(problem) == "userdata" or find(text, "%.lua:%d")
    error((has_place or not raised_at) and problem or raised_at .. ": " .. text, 0)
  end
end

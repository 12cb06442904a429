-- Leaves a plugin only what it may use, and puts bounds where the libraries have none.
-- Arguments: the functions that the gateway provides, the source of a module by name, ffi or nil.
local native, module_chunk, ffi = ...

local type, error, select, tostring = type, error, select, tostring
local raw_pcall, raw_load = pcall, load
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

-- Only text is code.
function load(chunk, name, _, ...)
  if type(chunk) == "function" then
    chunk, name = whole(chunk), name or "=(load)"
  end
  if select("#", ...) > 0 then
    return raw_load(chunk, name, "t", (...))
  end
  return raw_load(chunk, name, "t")
end

function loadstring(text, name)
  return raw_load(text, name, "t")
end

-- The handler runs after the failed call is left: inside it the time limit could not cut.
local function handled(handler, ok, ...)
  if ok then
    return true, ...
  end
  return false, select(2, raw_pcall(handler, ...))
end

function xpcall(body, handler, ...)
  return handled(handler, raw_pcall(body, ...))
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

-- Functions in C that call back into Lua use the C stack; each level checks what is left.
do
  local check = native.check_stack
  local gsub, sort, format = string.gsub, table.sort, string.format
  local resume, wrap = coroutine.resume, coroutine.wrap

  function string.gsub(text, pattern, replacement, limit)
    if type(replacement) == "table" or type(replacement) == "function" then check() end
    return gsub(text, pattern, replacement, limit)
  end

  function table.sort(list, before)
    check()
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
    return resume(routine, ...)
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

local function run_module(name, chunk)
  loading[name], ran[name] = true, true
  local ok, value = raw_pcall(chunk, name)
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
  if loading[name] then
    error("module '" .. name .. "' requires itself", 2)
  end
  local preload = package.preload
  local chunk = type(preload) == "table" and preload[name] or nil
  if chunk == nil then
    native.check_stack()
    local problem
    chunk, problem = module_chunk(name)
    if chunk == nil then
      error(problem, 2)
    end
  end
  return run_module(name, chunk)
end

-- Runs one of the plugin's files, unless a `require` in another has run it already.
return function(name, chunk)
  if not ran[name] then
    run_module(name, chunk)
  end
end

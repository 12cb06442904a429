-- The modules `cjson` and `cjson.safe`, which Lua plugins of the original expect.
-- Arguments: the functions that the gateway provides, and the views.
local native, views = ...

local type, error, tostring, getmetatable = type, error, tostring, getmetatable
local next, pcall = views.raw_next, pcall
local complete, listed, object = views.complete, views.listed, views.object

local array_mt, empty_array_mt = {}, {}
native.mark(array_mt, "array")
native.mark(empty_array_mt, "empty array")

-- Views are empty until they are listed, wherever in a table they are.
local function complete_all(value, seen)
  seen[value] = true
  if getmetatable(value) then
    complete(value)
  end
  for _, inner in next, value do
    if inner == object then
      error("`object` can be encoded by itself or in parts, not within a table", 0)
    elseif type(inner) == "table" and not seen[inner] then
      complete_all(inner, seen)
    end
  end
end

local function encode_with(options, value)
  local text = native.encode_json(value, options, false)
  if text then
    return text
  end
  value = listed(value)
  complete_all(value, {})
  return native.encode_json(value, options, true)
end

local function check_flag(who, value, default)
  if value ~= nil and type(value) ~= "boolean" then
    error("bad argument #1 to '" .. who .. "' (true or false expected, got " .. tostring(value) .. ")", 3)
  end
  if value == nil then
    return default
  end
  return value
end

local function check_number(who, value, least, most)
  if type(value) ~= "number" or value < least or value > most or value % 1 ~= 0 then
    error("bad argument to '" .. who .. "' (a whole number from " .. least .. " to " .. most
      .. " expected, got " .. tostring(value) .. ")", 3)
  end
  return value
end

-- Settings are those of one copy of the module; each function gives back what holds now.
local function set(settings, key, value)
  if settings[key] ~= value then
    settings[key], settings.changed = value, true
  end
end

local function add_writing(cjson, writing)
  function cjson.encode_empty_table_as_object(flag)
    flag = check_flag("encode_empty_table_as_object", flag, not writing.empty_as_array)
    set(writing, "empty_as_array", not flag)
    return flag
  end

  function cjson.encode_escape_forward_slash(flag)
    flag = check_flag("encode_escape_forward_slash", flag, writing.escape_slash)
    set(writing, "escape_slash", flag)
    return flag
  end

  function cjson.encode_number_precision(digits)
    if digits ~= nil then
      set(writing, "precision", check_number("encode_number_precision", digits, 1, 17))
    end
    return writing.precision or 17
  end

  function cjson.encode_sparse_array(convert, ratio, safe)
    local who = "encode_sparse_array"
    set(writing, "sparse_convert", check_flag(who, convert, writing.sparse_convert))
    set(writing, "sparse_ratio", check_number(who, ratio or writing.sparse_ratio, 0, 2 ^ 31))
    set(writing, "sparse_safe", check_number(who, safe or writing.sparse_safe, 0, 2 ^ 31))
    return writing.sparse_convert, writing.sparse_ratio, writing.sparse_safe
  end

  function cjson.encode_max_depth(depth)
    set(writing, "max_depth", check_number("encode_max_depth", depth or writing.max_depth, 1, 200))
    return writing.max_depth
  end

  function cjson.encode_invalid_numbers(how)
    if how ~= nil and how ~= false and how ~= "null" then
      error("encode_invalid_numbers: JSON has no such numbers; give false or \"null\"", 2)
    elseif how ~= nil then
      set(writing, "invalid_as_null", how == "null")
    end
    return writing.invalid_as_null and "null" or false
  end

  -- There is no buffer to keep.
  function cjson.encode_keep_buffer(flag)
    return check_flag("encode_keep_buffer", flag, true)
  end
end

local function add_reading(cjson, reading)
  function cjson.decode_max_depth(depth)
    set(reading, "max_depth", check_number("decode_max_depth", depth or reading.max_depth, 1, 127))
    return reading.max_depth
  end

  function cjson.decode_array_with_array_mt(flag)
    local on = check_flag("decode_array_with_array_mt", flag, reading.array_mt ~= nil)
    set(reading, "array_mt", on and array_mt or nil)
    return on
  end

  function cjson.decode_invalid_numbers(flag)
    if flag then
      error("decode_invalid_numbers: JSON has no such numbers; give false", 2)
    end
    return false
  end
end

local function or_nil(ok, value)
  if ok then
    return value
  end
  return nil, value
end

local function new_module(is_safe)
  local writing = {
    empty_as_array = false, escape_slash = false, invalid_as_null = false, max_depth = 200,
    sparse_convert = false, sparse_ratio = 2, sparse_safe = 10,
  }
  local reading = { max_depth = 127 }
  local function encode(value)
    return encode_with(writing.changed and writing or nil, value)
  end
  local function decode(text)
    return native.decode_json(text, reading.changed and reading or nil)
  end
  local cjson = {
    _NAME = "cjson", _VERSION = "2.1.0", encode = encode, decode = decode, null = native.null,
    empty_array = native.empty_array, array_mt = array_mt, empty_array_mt = empty_array_mt,
  }
  if is_safe then
    cjson._NAME = "cjson.safe"
    function cjson.encode(value)
      return or_nil(pcall(encode, value))
    end
    function cjson.decode(text)
      return or_nil(pcall(decode, text))
    end
  end
  add_writing(cjson, writing)
  add_reading(cjson, reading)
  function cjson.new()
    return new_module(is_safe)
  end
  return cjson
end

package.loaded.cjson, package.loaded["cjson.safe"] = new_module(false), new_module(true)

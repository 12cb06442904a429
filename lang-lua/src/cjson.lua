-- The modules `cjson` and `cjson.safe`, which Lua plugins of the original expect.
-- Arguments: the functions that the gateway provides, and one that fills a view.
local native, complete = ...

local type, getmetatable, next = type, getmetatable, next

local function encode(value)
  if type(value) == "table" and getmetatable(value) then
    complete(value)
    for _, inner in next, value do
      if type(inner) == "table" and getmetatable(inner) then
        complete(inner)
      end
    end
  end
  return native.encode_json(value)
end

local null = native.decode_json("null")
local loaded = package.loaded
loaded.cjson = { encode = encode, decode = native.decode_json, null = null }

local pcall = pcall

local function or_nil(ok, value)
  if ok then
    return value
  end
  return nil, value
end

loaded["cjson.safe"] = {
  encode = function(value)
    return or_nil(pcall(encode, value))
  end,
  decode = function(text)
    return or_nil(pcall(native.decode_json, text))
  end,
  null = null,
}

-- Bodies on their way up: card numbers leave JSON, uploads get a header with a checksum.

-- Settings of its own: an empty JSON array has to stay one, and not become an object.
local cjson = require("cjson").new()
cjson.decode_array_with_array_mt(true)

local magic = "UPL1"

-- `value` with every card number in it cut down to its last four digits.
local function masked(value)
  if type(value) ~= "table" then
    return value
  end
  for key, inner in pairs(value) do
    if key == "card_number" then
      value[key] = ("*"):rep(12) .. tostring(inner):sub(-4)
    else
      value[key] = masked(inner)
    end
  end
  return value
end

function MaskCards(request, session, spec)
  local kind = request:get_header("Content-Type") or ""
  if kind:sub(1, 16) ~= "application/json" then
    return request, session
  end
  local ok, order = pcall(cjson.decode, request.raw_body)
  if not ok then
    request.return_overrides.response_code = 400
    request.return_overrides.response_error = "The body is not JSON"
    return request, session
  end
  request.raw_body = cjson.encode(masked(order))
  return request, session
end

local function adler32(text)
  local a, b = 1, 0
  for i = 1, #text do
    a = (a + text:byte(i)) % 65521
    b = (b + a) % 65521
  end
  return b * 65536 + a
end

local function big_endian(number)
  local bytes = {}
  for place = 4, 1, -1 do
    bytes[place] = string.char(number % 256)
    number = math.floor(number / 256)
  end
  return table.concat(bytes)
end

function FrameUpload(request, session, spec)
  if request:get_header("Content-Type") == "application/octet-stream" then
    local body = request.raw_body
    request.raw_body = magic .. big_endian(#body) .. big_endian(adler32(body)) .. body
    request:set_header("Content-Type", "application/x-framed-upload")
  end
  return request, session
end

-- The table `tyk`.
-- Arguments: the functions that the gateway provides, one for the view of the request, and what
-- lists views in full.
local native, current, fills = ...

local tostring, rawget, rawset = tostring, rawget, rawset

local tyk = {}
_G.tyk = tyk

-- What a plugin notes in `tyk.session` is of one request, and often of one client. It is made
-- when it is first asked for.
local meta = {}

function meta.__index(_, field)
  if field == "session" then
    local session = {}
    rawset(tyk, field, session)
    return session
  end
end

fills[meta] = function()
  return tyk.session
end

setmetatable(tyk, meta)

tyk.req = {
  get_headers = function()
    return current().headers
  end,
  get_header = function(name)
    return current():get_header(name)
  end,
  set_header = function(name, value)
    current():set_header(name, value)
  end,
  clear_header = function(name)
    current():delete_header(name)
  end,
  start_time = native.start_time,
  http_version = native.http_version,
}

function tyk.log(message, level)
  native.log(tostring(message), level or "info")
end

function tyk.log_error(message)
  native.log(tostring(message), "error")
end

function tyk.store_data(key, value, ttl)
  return native.store_data(key, value, ttl or 0)
end

tyk.get_data = native.get_data
tyk.trigger_event = native.trigger_event

return function()
  if rawget(tyk, "session") ~= nil then
    rawset(tyk, "session", nil)
  end
  if rawget(tyk, "header") ~= nil then
    rawset(tyk, "header", nil)
  end
end

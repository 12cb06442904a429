-- The table `tyk`.
-- Arguments: the functions that the gateway provides, and one for the view of the request.
local native, current = ...

local tostring, rawset = tostring, rawset

local tyk = { session = {} }
_G.tyk = tyk

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

-- What a plugin notes in it is of one request, and often of one client.
return function()
  rawset(tyk, "session", {})
  rawset(tyk, "header", nil)
end

-- What a hook sees: request, response, session, metadata, spec, and the global `object` that has
-- all of them. Nothing is converted before it is read.
-- Arguments: the functions that the gateway provides, and the code of the table `tyk`.
local native, make_tyk = ...

local type, error, tostring, setmetatable = type, error, tostring, setmetatable
local next, rawget, rawset = next, rawget, rawset
local getmetatable, globals = getmetatable, _G

local ended = " of a call that has ended"

-- The views of the call that goes on, and what was assigned to its maps. A new table with each
-- call, so that what a plugin keeps of one call never shows or changes another's values.
local live = {}

local function live_request()
  local request = live.request
  if not request then
    error("no request is being handled", 3)
  end
  return request
end

local renew_tyk = make_tyk(native, live_request)

local function begin(views)
  live = views
  renew_tyk()
end

-- === fields: scalars are read each time, tables are kept in the view ===

local function reader(what, methods, scalars, tables)
  return function(view, field)
    local method = methods[field]
    if method then
      return method
    end
    if view ~= live[what] then
      error("this is the " .. what .. ended, 2)
    end
    local scalar = scalars[field]
    if scalar then
      return scalar()
    end
    local make = tables[field]
    if make then
      return make(view, field)
    end
  end
end

local function keep(read)
  return function(view, field)
    local value = read()
    rawset(view, field, value)
    return value
  end
end

-- === maps: a value is fetched when it is read, what is assigned is kept beside the map ===

local fills = {}

local function same(key)
  return key
end

-- `one` fetches a value by key, `all` a table of all. Once a map has to be complete, because
-- it is listed or an entry is deleted, it becomes a plain table. `name_of` is for maps whose
-- keys mean the same in any case; they keep `plain_meta`.
local function map_meta(slot, one, all, name_of, plain_meta)
  local meta = {}
  name_of = name_of or same

  local function check(map)
    if map ~= live[slot] then
      error("these are the " .. slot .. ended, 3)
    end
  end

  fills[meta] = function(map)
    check(map)
    local values, assigned = all(), live[meta]
    setmetatable(map, plain_meta)
    for key, value in next, values do
      rawset(map, key, value)
    end
    if assigned then
      for key, value in next, assigned do
        rawset(map, key, value)
      end
    end
  end

  function meta.__index(map, key)
    check(map)
    key = name_of(key)
    local assigned = live[meta]
    local value = assigned and assigned[key]
    if value ~= nil then
      return value
    elseif type(key) == "string" then
      return one(key)
    end
  end

  function meta.__newindex(map, key, value)
    check(map)
    key = name_of(key)
    local assigned = live[meta]
    if value == nil then
      fills[meta](map)
      rawset(map, key, nil)
    elseif assigned then
      assigned[key] = value
    else
      live[meta] = { [key] = value }
    end
  end

  return meta
end

local function map_reader(slot, meta)
  return function(view, field)
    local map = setmetatable({}, meta)
    live[slot], live[meta] = map, nil
    rawset(view, field, map)
    return map
  end
end

local set_headers_meta =
  map_meta("headers to set", native.set_header_value, native.set_headers)
local add_params_meta =
  map_meta("parameters to add", native.add_param_value, native.add_params)
local headers_meta = map_meta("request headers", native.get_header, native.headers)

local function header_name(name)
  return type(name) == "string" and native.header_name(name) or name
end

-- Response headers that were listed: still the same in any case.
local listed_meta = {}

function listed_meta.__index(map, name)
  return rawget(map, header_name(name))
end

function listed_meta.__newindex(map, name, value)
  rawset(map, header_name(name), value)
end

local response_headers_meta = map_meta("response headers", native.response_header,
  native.response_headers, header_name, listed_meta)
local metadata_meta = map_meta("metadata", native.metadata_value, function()
  return native.session_field("metadata")
end)
local spec_meta = map_meta("spec entries", native.spec_value, native.spec)

local Request = {}

local function check(request)
  if request ~= live.request then
    error("this is the request" .. ended, 3)
  end
end

function Request.get_header(request, name)
  check(request)
  return native.get_header(name)
end

function Request.set_header(request, name, value)
  check(request)
  local set = rawget(request, "set_headers")
  if set then
    set[name] = value
  else
    native.set_header(name, value)
  end
end

local function append_to(field, add)
  return function(request, name)
    check(request)
    local list = rawget(request, field)
    if list then
      list[#list + 1] = name
    else
      add(name)
    end
  end
end

Request.delete_header = append_to("delete_headers", native.delete_header)
Request.delete_param = append_to("delete_params", native.delete_param)
Request.add_header = Request.set_header

function Request.add_param(request, name, value)
  check(request)
  local add = rawget(request, "add_params")
  if add then
    add[name] = value
  else
    native.add_param(name, value)
  end
end

local request_tables = {
  headers = map_reader("request headers", headers_meta),
  params = keep(native.params),
  set_headers = map_reader("headers to set", set_headers_meta),
  delete_headers = keep(native.delete_headers),
  add_params = map_reader("parameters to add", add_params_meta),
  extended_params = keep(native.extended_params),
  delete_params = keep(native.delete_params),
  return_overrides = keep(native.return_overrides),
  multivalue_headers = keep(native.request_multivalue_headers),
}

local request_scalars = {
  url = native.url,
  method = native.method,
  request_uri = native.request_uri,
  scheme = native.scheme,
  body = native.body,
  raw_body = native.raw_body,
  client_address = native.client_address,
  listen_path = native.listen_path,
  request_id = native.request_id,
}

local response_scalars = {
  status_code = native.status_code,
  body = native.response_body,
  raw_body = native.response_raw_body,
}

local response_tables = {
  headers = map_reader("response headers", response_headers_meta),
  multivalue_headers = keep(native.multivalue_headers),
}

local session_metadata = map_reader("metadata", metadata_meta)

local function session_field(session, field)
  if field == "metadata" then
    return session_metadata(session, field)
  end
  local value = native.session_field(field)
  if type(value) == "table" then
    rawset(session, field, value)
  end
  return value
end

local request_meta = { __index = reader("request", Request, request_scalars, request_tables) }
local response_meta = { __index = reader("response", {}, response_scalars, response_tables) }
local session_meta = {
  __index = function(session, field)
    if session ~= live.session then
      error("this is the session" .. ended, 2)
    end
    return session_field(session, field)
  end,
}

-- === the global `object`: one table for all calls, which holds nothing itself ===

local object_fields = {
  hook_type = native.hook_type,
  hook_name = native.hook_name,
  request = live_request,
  response = function()
    return live.response
  end,
  session = function()
    return live.session
  end,
  metadata = function()
    return live.session.metadata
  end,
  spec = function()
    return live["spec entries"]
  end,
}

local object_meta = {}

function object_meta.__index(_, field)
  local read = object_fields[field]
  if read then
    live_request()
    return read()
  end
end

function object_meta.__newindex(_, field)
  error("`object." .. tostring(field) .. "` cannot be assigned; change its fields, or return another table", 2)
end

local object = setmetatable({}, object_meta)
rawset(globals, "object", object)

local function object_copy()
  live_request()
  local copy = {}
  for field, read in next, object_fields do
    copy[field] = read()
  end
  return copy
end

-- === listing a view shows all of it ===

local function complete_fields(...)
  local lists = { ... }
  return function(view)
    for _, fields in next, lists do
      for field in next, fields do
        if rawget(view, field) == nil then
          rawset(view, field, view[field])
        end
      end
    end
  end
end

fills[request_meta] = complete_fields(request_scalars, request_tables)
fills[response_meta] = complete_fields(response_scalars, response_tables)
fills[session_meta] = function(view)
  for _, field in next, native.session_fields() do
    if rawget(view, field) == nil then
      rawset(view, field, view[field])
    end
  end
end

local function complete(view)
  local fill = fills[getmetatable(view)]
  if fill then
    fill(view)
  end
end

-- `object` stays empty, so what is listed is a copy.
local function listed(view)
  if view == object then
    return object_copy()
  end
  if getmetatable(view) then
    complete(view)
  end
  return view
end

function globals.pairs(view)
  if type(view) ~= "table" then
    error("bad argument #1 to 'pairs' (table expected, got " .. type(view) .. ")", 2)
  end
  if getmetatable(view) then
    view = listed(view)
  end
  return next, view, nil
end

function globals.next(view, key)
  if view == object or key == nil and type(view) == "table" and getmetatable(view) then
    view = listed(view)
  end
  return next(view, key)
end

for meta in next, fills do
  native.mark(meta, "view")
end
native.mark(object_meta, "view")

-- === for the code that takes back what a hook changed ===

-- What was only added to is added; what was listed or assigned counts as a whole.
local function put_map(slot, meta, put)
  return function(map)
    if type(map) ~= "table" or getmetatable(map) ~= meta then
      if type(map) == "table" then
        complete(map)
      end
      put(map, true)
    elseif map ~= live[slot] then
      error("these are the " .. slot .. ended, 0)
    elseif live[meta] then
      put(live[meta], false)
    end
  end
end

return {
  begin = begin, complete = complete, listed = listed, object = object, put_map = put_map,
  session_metadata = session_metadata, raw_next = next,
  request_meta = request_meta, response_meta = response_meta, session_meta = session_meta,
  spec_meta = spec_meta, metadata_meta = metadata_meta, set_headers_meta = set_headers_meta,
  add_params_meta = add_params_meta, response_headers_meta = response_headers_meta,
}

-- What a hook sees: request, response, session, metadata, spec, and the global `object` that has
-- all of them. Nothing is converted before it is read.
-- Arguments: the functions that the gateway provides, and the code of the table `tyk`.
local native, make_tyk = ...

local type, error, tostring, setmetatable = type, error, tostring, setmetatable
local next, rawget, rawset = next, rawget, rawset
local getmetatable, globals = getmetatable, _G

local ended = " of a call that has ended"

-- The views of the call that goes on. They are new with each call, but for the spec of an API, so
-- that what a plugin keeps of one call never shows or changes another's values.
local live_request, live_response, live_session, live_spec

local function current_request()
  if not live_request then
    error("no request is being handled", 3)
  end
  return live_request
end

-- What lists a view in full, by the view's metatable.
local fills = {}

local renew_tyk = make_tyk(native, current_request, fills)

local function keep(read)
  return function(view, field)
    local value = read()
    rawset(view, field, value)
    return value
  end
end

-- === maps: a value is fetched when it is read, what is assigned is kept beside the map ===

local function same(key)
  return key
end

-- `one` fetches a value by key, `all` a table of all, `put` takes back what was changed. Once a
-- map has to be complete, because it is listed or an entry is deleted, it becomes a plain table.
-- `name_of` is for maps whose keys mean the same in any case; they keep `plain_meta`.
local function new_map(slot, one, all, put, name_of, plain_meta)
  local meta = {}
  name_of = name_of or same
  -- The map of the call that goes on, and what was assigned to it. No plugin sees that table,
  -- so it is used again: what each call throws away is what the collector has to do.
  local live
  local assigned, is_assigned = {}, false

  local function clear()
    local count = 0
    for key in next, assigned do
      assigned[key] = nil
      count = count + 1
    end
    -- One that has become large would stay so.
    if count > 32 then
      assigned = {}
    end
    is_assigned = false
  end

  local function check(map)
    if map ~= live then
      error("these are the " .. slot .. ended, 3)
    end
  end

  fills[meta] = function(map)
    check(map)
    local values = all()
    setmetatable(map, plain_meta)
    for key, value in next, values do
      rawset(map, key, value)
    end
    if is_assigned then
      for key, value in next, assigned do
        rawset(map, key, value)
      end
    end
  end

  function meta.__index(map, key)
    check(map)
    key = name_of(key)
    if is_assigned then
      local value = assigned[key]
      if value ~= nil then
        return value
      end
    end
    if type(key) == "string" then
      return one(key)
    end
  end

  function meta.__newindex(map, key, value)
    check(map)
    key = name_of(key)
    if value == nil then
      fills[meta](map)
      rawset(map, key, nil)
    else
      assigned[key] = value
      is_assigned = true
    end
  end

  local function make()
    if is_assigned then
      clear()
    end
    live = setmetatable({}, meta)
    return live
  end

  return {
    meta = meta,
    make = make,
    -- The map of the call before, which would show the same, unless it has entries of its own.
    keep = function()
      if not live or getmetatable(live) ~= meta or next(live) ~= nil then
        return make()
      end
      if is_assigned then
        clear()
      end
      return live
    end,
    reset = function()
      if is_assigned then
        clear()
      end
      live = nil
    end,
    read = function(view, field)
      local map = make()
      rawset(view, field, map)
      return map
    end,
    -- What was only added to is added; what was listed or assigned counts as a whole.
    take = function(map)
      if type(map) ~= "table" or getmetatable(map) ~= meta then
        local fill = type(map) == "table" and fills[getmetatable(map)]
        if fill then
          fill(map)
        end
        put(map, true)
      elseif map ~= live then
        error("these are the " .. slot .. ended, 0)
      elseif is_assigned then
        put(assigned, false)
      end
    end,
  }
end

local set_headers = new_map("headers to set", native.set_header_value, native.set_headers,
  native.put_set_headers)
local add_params = new_map("parameters to add", native.add_param_value, native.add_params,
  native.put_add_params)
local request_headers = new_map("request headers", native.get_header, native.headers)

-- Names that plugins have used, as they are known.
local known_names, known = {}, 0

local function header_name(name)
  local known_name = known_names[name]
  if known_name or type(name) ~= "string" then
    return known_name or name
  end
  known_name = native.header_name(name)
  if #name <= 256 then
    if known >= 1000 then
      known_names, known = {}, 0
    end
    known_names[name], known = known_name, known + 1
  end
  return known_name
end

-- Response headers that were listed: still the same in any case.
local listed_meta = {}

function listed_meta.__index(map, name)
  return rawget(map, header_name(name))
end

function listed_meta.__newindex(map, name, value)
  rawset(map, header_name(name), value)
end

local response_headers = new_map("response headers", native.response_header,
  native.response_headers, native.put_response_headers, header_name, listed_meta)
local metadata = new_map("metadata", native.metadata_value, function()
  return native.session_field("metadata")
end, native.put_metadata)
local spec_entries = new_map("spec entries", native.spec_value, native.spec)

-- Makes the views of a new call. Those of the call before end.
local make_spec, keep_spec, reset_spec = spec_entries.make, spec_entries.keep, spec_entries.reset
local reset_metadata = metadata.reset
local reset_set_headers, reset_add_params = set_headers.reset, add_params.reset
local reset_request_headers, reset_response_headers =
  request_headers.reset, response_headers.reset

-- The session's metadata as an argument of the hook, and whether it was shown as a field too.
local live_metadata, is_metadata_shown

-- `is_same_spec` says that the call before was one for the same API.
local function begin(request, response, session, is_same_spec)
  live_request, live_response, live_session = request, response, session
  if session then
    live_spec = is_same_spec and keep_spec() or make_spec()
  else
    live_spec = nil
    reset_spec()
  end
  live_metadata, is_metadata_shown = nil, false
  reset_request_headers()
  reset_set_headers()
  reset_add_params()
  reset_response_headers()
  reset_metadata()
  renew_tyk()
  return live_spec
end

local Request = {}

local function check(request)
  if request ~= live_request then
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
  headers = request_headers.read,
  params = keep(native.params),
  set_headers = set_headers.read,
  delete_headers = keep(native.delete_headers),
  add_params = add_params.read,
  extended_params = keep(native.extended_params),
  delete_params = keep(native.delete_params),
  return_overrides = keep(native.return_overrides),
  multivalue_headers = keep(native.request_multivalue_headers),
  client_certificate = keep(native.client_certificate),
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
  headers = response_headers.read,
  multivalue_headers = keep(native.multivalue_headers),
}

-- Scalars are read each time, tables are kept in the view.
local function read_field(view, field, scalars, tables)
  local scalar = scalars[field]
  if scalar then
    return scalar()
  end
  local make = tables[field]
  if make then
    return make(view, field)
  end
end

local request_meta, response_meta, session_meta = {}, {}, {}

function request_meta.__index(view, field)
  local method = Request[field]
  if method then
    return method
  end
  if view ~= live_request then
    error("this is the request" .. ended, 2)
  end
  return read_field(view, field, request_scalars, request_tables)
end

function response_meta.__index(view, field)
  if view ~= live_response then
    error("this is the response" .. ended, 2)
  end
  return read_field(view, field, response_scalars, response_tables)
end

-- For a hook's argument. As a field it is shown when it is asked for, which few hooks do.
local function metadata_argument()
  live_metadata = metadata.make()
  return live_metadata
end

function session_meta.__index(session, field)
  if session ~= live_session then
    error("this is the session" .. ended, 2)
  end
  if field == "metadata" then
    if is_metadata_shown or not live_metadata then
      return metadata.read(session, field)
    end
    is_metadata_shown = true
    rawset(session, field, live_metadata)
    return live_metadata
  end
  local value = native.session_field(field)
  if type(value) == "table" then
    rawset(session, field, value)
  end
  return value
end

-- The metadata that a session has at the end of a call, if it was looked at.
local function metadata_of(session)
  local shown = rawget(session, "metadata")
  if shown == nil and session == live_session and not is_metadata_shown then
    return live_metadata
  end
  return shown
end

-- === the global `object`: one table for all calls, which holds nothing itself ===

local object_fields = {
  hook_type = native.hook_type,
  hook_name = native.hook_name,
  request = current_request,
  response = function()
    return live_response
  end,
  session = function()
    return live_session
  end,
  metadata = function()
    return live_session.metadata
  end,
  spec = function()
    return live_spec
  end,
}

local object_meta = {}

function object_meta.__index(_, field)
  local read = object_fields[field]
  if read then
    current_request()
    return read()
  end
end

function object_meta.__newindex(_, field)
  error("`object." .. tostring(field) .. "` cannot be assigned; change its fields, or return another table", 2)
end

local object = setmetatable({}, object_meta)
rawset(globals, "object", object)

local function object_copy()
  current_request()
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

return {
  begin = begin, complete = complete, listed = listed, object = object, raw_next = next,
  metadata_argument = metadata_argument, metadata_of = metadata_of,
  request_meta = request_meta, response_meta = response_meta, session_meta = session_meta,
  take_metadata = metadata.take, take_set_headers = set_headers.take,
  take_add_params = add_params.take, take_response_headers = response_headers.take,
}

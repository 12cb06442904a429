-- One call of a hook: makes the views, calls the function, takes back what it changed. Only
-- what was touched is looked at.
-- Arguments: the functions that the gateway provides, and the views.
local native, views = ...

local type, error, tostring, setmetatable = type, error, tostring, setmetatable
-- The global `next` lists views in full by now.
local next, rawget, globals = views.raw_next, rawget, _G
local begin, complete = views.begin, views.complete
local metadata_argument, metadata_of = views.metadata_argument, views.metadata_of
local request_meta, response_meta = views.request_meta, views.response_meta
local session_meta = views.session_meta

-- === taking back what the hook changed ===

local take_metadata, take_response_headers = views.take_metadata, views.take_response_headers

local request_setters = {
  set_headers = views.take_set_headers,
  delete_headers = native.put_delete_headers,
  add_params = views.take_add_params,
  extended_params = native.put_extended_params,
  delete_params = native.put_delete_params,
  return_overrides = native.put_return_overrides,
  url = native.put_url,
  method = native.put_method,
  raw_body = native.put_raw_body,
}

-- Showing them is all that they are for: changes have no effect, as in the original.
-- Of the two forms of the body only the bytes count, so that a plugin which edits both does
-- what it does elsewhere.
local request_fixed = {
  headers = true, params = true, request_uri = true, scheme = true, body = true,
  multivalue_headers = true, client_address = true, listen_path = true, request_id = true,
  client_certificate = true,
}

-- A table that was read from JSON has this where a field has no value.
local null = native.null

local function unknown(what, field)
  error(what .. " has no field `" .. tostring(field) .. "`", 0)
end

local field_types = {
  set_headers = "table", delete_headers = "table", add_params = "table",
  extended_params = "table", delete_params = "table", return_overrides = "table",
  url = "string", method = "string", raw_body = "string",
  status_code = "number", headers = "table", multivalue_headers = "table",
}

local function check_type(what, field, value)
  local expected, got = field_types[field], type(value)
  if got ~= expected and not (got == "number" and expected == "string") then
    error(what .. "." .. field .. ": a " .. expected .. " is expected, got a " .. got, 0)
  end
end

local function take_request(request)
  for field, value in next, request do
    local set = request_setters[field]
    if set then
      if value ~= null then
        check_type("request", field, value)
        set(value)
      end
    elseif not request_fixed[field] then
      unknown("request", field)
    end
  end
end

local function take_session(session)
  for field, value in next, session do
    if value ~= null and (field ~= "metadata" or type(value) ~= "table") then
      native.put_session_field(field, value)
    end
  end
  local metadata = metadata_of(session)
  if type(metadata) == "table" then
    take_metadata(metadata)
  end
end

local function take_response(response)
  for field, value in next, response do
    if value == null then
      -- As if it were not there.
    elseif field == "status_code" then
      check_type("response", field, value)
      native.put_status_code(value)
    elseif field == "raw_body" then
      check_type("response", field, value)
      native.put_response_body(value)
    elseif field ~= "body" and field ~= "headers" and field ~= "multivalue_headers" then
      unknown("response", field)
    end
  end
  -- The other form first: what is set in `headers` afterwards is set beside it.
  local multivalue = rawget(response, "multivalue_headers")
  if multivalue ~= nil and multivalue ~= null then
    check_type("response", "multivalue_headers", multivalue)
    native.put_multivalue_headers(multivalue)
  end
  local headers = rawget(response, "headers")
  if headers ~= nil and headers ~= null then
    check_type("response", "headers", headers)
    take_response_headers(headers)
  end
end

local function wrong_return(name, index, value, expected)
  local got = value == nil and "nothing" or "a " .. type(value)
  if type(value) == "table" then
    got = "the session"
  end
  local which = index == 1 and "returned " or "returned as value " .. index .. " "
  error("hook `" .. name .. "` " .. which .. got .. "; expected `return " .. expected .. "`", 0)
end

-- === one call ===

local function handler_of(name)
  local handler = rawget(globals, name)
  if type(handler) ~= "function" then
    error("`" .. name .. "` is no longer a function", 0)
  end
  return handler
end

local function call_request_hook(name, is_same_spec)
  local handler = handler_of(name)
  local view = setmetatable({}, request_meta)
  local session_view = setmetatable({}, session_meta)
  local spec = begin(view, nil, session_view, is_same_spec)
  local request, session = handler(view, session_view, spec)
  if type(request) ~= "table" or request == session_view then
    wrong_return(name, 1, request, "request, session")
  end
  take_request(request)
  if session ~= nil then
    if type(session) ~= "table" then
      wrong_return(name, 2, session, "request, session")
    end
    take_session(session)
  end
end

local function call_auth_hook(name, is_same_spec)
  local handler = handler_of(name)
  local view = setmetatable({}, request_meta)
  local session_view = setmetatable({}, session_meta)
  local spec = begin(view, nil, session_view, is_same_spec)
  -- As in the other languages, `metadata` is the session's own.
  local metadata_view = metadata_argument()
  local request, session, metadata = handler(view, session_view, metadata_view, spec)
  local expected = "request, session, metadata"
  if type(request) ~= "table" or request == session_view then
    wrong_return(name, 1, request, expected)
  end
  if session ~= nil and type(session) ~= "table" then
    wrong_return(name, 2, session, expected)
  end
  if metadata ~= nil and type(metadata) ~= "table" then
    wrong_return(name, 3, metadata, expected)
  end
  take_request(request)
  if session == nil then
    native.drop_session()
  else
    native.make_session()
    take_session(session)
    if metadata and metadata ~= metadata_of(session) then
      complete(metadata)
      native.put_metadata(metadata, false)
    end
  end
end

local function call_response_hook(name, is_same_spec)
  local handler = handler_of(name)
  local view = setmetatable({}, request_meta)
  local response_view = setmetatable({}, response_meta)
  local session_view = setmetatable({}, session_meta)
  local spec = begin(view, response_view, session_view, is_same_spec)
  local metadata_view = metadata_argument()
  local response = handler(view, response_view, session_view, metadata_view, spec)
  if type(response) ~= "table" then
    wrong_return(name, 1, response, "response")
  end
  if response == view then
    -- `return request, session`, as the other hooks do: the response was edited in place.
    response = response_view
  end
  take_response(response)
end

local function call_event_handler(name, event, spec)
  begin()
  handler_of(name)(event, spec)
end

return call_request_hook, call_auth_hook, call_response_hook, call_event_handler

-- The work of the shared benchmark's scenarios P1 to P4, as a plugin author would write it.
local cjson = require("cjson")

function HookP1(request, session, spec)
  if request:get_header("X-Client") == "block" then
    request.return_overrides.response_code = 403
    return request, session
  end
  request:set_header("X-Plugin", "on")
  return request, session
end

function HookP2(request, session, metadata, spec)
  local authorization = request:get_header("Authorization")
  local user = authorization and tokens[string.sub(authorization, 8)]
  if not user then
    local overrides = request.return_overrides
    overrides.response_code = 403
    overrides.override_error = true
    overrides.response_body = cjson.encode({ error = "forbidden" })
    overrides.headers["Content-Type"] = "application/json"
    return request, session, metadata
  end
  metadata["token"] = user
  request:set_header("X-User", user)
  return request, session, metadata
end

function HookP3(request, session, spec)
  local document = cjson.decode(request.raw_body)
  document.gateway = "lua"
  request.raw_body = cjson.encode(document)
  return request, session
end

function HookP4(request, response, session, metadata, spec)
  response.headers["X-Gateway"] = "peer"
  response.headers["Cache-Control"] = "private, " .. (response.headers["Cache-Control"] or "")
  return response
end

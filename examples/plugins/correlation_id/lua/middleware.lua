-- One id for a request, from the client through all servers and back.
--
-- A client's own id is kept when it looks like one; else the gateway's request id is used.

local header = "X-Correlation-Id"

local function usable(value)
  return #value >= 8 and #value <= 64 and not value:find("[^%w._-]")
end

function EnsureId(request, session, spec)
  local given = request:get_header(header) or ""
  request:set_header(header, usable(given) and given or request.request_id)
  return request, session
end

function LogId(request, session, spec)
  tyk.log(("%s %s %s"):format(request:get_header(header), request.method, request.url), "info")
  return request, session
end

function ReturnId(request, response, session, metadata, spec)
  response.headers[header] = request:get_header(header)
  return response
end

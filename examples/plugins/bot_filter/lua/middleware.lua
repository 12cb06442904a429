-- Turns away bots before anything else looks at them.
--
-- `config_data`: `{"refuse_at": 70}` refuses scores of 70 and more.

local cjson = require("cjson")
local rules = require("rules")

function FilterBots(request, session, spec)
  local refuse_at = 70
  if spec.config_data then
    refuse_at = cjson.decode(spec.config_data).refuse_at or refuse_at
  end
  local path = request.url:match("^[^?]*")
  local inner = "/" .. path:sub(#request.listen_path + 1):gsub("^/+", "")
  local points = rules.score(request:get_header("User-Agent") or "", inner)
  if points >= refuse_at then
    local overrides = request.return_overrides
    overrides.response_code = 403
    overrides.override_error = true
    overrides.headers["Content-Type"] = "application/problem+json"
    overrides.response_body = cjson.encode({
      title = "Automated access is not allowed",
      status = 403,
      score = points,
    })
    tyk.trigger_event("BotRefused", request.client_address)
  else
    request:set_header("X-Bot-Score", tostring(points))
  end
  return request, session
end

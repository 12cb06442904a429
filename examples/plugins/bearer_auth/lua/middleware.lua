-- Bearer tokens: who may call, at what rate, and for how long the answer is remembered.
--
-- `config_data` of the API lists the accounts:
--
--     {"accounts": {"<token>": {"owner": "ada", "plan": "gold"}}, "remember_seconds": 60}

local cjson = require("cjson")

-- Requests per second, and requests per day.
local plans = { gold = { 100, 1000000 }, free = { 2, 1000 } }
local day = 24 * 60 * 60

local function bearer(header)
  local scheme, token = (header or ""):match("^(%S+)%s+(%S+)%s*$")
  return scheme and scheme:lower() == "bearer" and token or nil
end

local function same(one, other)
  -- In constant time, so that an answer's delay tells nothing.
  if #one ~= #other then
    return false
  end
  local difference = 0
  for i = 1, #one do
    difference = bit.bor(difference, bit.bxor(one:byte(i), other:byte(i)))
  end
  return difference == 0
end

local function account_of(token, accounts)
  local found
  for known, account in pairs(accounts) do
    if same(known, token) then
      found = account
    end
  end
  return found
end

function CheckBearer(request, session, metadata, spec)
  local config = cjson.decode(spec.config_data)
  local token = bearer(request:get_header("Authorization"))
  local account = token and account_of(token, config.accounts)
  if not account then
    local overrides = request.return_overrides
    overrides.response_code = 401
    overrides.response_error = "A bearer token is required"
    overrides.headers["WWW-Authenticate"] = ('Bearer realm="%s"'):format(spec.APIID)
    tyk.log("bearer token was not accepted", "info")
    return request, session, metadata
  end

  local plan = account.plan or "free"
  session.rate, session.per = plans[plan][1], 1
  session.quota_max, session.quota_renewal_rate = plans[plan][2], day
  session.alias = account.owner
  session.tags = { "plan-" .. plan }
  session.access_rights = {
    [spec.APIID] = { api_id = spec.APIID, versions = { "Default" } },
  }
  session.id_extractor_deadline = os.time() + (config.remember_seconds or 60)
  metadata.token = token
  metadata.owner = account.owner
  return request, session, metadata
end

function NameOwner(request, session, spec)
  request:set_header("X-Owner", session.metadata.owner)
  request:set_header("X-Plan", table.concat(session.tags, ","))
  request:delete_header("Authorization")
  return request, session
end

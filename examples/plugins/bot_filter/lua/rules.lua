-- What makes a client look like a bot. Only data and one function; no gateway in here.

local known = { "curl", "python-requests", "scrapy", "headlesschrome", "sqlmap" }
local welcome = { "googlebot", "bingbot" }
local probes = { "/.env", "/wp-login.php", "/.git/" }

local function contains_one(text, names)
  for _, name in ipairs(names) do
    if text:find(name, 1, true) then
      return true
    end
  end
  return false
end

local rules = {}

-- From 0, a person, to 100, certainly a bot.
function rules.score(user_agent, path)
  local agent = user_agent:lower()
  for _, probe in ipairs(probes) do
    if path:sub(1, #probe) == probe then
      return 100
    end
  end
  if contains_one(agent, welcome) then
    return 0
  end
  if agent == "" then
    return 80
  end
  return contains_one(agent, known) and 60 or 0
end

return rules

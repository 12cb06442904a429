-- Cookies on their way down: all of them get the flags that browsers should honour, and
-- those that were meant for developers stay behind.

local flags = { "Secure", "HttpOnly", "SameSite=Lax" }

local function hardened(cookie)
  local present = {}
  for part in cookie:gmatch(";%s*([^;=%s]+)") do
    present[part:lower()] = true
  end
  for _, flag in ipairs(flags) do
    if not present[flag:match("^[^=]+"):lower()] then
      cookie = cookie .. "; " .. flag
    end
  end
  return cookie
end

function HardenCookies(request, response, session, metadata, spec)
  for _, header in ipairs(response.multivalue_headers) do
    if header.key == "Set-Cookie" then
      local kept = {}
      for _, value in ipairs(header.values) do
        if value:sub(1, 6) ~= "debug_" then
          kept[#kept + 1] = hardened(value)
        end
      end
      header.values = kept
    end
  end
  return response
end

-- One global function for each of the five hooks; apps/lua.json says which runs where.

-- pre: before everything else. It may edit the request, or answer in the upstream's place.
function MarkRequest(request, session, spec)
  if request.params.teapot then
    request.return_overrides.response_code = 418
    request.return_overrides.response_error = "this is a teapot"
    return request, session
  end
  request:set_header("X-Pre", "lua")
  request:delete_header("X-Internal")
  request:add_param("via", "pre")
  request:delete_param("debug")
  tyk.log("marked a request to " .. spec.APIID, "info")
  return request, session
end

-- auth_check: whoever leaves without metadata.token is turned away with 403.
function CheckToken(request, session, metadata, spec)
  if request:get_header("Authorization") == "token-of-ada" then
    metadata.token = "token-of-ada"
    metadata.owner = "ada"
    metadata.checked_by = "lua"
  end
  return request, session, metadata
end

-- post_key_auth: the session that the authentication made is here.
function NameOwner(request, session, spec)
  request:set_header("X-Owner", session.metadata.owner)
  request:set_header("X-Checked-By", session.metadata.checked_by)
  request:set_header("X-Post-Key-Auth", "lua")
  return request, session
end

-- post: just before the upstream. The body that counts is raw_body.
function RaiseVoice(request, session, spec)
  request.raw_body = string.upper(request.raw_body)
  request:set_header("X-Post", "lua")
  return request, session
end

-- response: the upstream's answer to edit.
function MarkResponse(request, response, session, metadata, spec)
  response.headers["X-Response"] = "lua"
  response.headers["X-Upstream-Secret"] = nil
  return response
end

-- post, in apps/seed.json: reads what a Python plugin has stored.
function ShowStored(request, session, spec)
  request:set_header("X-Stored", tyk.get_data("cool_key") or "nothing")
  return request, session
end

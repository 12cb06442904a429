"""The work of the shared benchmark's scenarios P1 to P4, as a plugin author would write it."""
import json
import os

from tyk.decorators import Hook

TOKENS = {}
if os.environ.get("BENCH_TOKENS"):
    with open(os.environ["BENCH_TOKENS"]) as lines:
        TOKENS = dict(line.split() for line in lines)


@Hook
def HookP1(request, session, spec):
    if request.get_header("X-Client") == "block":
        request.object.return_overrides.response_code = 403
        return request, session
    request.add_header("X-Plugin", "on")
    return request, session


@Hook
def HookP2(request, session, metadata, spec):
    authorization = request.get_header("Authorization")
    user = TOKENS.get(authorization[7:]) if authorization else None
    if user is None:
        overrides = request.object.return_overrides
        overrides.response_code = 403
        overrides.override_error = True
        overrides.response_body = json.dumps({"error": "forbidden"})
        overrides.headers["Content-Type"] = "application/json"
        return request, session, metadata
    metadata["token"] = user
    request.add_header("X-User", user)
    return request, session, metadata


@Hook
def HookP3(request, session, spec):
    document = json.loads(request.object.raw_body)
    document["gateway"] = "python"
    request.object.raw_body = json.dumps(document, separators=(",", ":")).encode()
    return request, session


@Hook
def HookP4(request, response, session, metadata, spec):
    response.headers["X-Gateway"] = "peer"
    response.headers["Cache-Control"] = "private, " + response.headers["Cache-Control"]
    return response

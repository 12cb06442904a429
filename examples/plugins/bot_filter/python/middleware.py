"""Turns away bots before anything else looks at them.

`config_data`: `{"refuse_at": 70}` refuses scores of 70 and more.
"""

import json
from urllib.parse import urlsplit

from gateway import TykGateway as tyk
from rules import score
from tyk.decorators import Hook


@Hook
def FilterBots(request, session, spec):
    refuse_at = 70
    if "config_data" in spec:
        refuse_at = json.loads(spec["config_data"]).get("refuse_at", refuse_at)
    path = urlsplit(request.object.url).path
    inner = "/" + path[len(request.object.listen_path):].lstrip("/")
    points = score(request.get_header("User-Agent") or "", inner)
    if points >= refuse_at:
        overrides = request.object.return_overrides
        overrides.response_code = 403
        overrides.override_error = True
        overrides.headers["Content-Type"] = "application/problem+json"
        overrides.response_body = json.dumps(
            {"title": "Automated access is not allowed", "status": 403, "score": points}
        )
        tyk.trigger_event("BotRefused", request.object.client_address)
    else:
        request.add_header("X-Bot-Score", str(points))
    return request, session

"""Bearer tokens: who may call, at what rate, and for how long the answer is remembered.

`config_data` of the API lists the accounts:

    {"accounts": {"<token>": {"owner": "ada", "plan": "gold"}}, "remember_seconds": 60}
"""

import hmac
import json
import time

from gateway import TykGateway as tyk
from tyk.decorators import Hook

# Requests per second, and requests per day.
PLANS = {"gold": (100, 1_000_000), "free": (2, 1_000)}
DAY = 24 * 60 * 60


def bearer(header):
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def account_of(token, accounts):
    # Every entry is compared, in constant time, so that an answer's delay tells nothing.
    found = None
    for known, account in accounts.items():
        if hmac.compare_digest(known.encode(), token.encode()):
            found = account
    return found


@Hook
def CheckBearer(request, session, metadata, spec):
    config = json.loads(spec["config_data"])
    token = bearer(request.get_header("Authorization"))
    account = account_of(token, config["accounts"]) if token else None
    if account is None:
        overrides = request.object.return_overrides
        overrides.response_code = 401
        overrides.response_error = "A bearer token is required"
        overrides.headers["WWW-Authenticate"] = 'Bearer realm="%s"' % spec["APIID"]
        tyk.log("bearer token was not accepted", "info")
        return request, session, metadata

    rate, quota = PLANS[account.get("plan", "free")]
    session.rate, session.per = rate, 1
    session.quota_max, session.quota_renewal_rate = quota, DAY
    session.alias = account["owner"]
    session.tags.append("plan-" + account.get("plan", "free"))
    session.access_rights[spec["APIID"]].api_id = spec["APIID"]
    session.access_rights[spec["APIID"]].versions.append("Default")
    session.id_extractor_deadline = int(time.time()) + config.get("remember_seconds", 60)
    metadata["token"] = token
    metadata["owner"] = account["owner"]
    return request, session, metadata


@Hook
def NameOwner(request, session, spec):
    request.add_header("X-Owner", session.metadata["owner"])
    request.add_header("X-Plan", ",".join(session.tags))
    request.delete_header("Authorization")
    return request, session

"""One id for a request, from the client through all servers and back.

A client's own id is kept when it looks like one; else the gateway's request id is used.
"""

import string

from gateway import TykGateway as tyk
from tyk.decorators import Hook

HEADER = "X-Correlation-Id"
ALLOWED = frozenset(string.ascii_letters + string.digits + "-_.")


def usable(value):
    return 8 <= len(value) <= 64 and ALLOWED.issuperset(value)


@Hook
def EnsureId(request, session, spec):
    given = request.get_header(HEADER) or ""
    request.add_header(HEADER, given if usable(given) else request.object.request_id)
    return request, session


@Hook
def LogId(request, session, spec):
    tyk.log(
        "%s %s %s" % (request.get_header(HEADER), request.object.method, request.object.url),
        "info",
    )
    return request, session


@Hook
def ReturnId(request, response, session, metadata, spec):
    response.headers[HEADER] = request.get_header(HEADER)
    return response

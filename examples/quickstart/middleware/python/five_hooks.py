"""One function for each of the five hooks; apps/python.json says which runs where."""

from gateway import TykGateway as tyk
from tyk.decorators import *


@Hook
def MarkRequest(request, session, spec):
    """pre: before everything else. It may edit the request, or answer in the upstream's place."""
    if "teapot" in request.object.params:
        request.object.return_overrides.response_code = 418
        request.object.return_overrides.response_error = "this is a teapot"
        return request, session
    request.add_header("X-Pre", "python")
    request.delete_header("X-Internal")
    request.add_param("via", "pre")
    request.delete_param("debug")
    tyk.log("marked a request to " + spec["APIID"], "info")
    return request, session


@Hook
def CheckToken(request, session, metadata, spec):
    """auth_check: whoever leaves without metadata["token"] is turned away with 403."""
    if request.get_header("Authorization") == "token-of-ada":
        metadata["token"] = "token-of-ada"
        metadata["owner"] = "ada"
        metadata["checked_by"] = "python"
    return request, session, metadata


@Hook
def NameOwner(request, session, spec):
    """post_key_auth: the session that the authentication made is here."""
    request.add_header("X-Owner", session.metadata["owner"])
    request.add_header("X-Checked-By", session.metadata["checked_by"])
    request.add_header("X-Post-Key-Auth", "python")
    return request, session


@Hook
def RaiseVoice(request, session, spec):
    """post: just before the upstream. The body that counts is raw_body, and it is bytes."""
    request.object.raw_body = request.object.raw_body.upper()
    request.add_header("X-Post", "python")
    return request, session


@Hook
def MarkResponse(request, response, session, metadata, spec):
    """response: five parameters, and the upstream's answer to edit."""
    response.headers["X-Response"] = "python"
    if "X-Upstream-Secret" in response.headers:
        del response.headers["X-Upstream-Secret"]
    return response

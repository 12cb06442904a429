"""A bundle with a function for most hooks, typed so that mypy can look at it."""

from __future__ import annotations

import json
from typing import Any

from gateway import TykGateway as tyk
from rules import GREETING
from tyk.decorators import Event, Hook
from tyk.request import ResponseObject, TykCoProcessRequest
from tyk.session import StringMap, TykSession


@Hook
def AddHeaders(
    request: TykCoProcessRequest, session: TykSession, spec: StringMap
) -> tuple[TykCoProcessRequest, TykSession]:
    request.add_header("X-Plugin", GREETING)
    request.add_header("X-Client", request.object.client_address)
    request.delete_header("accept")
    request.delete_param("old")
    request.add_param("new", "1 & 2")
    request.object.raw_body = request.object.raw_body.upper()
    tyk.log("changed " + request.object.url, "info")
    tyk.store_data("cool_key", b"\x00cool", 300)
    tyk.trigger_event("a_middleware_event", json.dumps({"api": spec["APIID"]}))
    return request, session


@Hook
def CheckToken(
    request: TykCoProcessRequest, session: TykSession, metadata: StringMap, spec: StringMap
) -> tuple[TykCoProcessRequest, TykSession, dict[str, str]]:
    key = request.get_header("authorization")
    if key is None:
        request.object.return_overrides.response_code = 401
        request.object.return_overrides.response_error = 'no "key"'
        return request, session, {}
    session.rate = 25
    session.tags.extend(["red", "blue"])
    access = session.access_rights["api"]
    access.allowed_urls.add(url="/a", methods=["GET"])
    return request, session, {"token": key}


@Hook
async def Answer(
    request: TykCoProcessRequest, session: TykSession, spec: StringMap
) -> tuple[TykCoProcessRequest, TykSession]:
    overrides = request.object.return_overrides
    overrides.response_code = 418
    overrides.override_error = True
    overrides.response_body = "short and stout"
    overrides.headers["x-reason"] = "tea"
    return request, session


@Hook
def MarkResponse(
    request: TykCoProcessRequest,
    response: ResponseObject,
    session: TykSession,
    metadata: StringMap,
    spec: StringMap,
) -> ResponseObject:
    response.status_code = 202
    response.raw_body = response.body.encode() + b"!"
    response.headers["x-added"] = "yes"
    del response.headers["x-remove"]
    return response


@Hook
def Forgets(request: TykCoProcessRequest, session: TykSession, spec: StringMap) -> None:
    pass


@Hook
def TakesTwo(request: TykCoProcessRequest, session: TykSession) -> None:
    pass


@Event
def OnEvent(event: dict[str, Any], spec: dict[str, Any]) -> None:
    tyk.log("%s of %s" % (event["Event"], spec["APIID"]), "warning")

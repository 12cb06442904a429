"""The hooks P1 and P3 for pyvoy: an ASGI application inside Envoy that proxies through Envoy's own client."""
import json
import os

from pyqwest import Client, Headers
from pyvoy.asgi.httpclient import HTTPTransport

SCENARIO = os.environ["BENCH_SCENARIO"]
ORIGIN = os.environ["BENCH_ORIGIN"]
NOT_FORWARDED = {b"connection", b"content-length", b"host", b"keep-alive", b"te", b"transfer-encoding", b"upgrade"}
client = Client(transport=HTTPTransport("origin"))


async def whole_body(receive):
    pieces = []
    more = True
    while more:
        message = await receive()
        more = message["type"] == "http.request" and message.get("more_body", False)
        pieces.append(message.get("body", b""))
    return b"".join(pieces)


async def answer(send, status, headers, body):
    length = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers + length})
    await send({"type": "http.response.body", "body": body})


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    headers = [(name, value) for name, value in scope["headers"] if name not in NOT_FORWARDED]
    body = await whole_body(receive) if scope["method"] == "POST" else b""
    if SCENARIO == "P1":
        if (b"x-client", b"block") in headers:
            return await answer(send, 403, [], b"")
        headers.append((b"x-plugin", b"on"))
    elif SCENARIO == "P3":
        document = json.loads(body)
        document["gateway"] = "python"
        body = json.dumps(document, separators=(",", ":")).encode()
    forwarded = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])
    response = await client.execute(scope["method"], ORIGIN + scope["path"], headers=forwarded, content=body or None)
    back = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
    await answer(send, response.status, [pair for pair in back if pair[0] not in NOT_FORWARDED], response.content)

"""TLS and HTTP/2, with clients and with upstreams: what a release is laid out by must have seen them too.

The client is written in Python and slow, so this says how often something runs, and not how fast.
"""
import dataclasses
import http.client
import socket
import ssl
import subprocess
import time

import gateway
import system

# The gateway is the upstream of its own API `secure`.
UPSTREAMS = {"http": "/plain/", "https": "/secure/", "h2": "/secure/"}


@dataclasses.dataclass
class Row:
    """What the client and the upstream speak."""
    client: str
    upstream: str

    @property
    def key(self):
        return {"series": self.client, "scenario": f"to {self.upstream}"}


def rows():
    return [Row(client, upstream) for client in ("https", "h2") for upstream in UPSTREAMS]


def start(ctx, upstream):
    spec = gateway.start(ctx, apis={"plain": "/plain/", "secure": "/secure/"})
    certificate, key = f"{ctx.run}/certificate.pem", f"{ctx.run}/key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-subj", "/CN=localhost", "-days", "1", "-keyout", key, "-out", certificate]
    try:
        subprocess.run(request, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise RuntimeError("no `openssl` in PATH to make a certificate with") from None
    with gateway.edited(f"{ctx.run}/apps/secure.json") as api:
        api["proxy"]["target_url"] = f"https://127.0.0.1:{ctx.port}/plain/"
        api["proxy"]["transport"] = {"ssl_insecure_skip_verify": True}
    with gateway.edited(f"{ctx.run}/tyk.conf") as config:
        certificates = [{"domain_name": "*", "cert_file": certificate, "key_file": key}]
        config["http_server_options"] = {"use_ssl": True, "certificates": certificates}
        config["proxy_enable_http2"] = upstream == "h2"
    return spec


def context(protocol):
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    found.set_alpn_protocols([protocol])
    return found


class Http1:
    def __init__(self, port):
        self.connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context("http/1.1"))

    def get(self, path):
        """The status."""
        self.connection.request("GET", path, headers={"Accept": "*/*"})
        answer = self.connection.getresponse()
        answer.read()
        return answer.status


class Http2:
    """One request at a time; RFC 9113, with header fields as literals."""

    def __init__(self, port):
        plain = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket = context("h2").wrap_socket(plain)
        self.stream = -1
        self.file = self.socket.makefile("rb")
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.send(4, 0, 0, b"")
        # So much that it need never be renewed.
        self.send(8, 0, 0, (1 << 30).to_bytes(4, "big"))

    def send(self, kind, flags, stream, payload):
        head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
        self.socket.sendall(head + payload)

    def get(self, path):
        self.stream += 2
        literal = lambda name, value: bytes([name, len(value)]) + value.encode()
        self.send(1, 0x5, self.stream, b"\x82\x87" + literal(0x04, path) + literal(0x01, "bench.example"))
        status = None
        while True:
            head = self.file.read(9)
            if len(head) < 9:
                raise RuntimeError("the gateway ended an HTTP/2 connection")
            kind, flags = head[3], head[4]
            payload = self.file.read(int.from_bytes(head[:3], "big"))
            if kind == 4 and not flags & 1:
                self.send(4, 1, 0, b"")
            elif kind in (3, 7):
                raise RuntimeError(f"the gateway sent a frame of type {kind}: {payload!r}")
            elif kind == 1 and status is None:
                # 0x88 is `:status: 200` of the static table, which comes first.
                status = 200 if payload[:1] == b"\x88" else 0
            if kind in (0, 1) and flags & 1 and int.from_bytes(head[5:], "big") == self.stream:
                return status


def measured(bench, row, seconds, _warm):
    with bench.serving("secure", "P0", start=lambda ctx: start(ctx, row.upstream)) as served:
        client = {"https": Http1, "h2": Http2}[row.client](served.ctx.port)
        before, spent, count, bad = time.monotonic(), sum(system.cpu(served.pid)), 0, 0
        while time.monotonic() - before < seconds:
            bad += client.get(UPSTREAMS[row.upstream]) != 200
            count += 1
        took = time.monotonic() - before
        spent = sum(system.cpu(served.pid)) - spent
        return {"requests": count, "bad": bad, "rps": count / took, "cpu_us": spent / count, "memory_mib": system.memory(served.pid)}

"""The scenarios P0 to P4: their requests, and whether a peer really does their work.

P0  plain reverse proxy
P1  reads X-Client, answers 403 if it is `block`, else sets a request header
P2  looks a bearer token up in 10,000; unknown (one in ten): 403 with a JSON body and no call upstream
P3  parses 4096 bytes of JSON, adds a field, sends the changed document upstream
P4  adds a header to the response and rewrites another
"""
import http.client
import json
import random
import string
import time

ALL = ["P0", "P1", "P2", "P3", "P4"]
REFUSED = {"error": "forbidden"}
JSON = {"Content-Type": "application/json"}


class Inputs:
    """Tokens, and a file of requests per scenario, the same in every run."""

    def __init__(self, folder):
        dice = random.Random(11)
        letters = string.ascii_letters + string.digits
        self.folder = folder
        self.tokens = ["".join(dice.choices(letters, k=32)) for _ in range(10_000)]
        self.tokens_file = f"{folder}/tokens.txt"
        with open(self.tokens_file, "w") as out:
            out.writelines(f"{token} user{number}\n" for number, token in enumerate(self.tokens))
        for scenario in ("P0", "P1", "P4"):
            self.write(scenario, [get("/api/items?id=1")])
        stranger = "".join(dice.choices(letters, k=31))
        sent = [dice.choice(self.tokens) if number % 10 else f"{stranger}!" for number in range(2000)]
        dice.shuffle(sent)
        self.write("P2", [get("/api/items?id=1", f"Authorization: Bearer {token}\r\n") for token in sent])
        document = json_of_4_kib()
        self.write("P3", [post("/api/items", len(document), "Content-Type: application/json\r\n") + document])

    def write(self, name, requests):
        with open(self.file(name), "wb") as out:
            out.writelines(b"%d\n%s" % (len(request), request) for request in requests)

    def file(self, name):
        return f"{self.folder}/{name}.requests"


COMMON = "Host: bench.example\r\nUser-Agent: load/1.0\r\nAccept: */*\r\nX-Client: load\r\n"


def get(target, more=""):
    return f"GET {target} HTTP/1.1\r\n{COMMON}{more}\r\n".encode()


def post(target, length, more=""):
    return f"POST {target} HTTP/1.1\r\n{COMMON}{more}Content-Length: {length}\r\n\r\n".encode()


def json_of_4_kib():
    items = [{"id": n, "name": f"item-{n}", "price": 12.5 + n, "tags": ["a", "b", "c"], "ok": True} for n in range(50)]
    document = {"user": "alice", "note": "", "items": items}
    short = len(json.dumps(document, separators=(",", ":")))
    document["note"] = "n" * (4096 - short)
    return json.dumps(document, separators=(",", ":")).encode()


def call(port, method, path, headers=(), body=None):
    """Status, headers with lower-case names, body. A peer that has just begun to listen may hang up at first."""
    for attempt in range(20):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        except (ConnectionError, http.client.HTTPException):
            if attempt == 19:
                raise
            time.sleep(0.1)
        finally:
            connection.close()


def check(scenario, port, inputs):
    """Fails when the peer does not do the scenario's work; `/echo` answers with what the upstream has seen."""

    def expect(right, *found):
        if not right:
            raise RuntimeError(f"{scenario} is not done: {found}")

    known = {"Authorization": f"Bearer {inputs.tokens[5]}"}
    if scenario != "P3":
        status, headers, body = call(port, "GET", "/api/items?id=1", known)
        expect(status == 200 and len(body) == 1024, status, headers, body)
    if scenario == "P1":
        status, _, body = call(port, "GET", "/echo", {"X-Client": "someone"})
        expect(status == 200 and b"x-plugin: on\r\n" in body.lower(), status, body)
        status, _, body = call(port, "GET", "/echo", {"X-Client": "block"})
        expect(status == 403, status, body)
    elif scenario == "P2":
        _, _, body = call(port, "GET", "/echo", known)
        expect(b"x-user: user5\r\n" in body.lower(), body)
        status, headers, body = call(port, "GET", "/echo", {"Authorization": "Bearer nobody"})
        expect(status == 403 and headers["content-type"] == "application/json", status, headers)
        expect(json.loads(body) == REFUSED, body)
    elif scenario == "P3":
        status, headers, body = call(port, "POST", "/api/items", JSON, json_of_4_kib())
        expect(status == 200 and len(body) == 1024, status, headers, body)
        _, _, seen = call(port, "POST", "/echo", JSON, json_of_4_kib())
        document = json.loads(seen[seen.index(b"{"):seen.rindex(b"}") + 1])
        expect(document.pop("gateway", None), seen)
        expect(document == json.loads(json_of_4_kib()), seen)
    elif scenario == "P4":
        _, headers, _ = call(port, "GET", "/api/items?id=1")
        expect(headers.get("x-gateway") == "peer", headers)
        expect(headers.get("cache-control") == "private, no-store", headers)

"""What a key and its limits cost: keyless, a key alone, and a key with rate and quota, counted here and on Redis.

All of them are APIs of one gateway per store, so that a ratio is one of the same run and the same process.
"""
import dataclasses
import json
import os
import tempfile
import urllib.request

import gateway
import measure
import scenarios
import system

SECRET = "for-the-benchmark-only"
KEYS = 1000
# So large that nobody is refused, and more than there are notes in a window.
LIMITS = {"rate": 1e6, "per": 60, "quota_max": 1_000_000_000, "quota_renewal_rate": 3600}
STORES = {
    "embedded": {},
    "redis": {"rate_limit_mode": "exact"},
    "redis-local": {"rate_limit_mode": "local"},
}


@dataclasses.dataclass
class Row:
    """One kind of request on one store."""
    store: str
    kind: str

    @property
    def key(self):
        return {"store": self.store, "kind": self.kind}


def rows():
    return [Row(store, kind) for store in STORES for kind in ("keyless", "key", "rate", "limits")]


def start(ctx, store, redis_port):
    spec = gateway.start(ctx, apis={})
    apps = f"{ctx.run}/apps"
    for name, keyless in (("keyless", True), ("keyed", False)):
        api = gateway.definition(ctx, name, f"/{name}/", "P0", None, 1)
        with open(f"{apps}/{name}.json", "w") as out:
            json.dump({**api, "use_keyless": keyless}, out)
    with gateway.edited(f"{ctx.run}/tyk.conf") as config:
        config.update({"secret": SECRET, "allow_master_keys": True, **STORES[store]})
        if redis_port:
            config["storage"] = {"type": "redis", "host": "127.0.0.1", "port": redis_port}
        elif os.path.exists(config["storage"]["path"]):
            os.remove(config["storage"]["path"])
    return spec


def make_keys(port, kind):
    """Keys of one kind, in the store by the admin API."""
    session = {"org_id": "bench", **({} if kind == "key" else LIMITS)}
    if kind == "rate":
        session["quota_max"] = -1
    keys = [f"{kind}-key-{number:05}" for number in range(KEYS)]
    for key in keys:
        request = urllib.request.Request(f"http://127.0.0.1:{port}/tyk/keys/{key}", json.dumps(session).encode(),
                                         {"X-Tyk-Authorization": SECRET}, method="POST")
        with urllib.request.urlopen(request) as answer:
            answer.read()
    return keys


def measured(bench, row, seconds, warm):
    with tempfile.TemporaryDirectory() as folder:
        redis = redis_port = None
        if row.store != "embedded":
            (redis_port,) = system.free_ports(1)
            # Beside the load, so that the gateway has its core for itself.
            redis = system.spawn(["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
                                 bench.cores[1], f"{folder}/log.txt")
        try:
            if redis:
                system.wait_for_port(redis_port, redis, f"{folder}/log.txt")
            with bench.serving("limits", "P0", start=lambda ctx: start(ctx, row.store, redis_port)) as served:
                if row.kind == "keyless":
                    requests = [scenarios.get("/keyless/items?id=1")]
                else:
                    keys = make_keys(served.ctx.port, row.kind)
                    requests = [scenarios.get("/keyed/items?id=1", f"Authorization: {key}\r\n") for key in keys]
                bench.inputs.write("limits", requests)
                with served.load(bench.inputs.file("limits"), seconds, warm) as load:
                    result = load.quiet_round()
        finally:
            system.stop(redis)
    result["bad"] = measure.bad("P0", result)
    return result

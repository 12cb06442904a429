"""What a light hook costs on a gRPC server of plugins, beside the same file of Python in the gateway's process.

The server is that of the black-box suite, in Python on gRPC's own library; `cargo xtask setup` makes its environment.
It shares the core of the client and the upstream, so that the gateway has its own for itself.
"""
import contextlib
import dataclasses
import os
import subprocess

import gateway
import measure
import scenarios
import system

ROOT = os.path.abspath(f"{gateway.HERE}/../..")
PYTHON = os.environ.get("PLUGIN_PYTHON", f"{ROOT}/target/test-venv/bin/python")


@dataclasses.dataclass
class Row:
    """Where the hook runs, and how many requests are under way."""
    place: str
    connections: int

    @property
    def key(self):
        return {"place": self.place, "connections": self.connections}


def rows():
    return [Row(place, connections) for connections in (1, 64) for place in ("nowhere", "in-process", "server")]


@contextlib.contextmanager
def plugin_server(core):
    """The server's process and its port."""
    command = [PYTHON, f"{ROOT}/tests/servers/plugins.py", f"{ROOT}/lang-grpc/proto"]
    if not os.path.exists(PYTHON):
        raise system.Impossible(f"no {PYTHON}; `cargo xtask setup` makes it")
    process = system.spawn(command, core, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        process.stdin.write(f"{gateway.HERE}/plugins/python\n")
        process.stdin.flush()
        yield process, int(process.stdout.readline())
    finally:
        system.stop(process)


def start(ctx, place, port):
    spec = gateway.start(ctx, {"nowhere": None, "in-process": "python", "server": "grpc"}[place])
    with gateway.edited(f"{ctx.run}/tyk.conf") as config:
        config["coprocess_options"]["coprocess_grpc_server"] = f"tcp://127.0.0.1:{port}"
    return spec


def measured(bench, row, seconds, warm):
    with plugin_server(bench.cores[1]) as (server, port):
        with bench.serving("remote", "P1", start=lambda ctx: start(ctx, row.place, port)) as served:
            if row.place != "nowhere":
                scenarios.check("P1", served.ctx.port, bench.inputs)
            served.beside = (server.pid,)
            with served.load(bench.inputs.file("P1"), seconds, warm, connections=row.connections) as load:
                result = load.quiet_round()
    result["bad"] = measure.bad("P1", result)
    return result

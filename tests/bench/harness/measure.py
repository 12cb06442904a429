"""One cell of the benchmark: a peer with its upstream and its load, started, checked, measured, stopped."""
import contextlib
import json
import os
import select
import subprocess
import time

import gateway
import others
import scenarios
import system

PEERS = {**gateway.PEERS, **others.PEERS}
# A round is disturbed when strangers used more than this part of a core, and is repeated so often.
FOREIGN, ATTEMPTS = 0.10, 3


class Context:
    """What a peer is told: the scenario, where to listen, where its upstream is, a folder of its own."""

    def __init__(self, bench, peer, scenario, workers):
        self.work, self.tokens = bench.work, bench.inputs.tokens_file
        self.scen, self.workers = scenario, workers
        self.port, self.up = system.free_ports(2)
        self.run = f"{bench.work}/run/{peer}"
        os.makedirs(self.run, exist_ok=True)


class Bench:
    """The work folder with the tools, and the inputs that all cells share."""

    def __init__(self, work):
        self.work = os.path.abspath(work)
        os.makedirs(f"{self.work}/run", exist_ok=True)
        self.inputs = scenarios.Inputs(f"{self.work}/run")
        self.cores = system.cores()

    @contextlib.contextmanager
    def serving(self, peer, scenario, workers=1, start=None):
        """The peer, up; with one worker it has the first core for itself."""
        ctx = Context(self, peer, scenario, workers)
        pinned = workers == 1
        spec = (start or PEERS[peer]["start"])(ctx)
        origin = process = None
        try:
            origin = system.spawn([f"{self.work}/bin/origin", str(ctx.up)], self.cores[1] if pinned else None, f"{ctx.run}/origin.log")
            env = {"BENCH_TOKENS": ctx.tokens, **spec.get("env", {})}
            log = f"{ctx.run}/log.txt"
            process = system.spawn(spec["cmd"], self.cores[0] if pinned else None, log, env)
            system.wait_for_port(ctx.up, origin, f"{ctx.run}/origin.log")
            system.wait_for_port(ctx.port, process, log)
            yield Served(self, ctx, process, origin, pinned)
        finally:
            system.stop(process)
            system.stop(origin)


class Served:
    """A peer that serves, and the ways to load it."""

    def __init__(self, bench, ctx, process, origin, pinned):
        self.bench, self.ctx, self.pid, self.origin, self.pinned = bench, ctx, process.pid, origin, pinned
        # Processes of the benchmark's that work for the peer, and are no part of it.
        self.beside = ()

    @contextlib.contextmanager
    def load(self, requests, seconds, warm, **options):
        """The load generator, warmed up and waiting."""
        command = [f"{self.bench.work}/bin/load", "--port", str(self.ctx.port), "--requests", requests,
                   "--seconds", str(seconds), "--warm", str(warm)]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        core = self.bench.cores[1] if self.pinned else None
        process = system.spawn(command, core, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(process.stderr.read().strip() or "the load generator ended")
            yield Load(self, process)
        finally:
            process.stdin.close()
            process.kill()
            process.wait()

    def used(self):
        """Now, as microseconds: of the peer, of the whole machine, of what belongs to the benchmark, stolen."""
        busy, stolen = system.machine()
        return time.monotonic() * 1e6, system.cpu(self.pid), busy, stolen


class Load:
    def __init__(self, served, process):
        self.served, self.process = served, process

    def round(self, watch_memory=False):
        """One measured round."""
        beside = self.served.beside
        own = (*beside, self.served.origin.pid, self.process.pid, os.getpid())
        before, own_before = self.served.used(), [sum(system.cpu_of_one(pid)) for pid in own]
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        memory = 0
        while watch_memory and not select.select([self.process.stdout], [], [], 0.05)[0]:
            memory = max(memory, system.memory(self.served.pid))
        outcome = json.loads(self.process.stdout.readline() or "{}")
        after, own_after = self.served.used(), [sum(system.cpu_of_one(pid)) for pid in own]
        if not outcome:
            raise RuntimeError("the load generator ended: " + self.process.stderr.read().strip())
        took = after[0] - before[0]
        user, kernel = (after[1][part] - before[1][part] for part in (0, 1))
        count = max(outcome["requests"], 1)
        foreign = after[2] - before[2] - user - kernel - (sum(own_after) - sum(own_before))
        return {
            "requests": outcome["requests"], "errors": outcome["errors"], "status": outcome["status"],
            "cpu_us": (user + kernel) / count, "user_us": user / count, "system_us": kernel / count,
            "beside_us": (sum(own_after[:len(beside)]) - sum(own_before[:len(beside)])) / count,
            "rps": outcome["requests"] / outcome["seconds"], "p50_us": outcome["p50_us"], "p99_us": outcome["p99_us"],
            "memory_mib": max(memory, system.memory(self.served.pid)),
            # In cores: what neither the peer nor the benchmark has used, and what the host took away.
            "foreign": max(foreign / took, 0), "stolen": (after[3] - before[3]) / took,
        }

    def quiet_round(self, **options):
        """The first round that nobody disturbed, or else the least disturbed one."""
        best = None
        for _ in range(ATTEMPTS):
            result = self.round(**options)
            if best is None or result["foreign"] < best["foreign"]:
                best = result
            if best["foreign"] < FOREIGN:
                break
        return best


def bad(scenario, result):
    """Requests without an answer, and answers that the scenario has not."""
    expected = {"200", "403"} if scenario == "P2" else {"200"}
    return result["errors"] + sum(count for status, count in result["status"].items() if status not in expected)


def cell(bench, peer, scenario, workers, seconds, warm):
    with bench.serving(peer, scenario, workers) as served:
        scenarios.check(scenario, served.ctx.port, bench.inputs)
        with served.load(bench.inputs.file(scenario), seconds, warm) as load:
            result = load.quiet_round()
    result["bad"] = bad(scenario, result)
    return result

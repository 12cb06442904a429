"""System calls per request, counted by the kernel: the same on a busy machine as on a quiet one.

Threads that watch over deadlines wake up by the clock, a few hundred times a second whatever the load, so their calls are
counted apart. A request that woke one of them would do so with a call of its own thread, which is counted.
"""
import os
import shutil
import subprocess

import measure
import scenarios
import system

CALLS = ["mmap", "munmap", "futex", "epoll_wait", "recvfrom", "read", "sendto", "write", "writev", "getrusage"]
CLOCKS = "-watchdog"
EVENTS = ["raw_syscalls:sys_enter"] + [f"syscalls:sys_enter_{call}" for call in CALLS]
ADVICE = (
    "perf cannot count system calls here: {reason}\n"
    "  it needs to be root with CAP_PERFMON, or: sysctl kernel.perf_event_paranoid=1 and "
    "mount -o remount,mode=755 /sys/kernel/tracing"
)


def obstacle():
    """Why nothing can be counted, and what to do; None when it can."""
    if not shutil.which("perf"):
        return "no `perf` in PATH to count system calls with; install Debian's linux-perf"
    done = subprocess.run(["perf", "stat", "-x,", "-e", ",".join(EVENTS), "true"], capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    if done.returncode or any("<not supported>" in line for line in lines):
        return ADVICE.format(reason="; ".join(lines[:3])[:400] or f"it ended with {done.returncode}")
    return None


class Counter:
    """perf, attached to all threads of a process tree; counts between `start` and `stop`."""

    def __init__(self, pid):
        commands, self.command = os.pipe()
        self.answer, answers = os.pipe()
        pids = ",".join(map(str, system.tree(pid)))
        control = f"fd:{commands},{answers}"
        line = ["perf", "stat", "-x,", "--per-thread", "-D", "-1", "--control", control, "-e", ",".join(EVENTS), "-p", pids]
        self.process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, pass_fds=(commands, answers))
        os.close(commands)
        os.close(answers)

    def tell(self, command):
        os.write(self.command, command.encode() + b"\n")
        if not os.read(self.answer, 16).startswith(b"ack"):
            raise RuntimeError("perf has ended: " + self.process.stderr.read().strip())

    def start(self):
        self.tell("enable")

    def stop(self):
        """How often each call was made for requests, and how many all calls of clocks were."""
        self.tell("disable")
        self.process.send_signal(2)
        text = self.process.communicate()[1]
        counts = dict.fromkeys(["all", "clocks", *CALLS], 0)
        seen = set()
        for line in text.splitlines():
            # A thread, how often, a unit, the event, and more that does not matter here.
            fields = line.split(",")
            if len(fields) < 4 or fields[3] not in EVENTS:
                continue
            seen.add(fields[3])
            count = int(fields[1]) if fields[1].isdigit() else 0
            name = fields[3].removeprefix("syscalls:sys_enter_").replace("raw_syscalls:sys_enter", "all")
            if CLOCKS not in fields[0]:
                counts[name] += count
            elif name == "all":
                counts["clocks"] += count
        if len(seen) != len(EVENTS) or not counts["all"]:
            raise RuntimeError("perf has not counted: " + text.strip()[:400])
        return counts

    def close(self):
        for descriptor in (self.command, self.answer):
            os.close(descriptor)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


def row(bench, peer, scenario, seconds, warm):
    """Calls per request of one worker at full load."""
    with bench.serving(peer, scenario) as served:
        scenarios.check(scenario, served.ctx.port, bench.inputs)
        with served.load(bench.inputs.file(scenario), seconds, warm) as load:
            counter = Counter(served.pid)
            try:
                counter.start()
                result = load.round()
                counts = counter.stop()
            finally:
                counter.close()
    requests = max(result["requests"], 1)
    per_request = {name: count / requests for name, count in counts.items()}
    return {"requests": result["requests"], "bad": measure.bad(scenario, result), "foreign": result["foreign"], "calls": per_request}

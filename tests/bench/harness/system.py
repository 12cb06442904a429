"""Processes: started, pinned, watched through /proc, stopped."""
import collections
import os
import random
import signal
import socket
import subprocess
import time


class Impossible(Exception):
    """Nothing can be measured here; says why, and what to do."""


TICK = 1e6 / os.sysconf("SC_CLK_TCK")


def cores():
    """The two that everything is pinned to: one for what is measured, one for the rest."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        raise Impossible("the benchmark needs two processor cores: one for the gateway, one for its client and upstream")
    return available[:2]


def free_ports(count):
    """Ports that nobody listens on, below those that the kernel gives to clients."""
    found = []
    for port in random.sample(range(20001, 29999), 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports between 20001 and 29999")


def tree(pid):
    """The process and all below it."""
    children = collections.defaultdict(list)
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                children[int(stat_fields(name)[1])].append(int(name))
            except OSError:
                pass
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += children[one]
    return found


def stat_fields(pid):
    """/proc/PID/stat behind the name, which may have spaces: the state is field 0."""
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()


def cpu(pid):
    """Microseconds that the tree has spent: its own code, the kernel for it. All threads count."""
    spent = [cpu_of_one(one) for one in tree(pid)]
    return sum(user for user, _ in spent), sum(kernel for _, kernel in spent)


def cpu_of_one(pid):
    """The same of one process; nothing when it is gone."""
    try:
        fields = stat_fields(pid)
    except OSError:
        return 0, 0
    return int(fields[11]) * TICK, int(fields[12]) * TICK


def machine():
    """Microseconds that all cores were busy, and that the host took from this machine."""
    with open("/proc/stat") as file:
        times = [int(field) for field in file.readline().split()[1:9]]
    idle, waiting, stolen = times[3], times[4], times[7]
    return (sum(times) - idle - waiting - stolen) * TICK, stolen * TICK


def memory(pid):
    """MiB of the tree; what processes share is counted once."""
    kilobytes = 0
    for one in tree(pid):
        try:
            with open(f"/proc/{one}/smaps_rollup") as file:
                kilobytes += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except OSError:
            pass
    return kilobytes / 1024


def spawn(command, core=None, log=None, env=None, cwd=None, **streams):
    def prepare():
        if core is not None:
            os.sched_setaffinity(0, {core})

    if log:
        out = open(log, "wb")
        streams = {"stdout": out, "stderr": out, **streams}
    return subprocess.Popen(command, env={**os.environ, **(env or {})}, cwd=cwd, preexec_fn=prepare, **streams)


def stop(process):
    if process is None or process.poll() is not None:
        return
    pids = tree(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        pass
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    process.wait()


def wait_for_port(port, process, log, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"ended with {process.returncode}: {tail(log)}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.5).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"does not listen after {seconds} s: {tail(log)}")


def tail(log):
    with open(log, errors="replace") as file:
        return file.read()[-600:].strip()

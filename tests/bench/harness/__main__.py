"""Measures the gateway beside other servers. `cargo xtask bench` and `cargo xtask syscalls` run this.

    python3 tests/bench/harness measure --work target/bench --peers nginx,gateway --reps 3
    python3 tests/bench/harness calls --work target/bench gateway:P0 gateway-lua:P1
    python3 tests/bench/harness growth --work target/bench
    python3 tests/bench/harness limits --work target/bench --reps 3
    python3 tests/bench/harness remote --work target/bench --reps 3
    python3 tests/bench/harness train --work target/bench

The work folder has the tools in `bin`. Standard output is one line of JSON at the start, with the number of cells and
facts about the machine, and one for each cell: the result, or {"error": …}. If nothing can be measured at all, the only
line is {"impossible": why}. GATEWAY names the binary.
"""
import argparse
import json
import time

import calls
import facts
import growth
import limits
import measure
import remote
import scenarios
import secure
import system


def tell(**record):
    print(json.dumps(record), flush=True)


def attempt(key, function, *arguments):
    """One cell. What fails is told, and does not keep the others from being measured."""
    try:
        tell(**key, at=time.time(), **function(*arguments))
        return True
    except Exception as error:
        tell(**key, error=f"{type(error).__name__}: {error}"[:1000])
        return False


def run_measure(options, bench):
    peers = [peer for peer in options.peers.split(",") if peer]
    unknown = [peer for peer in peers if peer not in measure.PEERS]
    if unknown:
        raise system.Impossible(f"no peer {', '.join(unknown)}; there are: {', '.join(measure.PEERS)}")
    # Scenario by scenario, so that what is compared is measured one after the other; each repetition goes round all
    # cells, so that a drift of the machine hits all alike.
    cells = [
        {"peer": peer, "scenario": scenario, "mode": mode}
        for mode in options.modes.split(",")
        for scenario in scenarios.ALL
        for peer in peers
        if scenario in measure.PEERS[peer]["scen"] and (not options.scenarios or scenario in options.scenarios.split(","))
    ]
    tell(cells=len(cells) * options.reps, facts=facts.of(bench, peers))
    for repetition in range(options.reps):
        for key in cells:
            workers = {"w1": 1, "w2": 2}[key["mode"]]
            arguments = (bench, key["peer"], key["scenario"], workers, options.seconds, options.warm)
            attempt({**key, "repetition": repetition}, measure.cell, *arguments)


def run_calls(options, bench):
    why = calls.obstacle()
    if why:
        raise system.Impossible(why)
    tell(cells=len(options.rows))
    for row in options.rows:
        peer, scenario = row.split(":")
        attempt({"peer": peer, "scenario": scenario}, calls.row, bench, peer, scenario, options.seconds, options.warm)


def run_growth(options, bench):
    points = growth.points()
    tell(cells=len(points) * options.reps, facts=facts.of(bench, []))
    for repetition in range(options.reps):
        for point in points:
            attempt({**point.key, "repetition": repetition}, point.measure, bench, options.seconds, options.warm)


def run_rows(module):
    """Runs all rows of a module that has them and a way to measure one."""

    def run(options, bench):
        rows = module.rows()
        tell(cells=len(rows) * options.reps, facts=facts.of(bench, []))
        for repetition in range(options.reps):
            for row in rows:
                attempt({**row.key, "repetition": repetition}, module.measured, bench, row, options.seconds, options.warm)

    return run


def run_train(options, bench):
    """Everything that a release is laid out by, once: nothing that is usual may look as if it were rare."""
    peers = ["gateway", "gateway-lua", "gateway-python"]
    cells = [{"peer": peer, "scenario": scenario} for peer in peers for scenario in measure.PEERS[peer]["scen"]]
    limited = [row for row in limits.rows() if row.store == "embedded"]
    tell(cells=len(cells) + len(limited) + len(secure.rows()), facts=facts.of(bench, []))
    for key in cells:
        attempt(key, measure.cell, bench, key["peer"], key["scenario"], 1, options.seconds, options.warm)
    for module, rows in ((limits, limited), (secure, secure.rows())):
        for row in rows:
            attempt({"peer": "gateway", **row.key}, module.measured, bench, row, options.seconds, options.warm)


def main():
    parser = argparse.ArgumentParser(prog="harness")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run, seconds in (
        ("measure", run_measure, 5),
        ("calls", run_calls, 1.5),
        ("growth", run_growth, 2),
        ("limits", run_rows(limits), 2),
        ("remote", run_rows(remote), 2),
        ("train", run_train, 2),
    ):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--work", required=True, help="the folder with bin/load and bin/origin")
        command.add_argument("--seconds", type=float, default=seconds, help="length of a measured round")
        command.add_argument("--warm", type=float, default=1, help="length of the warm-up before it")
        command.add_argument("--reps", type=int, default=1)
        if name == "measure":
            command.add_argument("--peers", required=True)
            command.add_argument("--scenarios", default="")
            command.add_argument("--modes", default="w1")
        if name == "calls":
            command.add_argument("rows", nargs="+", metavar="PEER:SCENARIO")
    options = parser.parse_args()
    try:
        options.run(options, measure.Bench(options.work))
    except system.Impossible as why:
        tell(impossible=str(why))
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()

"""What happens to the cost of a request when there is more of something: APIs, hooks, connections, bytes of a body."""
import dataclasses
import random
import typing

import gateway
import measure
import scenarios

MIB = 1 << 20


@dataclasses.dataclass
class Point:
    """One amount of one thing, and how to measure it."""
    series: str
    amount: int
    run: typing.Callable

    @property
    def key(self):
        return {"series": self.series, "amount": self.amount}

    def measure(self, bench, seconds, warm):
        result = self.run(bench, self.amount, seconds, warm)
        result["bad"] = measure.bad("P0", result)
        return result


def points():
    found = [Point("apis", amount, apis) for amount in (1, 100, 10_000)]
    for driver in ("lua", "python"):
        found += [Point(f"hooks-{driver}", amount, hooks_in(driver)) for amount in (1, 5, 20)]
    found += [Point("connections", amount, connections) for amount in (64, 1000, 10_000)]
    found += [Point("upload", amount, upload) for amount in (1, 10, 100)]
    found += [Point("download", amount, download) for amount in (1, 10, 100)]
    return found


def apis(bench, amount, seconds, warm):
    """Requests go to a thousand of the APIs at most, in an order that caches do not know."""
    paths = {f"api-{number}": f"/api-{number}/" for number in range(amount)}
    asked = random.Random(amount).sample(list(paths.values()), min(amount, 1000))
    bench.inputs.write("growth", [scenarios.get(f"{path}items?id=1") for path in asked])
    with bench.serving("growth", "P0", start=lambda ctx: gateway.start(ctx, apis=paths)) as served:
        with served.load(bench.inputs.file("growth"), seconds, warm) as load:
            return load.quiet_round()


def hooks_in(driver):
    def hooks(bench, amount, seconds, warm):
        with bench.serving("growth", "P1", start=lambda ctx: gateway.start(ctx, driver, hooks=amount)) as served:
            scenarios.check("P1", served.ctx.port, bench.inputs)
            with served.load(bench.inputs.file("P1"), seconds, warm) as load:
                return load.quiet_round()

    return hooks


def connections(bench, amount, seconds, warm):
    """All connections are used in turn, 64 requests at a time: what is measured is how many there are."""
    with bench.serving("growth", "P0", start=gateway.start) as served:
        with served.load(bench.inputs.file("P0"), seconds, warm, connections=amount, in_flight=64) as load:
            return load.quiet_round()


def upload(bench, amount, seconds, warm):
    bench.inputs.write("growth", [scenarios.post("/upload", amount * MIB)])
    return transfer(bench, seconds, warm, body=amount * MIB)


def download(bench, amount, seconds, warm):
    bench.inputs.write("growth", [scenarios.get(f"/bytes/{amount * MIB}")])
    return transfer(bench, seconds, warm)


def transfer(bench, seconds, warm, **options):
    with bench.serving("growth", "P0", start=gateway.start) as served:
        with served.load(bench.inputs.file("growth"), seconds, warm, connections=4, **options) as load:
            return load.quiet_round(watch_memory=True)

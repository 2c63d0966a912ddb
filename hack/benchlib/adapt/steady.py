"""`hack/bench steady`: what adaptation costs where nothing changes."""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchlib import certificates, machine, network, tools
from benchlib.adapt import flow, steadiness
from benchlib.adapt.measure import CANDIDATES as RELAYS
from benchlib.adapt.run import ERRORS
from benchlib.adapt.steadiness import CANDIDATES, PATHS, Cost, Found, Json, Seen, Settings
from benchlib.candidates.base import Bench
from benchlib.certificates import Certificates
from benchlib.errors import BenchError
from benchlib.network import Network
from benchlib.output import failed, loads, measured_on, show
from benchlib.scenarios.base import Observation
from benchlib.settings import Settings as Bulk
from benchlib.tools import REPOSITORY, Tools
from lab import netns
from lab.mesh import METRICS_PORT
from lab.netlab import path as netpath

PORT = 5204

COUNTED = (
    "stoq_adapt_measurements_total",
    "stoq_adapt_seconds_total",
    "stoq_adapt_changes_total",
)


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit status."""
    try:
        chosen, output = steadiness.parse(arguments)
        found = tools.find(peers=False)
        result, text = run(chosen, found, machine.describe(found.versions()))
    except ERRORS as error:
        print(f"hack/bench steady: {error}", file=sys.stderr)
        return 2
    show(output, "steady", result, text)
    return 1 if result["failures"] else 0


def run(chosen: Settings, found: Tools, about: Mapping[str, object]) -> tuple[Json, str]:
    """Measures; the result as JSON and as a page. Raises BenchError."""
    # In a smoke run the tests of the engine have run that program already.
    told = None if chosen.smoke else _cost()
    seen, failures = _rounds(chosen, found)
    about = {**about, "load_after": round(os.getloadavg()[0], 2)}
    result: Json = {
        "machine": about,
        "command": steadiness.command(chosen),
        "results": steadiness.figures(seen),
        "cost": told and dataclasses.asdict(told),
        "failures": failures,
    }
    return result, _page(chosen, about, seen, told, failures)


def _cost() -> Cost:
    """What measuring and deciding take without a network; built as it ships."""
    argv = ["cargo", "bench", "--locked", "--quiet", "--package", "stoq-adapt", "--bench", "cost"]
    engine = REPOSITORY / "sidecar" / "engine"
    done = subprocess.run(argv, cwd=engine, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"{' '.join(argv)} in {engine} ended with {done.returncode}")
    return steadiness.cost(done.stdout)


def _rounds(chosen: Settings, found: Tools) -> tuple[Found, list[str]]:
    """Every path with adaptation and without; who begins changes from round to round."""
    seen: dict[str, dict[str, list[Seen]]] = {path: {} for path in chosen.paths}
    failures: list[str] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as kept:
        Path(kept).chmod(0o755)
        made = certificates.make(Path(kept))
        for number in range(chosen.rounds):
            for path in chosen.paths:
                for name in CANDIDATES[:: 1 if number % 2 == 0 else -1]:
                    label = f"steady {path} {number + 1}/{chosen.rounds} {name}"
                    try:
                        one = measure(chosen, path, name, found, made)
                    except ERRORS as error:
                        failures.append(f"{label}: {error}")
                        print(failures[-1], file=sys.stderr)
                        continue
                    seen[path].setdefault(name, []).append(one)
                    print(f"{label}: {_told(one)}", file=sys.stderr)
    return seen, failures


def measure(chosen: Settings, path: str, name: str, found: Tools, made: Certificates) -> Seen:
    """One flow from the moment it has settled."""
    schedule = PATHS[path].schedule
    link = None if schedule is None else partial(netpath.link, schedule=schedule)
    with network.pair(1500, pin=False, link=link) as pods, ExitStack() as stack:
        bench = Bench(Bulk("bulk"), pods, found, made)
        count = stack.enter_context(flow.receiver(pods.server, PORT))
        route = stack.enter_context(RELAYS[name].route(bench, PORT))
        stack.enter_context(flow.sender(pods.client, (route.host, route.port), count))
        time.sleep(chosen.settle)
        before, observation, received = _counted(pods), Observation(route), count()
        time.sleep(chosen.seconds)
        elapsed, carried = observation.elapsed(), count() - received
        sample = observation.sample({})
        after = _counted(pods)
    if not carried:
        raise BenchError(f"nothing arrived within {chosen.seconds:g} s")
    judged, judging, changes = (after[key] - before[key] for key in COUNTED)
    cpu = sum(relay.cpu_seconds for relay in sample.relays.values())
    rate = carried * 8e-6 / elapsed
    return Seen(rate, cpu / (carried / 1e9), round(judged), judging, round(changes))


def _counted(pods: Network) -> dict[str, float]:
    """What adaptation has done so far in both sidecars, over all tiers."""
    sums = dict.fromkeys(COUNTED, 0.0)
    url = f"http://[::1]:{METRICS_PORT}/metrics"
    for side in (pods.client, pods.server):
        page = netns.run_in(side.pod.netns, ["curl", "-sf", "--max-time", "5", url])
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                if sample.name in sums:
                    sums[sample.name] += sample.value
    return sums


def _told(one: Seen) -> str:
    return (
        f"{one.mbit:.1f} Mbit/s, {one.cpu_per_gb:.3f} CPU-s/GB, {one.judged} decisions of "
        f"{one.decision:.2f} µs, {one.changes} changes"
    )


def _page(
    chosen: Settings,
    about: Mapping[str, object],
    seen: Found,
    told: Cost | None,
    failures: Sequence[str],
) -> str:
    where = f"{measured_on(about)}, {loads(about)}."
    how = (
        f"One flow that sends all it can, looked at for {chosen.seconds:g} s once it has run for "
        f"{chosen.settle:g} s; with adaptation and without it (fixed defaults, CUBIC), who comes "
        "first changing from round to round. The median of the rounds with the least and the "
        "greatest in brackets; ratios are of one round. Decisions are those of both sidecars."
    )
    lines = ["# steady", "", f"`{steadiness.command(chosen)}`", "", where, "", how, ""]
    lines += steadiness.table(chosen, seen)
    if told is not None:
        lines += ["", "Without a network, from what a controller was told of a simulated flow:", ""]
        lines += steadiness.packet_table(told)
    return "\n".join([*lines, *failed(failures)]) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""How long a request waits: 1 KB there and back, sent on schedule whatever happens."""

import contextlib
import json
from collections.abc import Iterator
from typing import ClassVar

from benchlib.candidates.base import Bench, Candidate, Route
from benchlib.errors import BenchError
from benchlib.processes import listening, running
from benchlib.procfs import rss_mb
from benchlib.samples import Metric, Sample
from benchlib.scenarios.base import ECHO_PORT, Observation, Scenario
from lab.command import run

REQUEST_BYTES = 1024


class Latency(Scenario):
    """Percentiles over all requests, counted from when each was due."""

    name: ClassVar[str] = "latency"

    # Percentiles first; then what a long run shows.
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric("p50", "ms", "half of the requests were answered within this"),
        Metric("p99", "ms", "99 of 100"),
        Metric("p999", "ms", "999 of 1000"),
        Metric(
            "p99_growth",
            "ratio",
            "P99 of the last tenth of the run over that of the second",
        ),
        Metric("rss_growth", "MB", "memory of both relays after the run less before"),
        Metric("failed", "requests", "failed or never answered"),
    )

    def measure(self, bench: Bench, candidate: Candidate) -> Sample:
        """The load generator through the candidate to an echo server."""
        with echo_server(bench), candidate.route(bench, ECHO_PORT) as route:
            # A short run first: pools, tickets and allocators have what they need.
            run(command(bench, route.target, seconds=1.0))
            before = _memory(route)
            observation = Observation(route)
            seconds = bench.settings.seconds
            load = command(bench, route.target, seconds)
            values = values_of(run(load, timeout=seconds + 30).stdout)
            growth = _memory(route) - before
            return observation.sample(values | {"rss_growth": growth})


def command(bench: Bench, target: str, seconds: float) -> list[str]:
    """The load generator towards `target`, as the settings want it."""
    settings = bench.settings
    words = [bench.tools.peer("loadgen"), "latency", target, "--size", str(REQUEST_BYTES)]
    words += ["--rate", str(settings.rate), "--seconds", str(seconds)]
    if settings.new_connections:
        words += ["--new-connections"]
    else:
        words += ["--connections", str(settings.connections)]
    return bench.network.client.command(words)


def _memory(route: Route) -> float:
    return sum(rss_mb(relay.pid) for relay in route.relays.values())


@contextlib.contextmanager
def echo_server(bench: Bench) -> Iterator[None]:
    """The application of the request scenarios."""
    side = bench.network.server
    command = side.command([bench.tools.peer("loadgen"), "echo", f"[::]:{ECHO_PORT}"])
    with running(bench.network, "echo", command) as process:
        listening(side, ECHO_PORT, process)
        yield


def values_of(said: str) -> dict[str, float]:
    """The load generator's JSON as metrics; raises BenchError when nothing was answered."""
    result = json.loads(said)
    if not result["answered"]:
        raise BenchError(f"no request was answered: {result['first_error'] or 'no error either'}")
    tenths = result["p99_us_by_tenth"]
    return {
        "p50": result["p50_us"] / 1e3,
        "p99": result["p99_us"] / 1e3,
        "p999": result["p999_us"] / 1e3,
        "p99_growth": tenths[-1] / tenths[1] if tenths[1] else 0.0,
        "failed": float(result["errors"] + result["lost"]),
    }

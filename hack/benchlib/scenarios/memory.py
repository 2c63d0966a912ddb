"""What holding connections costs."""

import contextlib
import time
from collections.abc import Iterator
from typing import ClassVar

from benchlib.candidates.base import Bench, Candidate, Route
from benchlib.processes import running
from benchlib.procfs import rss_mb
from benchlib.samples import Metric, Sample
from benchlib.scenarios.base import ECHO_PORT, Observation, Scenario
from benchlib.scenarios.latency import echo_server

SIDES = ("client", "server")

# How long the connections may take to come up.
UP_SECONDS = 60.0


class Memory(Scenario):
    """Resident memory: without load, for each idle relayed connection, after many cycles."""

    name: ClassVar[str] = "memory"

    # By side.
    metrics: ClassVar[tuple[Metric, ...]] = (
        *(Metric(f"idle_{s}", "MB", f"{s} side's relay before any connection") for s in SIDES),
        *(
            Metric(
                f"connection_{s}",
                "KB",
                f"{s} side's relay, for each idle app connection",
            )
            for s in SIDES
        ),
        *(
            Metric(
                f"growth_{s}",
                "MB",
                f"{s} side's relay: all open in the last cycle less in the first",
            )
            for s in SIDES
        ),
    )

    def measure(self, bench: Bench, candidate: Candidate) -> Sample:
        """Opens and closes idle connections through one start of the candidate."""
        settle = 0.2 if bench.settings.smoke else 2.0
        with echo_server(bench), candidate.route(bench, ECHO_PORT) as route:
            time.sleep(settle)
            observation = Observation(route)
            idle = _memory(route)
            open_memory = []
            for _ in range(bench.settings.cycles):
                with idle_connections(bench, route.target, bench.settings.idle):
                    time.sleep(settle)
                    open_memory.append(_memory(route))
                time.sleep(settle)
            values = {}
            for side in route.relays:
                first, last = open_memory[0][side], open_memory[-1][side]
                values[f"idle_{side}"] = idle[side]
                values[f"connection_{side}"] = (first - idle[side]) * 1e3 / bench.settings.idle
                values[f"growth_{side}"] = last - first
            return observation.sample(values)


def _memory(route: Route) -> dict[str, float]:
    return {side: rss_mb(relay.pid) for side, relay in route.relays.items()}


@contextlib.contextmanager
def idle_connections(bench: Bench, target: str, count: int) -> Iterator[None]:
    """Connections that are up end to end and do nothing until the block is left."""
    command = [bench.tools.peer("loadgen"), "idle", target]
    command += ["--connections", str(count)]
    with running(bench.network, "idle", bench.network.client.command(command)) as process:
        process.wait_until(
            f"holding {count} connections",
            lambda: "connections" in process.tail(),
            timeout=UP_SECONDS,
        )
        yield

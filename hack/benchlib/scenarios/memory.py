"""What holding connections costs."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import ClassVar

from benchlib.candidates.base import Bench, Candidate, IdlePeers, Route
from benchlib.processes import running
from benchlib.procfs import rss_mb
from benchlib.samples import Metric, Sample
from benchlib.scenarios.base import ECHO_PORT, Observation, Scenario
from benchlib.scenarios.latency import echo_server

SIDES = ("client", "server")

# How long the connections may take to come up.
UP_SECONDS = 120.0


class Memory(Scenario):
    """Resident memory: without load, for each idle relayed connection, after many cycles."""

    name: ClassVar[str] = "memory"

    # By side.
    metrics: ClassVar[tuple[Metric, ...]] = (
        *(Metric(f"idle_{s}", "MB", f"{s} side's relay before any connection") for s in SIDES),
        Metric(
            "peer_server", "KB", "server side's relay, for each idle connection of a peer relay"
        ),
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
        settings = bench.settings
        with echo_server(bench), candidate.route(bench, ECHO_PORT) as route:
            time.sleep(_settle(bench))
            observation = Observation(route)
            idle = _memory(route)
            values = {f"idle_{side}": size for side, size in idle.items()}
            if isinstance(candidate, IdlePeers):
                values["peer_server"] = _peers(bench, candidate, route)
            before = _memory(route)
            held = []
            for _ in range(settings.cycles):
                with idle_connections(bench, route.target, settings.idle):
                    time.sleep(_settle(bench))
                    held.append(_memory(route))
                time.sleep(_settle(bench))
            for side in route.relays:
                first, last = held[0][side], held[-1][side]
                values[f"connection_{side}"] = (first - before[side]) * 1e3 / settings.idle
                values[f"growth_{side}"] = last - first
            return observation.sample(values)


def _settle(bench: Bench) -> float:
    """Seconds until buffers of what has just happened are given back."""
    return 0.2 if bench.settings.smoke else 3.0


def _memory(route: Route) -> dict[str, float]:
    return {side: rss_mb(relay.pid) for side, relay in route.relays.items()}


def _peers(bench: Bench, candidate: IdlePeers, route: Route) -> float:
    """KB of the server side's relay for each idle connection of another relay."""
    count = bench.settings.idle_peers
    before = _memory(route)["server"]
    with holding(bench, candidate.idle_command(bench, count), count):
        time.sleep(_settle(bench))
        held = _memory(route)["server"]
    time.sleep(_settle(bench))
    return (held - before) * 1e3 / count


@contextlib.contextmanager
def idle_connections(bench: Bench, target: str, count: int) -> Iterator[None]:
    """Connections that are up end to end and do nothing until the block is left."""
    command = [bench.tools.peer("loadgen"), "idle", target, "--connections", str(count)]
    with holding(bench, command, count):
        yield


@contextlib.contextmanager
def holding(bench: Bench, argv: Sequence[str], count: int) -> Iterator[None]:
    """A load client of the client side that says when its `count` connections are as it wants."""
    with running(bench.network, "idle", bench.network.client.command(argv)) as process:
        process.wait_until(
            f"holding {count} connections",
            lambda: "connections" in process.tail(),
            timeout=UP_SECONDS,
        )
        yield

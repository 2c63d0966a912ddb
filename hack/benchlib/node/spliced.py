"""Two pods of one node: joined by the kernel (nodeLocal splice), beside plain TCP over the same
links, and a pair of Envoys.

What the agent would put in force is in force, capture in both pods with it. Who agrees to it, and
how often, is no part of the way of a packet.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchlib import certificates, iperf, network
from benchlib.candidates.base import Bench, Route
from benchlib.candidates.direct import Direct
from benchlib.candidates.envoy import EnvoyTcp
from benchlib.node.programs import Programs
from benchlib.node.settings import Settings
from benchlib.scenarios.base import ECHO_PORT, IPERF_PORT
from benchlib.scenarios.latency import command, echo_server, values_of
from benchlib.settings import Settings as PathSettings
from benchlib.tools import Tools
from lab.command import run

Way = Callable[[Bench, int], contextlib.AbstractContextManager[Route]]

JOINED: Final = "joined"


def measure(settings: Settings, tools: Tools, programs: Programs) -> dict[str, float]:
    """One round, by "splice figure way". Raises BenchError and what hack/lab raises."""
    path = PathSettings("bulk", mtu=settings.mtu, seconds=settings.seconds)
    found: dict[str, float] = {}
    with (
        TemporaryDirectory(prefix="bench-") as folder,
        network.pair(settings.mtu, pin=False) as pods,
    ):
        Path(folder).chmod(0o755)
        bench = Bench(path, pods, tools, certificates.make(Path(folder)))
        ways: dict[str, Way] = {"raw": Direct().route, "envoy": EnvoyTcp().route}
        # Last: capture stays in the pods.
        ways[JOINED] = _joined(programs)
        for name, way in ways.items():
            if settings.smoke and name != JOINED:
                continue
            with iperf.server(bench), way(bench, IPERF_PORT) as route:
                load = iperf.Load(settings.seconds)
                found |= iperf.run(bench, route, load, f"splice bulk {name}").values
            with echo_server(bench), way(bench, ECHO_PORT) as route:
                words = command(bench, route.target, settings.seconds)
                values = values_of(run(words, timeout=settings.seconds + 30).stdout)
                found |= {f"splice {figure} {name}": values[figure] for figure in ("p50", "p99")}
    return found


def _joined(programs: Programs) -> Way:
    @contextlib.contextmanager
    def route(bench: Bench, port: int) -> Iterator[Route]:
        pods = bench.network
        with programs.joined(pods.layout.fabric, pods.client.pod, pods.server.pod, port):
            yield Route(pods.server.address, port)

    return route

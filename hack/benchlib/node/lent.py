"""A meshed pair whose datagrams go past the kernel's stack (AF_XDP, frames copied), beside the same
pair by its sockets, over veths.

Both have their sockets from a broker as the agent keeps it, which lends the pods' interfaces for
the one and not for the other. A veth has one queue, which is of use to one worker: each sidecar has
one.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchlib import certificates, iperf, network
from benchlib.candidates.base import Bench, Route
from benchlib.candidates.stoq import started
from benchlib.errors import BenchError
from benchlib.node.settings import Settings
from benchlib.processes import running
from benchlib.scenarios.base import ECHO_PORT, IPERF_PORT
from benchlib.scenarios.latency import command, echo_server, values_of
from benchlib.settings import Settings as PathSettings
from benchlib.tools import Tools
from lab import installation
from lab.command import run
from lab.mesh import Mesh, MeshSettings

# What a broker lends, by the name of the way.
MODES: Final = {"sockets": "off", "lent": "copy"}

DATAGRAMS: Final = "stoq_udp_sent_datagrams_total"
FRAMES: Final = "stoq_af_xdp_sent_frames_total"


def measure(settings: Settings, tools: Tools) -> dict[str, float]:
    """One round, by "xdp figure way". Raises BenchError and what hack/lab raises."""
    path = PathSettings("bulk", mtu=settings.mtu, seconds=settings.seconds)
    found: dict[str, float] = {}
    for way, mode in MODES.items():
        with (
            TemporaryDirectory(prefix="bench-") as folder,
            network.pair(settings.mtu, pin=False) as pods,
        ):
            bench = Bench(path, pods, tools, certificates.make(Path(folder)))
            with _meshed(bench, mode) as mesh:
                found |= {f"xdp {figure} {way}": value for figure, value in _one(bench, mesh)}
                past = mesh.counted(pods.client.pod, FRAMES)[FRAMES]
        check(way, past)
    return found


def check(way: str, frames: float) -> None:
    """Raises BenchError unless frames went past the stack where they should, and there alone."""
    if bool(frames) != (MODES[way] != "off"):
        raise BenchError(
            f"{way}: {frames:.0f} frames went past the stack: the figures are not what they say; "
            "`stoq-node probe` with STOQ_AF_XDP_MODE=copy says what the kernel lacks"
        )


def rate(before: Mapping[str, float], after: Mapping[str, float], seconds: float) -> float:
    """Datagrams a second that a sidecar sent, by whichever way."""
    return (after[DATAGRAMS] - before[DATAGRAMS]) / seconds


def _one(bench: Bench, mesh: Mesh) -> Iterator[tuple[str, float]]:
    """Bulk, datagrams a second meanwhile, and requests on schedule."""
    pods, seconds = bench.network, bench.settings.seconds
    with iperf.server(bench), echo_server(bench):
        target = f"[{pods.server.address}]:{ECHO_PORT}"
        # A short run first: the connection is there, and the neighbour resolved.
        run(command(bench, target, seconds=1.0), timeout=30)
        client = pods.client.pod
        began, before = time.monotonic(), mesh.counted(client, DATAGRAMS)
        route = Route(pods.server.address, IPERF_PORT, mesh.sidecars)
        bulk = iperf.run(bench, route, iperf.Load(seconds), "bulk")
        # In the time is iperf3's warm-up, in which it sends as well, and what it takes to begin and
        # to end: alike for both ways.
        yield "packets", rate(before, mesh.counted(client, DATAGRAMS), time.monotonic() - began)
        yield "bulk", bulk.values["bulk"]
        values = values_of(run(command(bench, target, seconds), timeout=seconds + 30).stdout)
        yield "p50", values["p50"]
        yield "p99", values["p99"]


@contextlib.contextmanager
def _meshed(bench: Bench, mode: str) -> Iterator[Mesh]:
    """Both sidecars ready, with sockets of a broker that lends so much."""
    pods = bench.network
    namespaces = [side.pod.netns for side in (pods.client, pods.server)]
    words = installation.as_root("benchlib.node.brokers", [mode, *namespaces])
    with running(pods, f"brokers-{mode}", words):
        settings = MeshSettings(capture="agent", environment={"STOQ_DATA_WORKERS": "1"})
        yield started(pods, settings)[0]

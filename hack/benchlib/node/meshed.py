"""A meshed pair whose client plays another node: the guard is on the host's end of its link."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchlib import certificates, iperf, network
from benchlib.candidates.base import Bench, Route
from benchlib.candidates.stoq import Stoq
from benchlib.node.settings import Settings
from benchlib.scenarios.base import IPERF_PORT
from benchlib.scenarios.latency import echo_server
from benchlib.settings import Settings as PathSettings
from benchlib.tools import Tools


@contextlib.contextmanager
def meshed(
    settings: Settings, tools: Tools, others: Sequence[str] = ()
) -> Iterator[tuple[Bench, Route]]:
    """With servers of requests and of bulk. Raises BenchError and what hack/lab raises."""
    path = PathSettings("bulk", mtu=settings.mtu, seconds=settings.seconds)
    with (
        TemporaryDirectory(prefix="bench-") as folder,
        network.pair(settings.mtu, pin=False, others=others) as pods,
    ):
        bench = Bench(path, pods, tools, certificates.make(Path(folder)))
        with (
            echo_server(bench),
            iperf.server(bench),
            Stoq().route(bench, IPERF_PORT) as route,
        ):
            yield bench, route

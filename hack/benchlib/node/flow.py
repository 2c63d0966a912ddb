"""What a meshed flow keeps: with programs attached, and during a blast at its server's port.

The client's pod plays another node: the guard is on the host's end of its link, and the blast comes
from it too. Everything runs on one start of the mesh.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Final

from benchlib import certificates, iperf, network
from benchlib.candidates.base import Bench, Route
from benchlib.candidates.stoq import Stoq
from benchlib.errors import BenchError
from benchlib.node.blast import Blast, sent
from benchlib.node.programs import Programs
from benchlib.node.settings import Settings
from benchlib.processes import running
from benchlib.scenarios.base import ECHO_PORT, IPERF_PORT
from benchlib.scenarios.latency import command as latency_command
from benchlib.scenarios.latency import echo_server, values_of
from benchlib.settings import Settings as PathSettings
from benchlib.tools import Tools
from lab import netns
from lab.command import run
from lab.plan import Pod

SINK: Final = "sink"

# What is attached while the flow has the machine to itself.
ATTACHED: Final = ("plain", "guard", "tc")

# Seconds of blast before and after the bytes that count.
AROUND: Final = 1.0

# Seconds until sidecars are back: in any case, and for each; a handshake takes a CPU some
# milliseconds, both sides together, and the machine may be busy.
PATIENCE: Final = 30.0
HANDSHAKE: Final = 0.05

DROP_ALL: Final = (
    'table netdev bench { chain in { type filter hook ingress device "eth0" priority 0; drop; }; }'
)


def measure(settings: Settings, tools: Tools, programs: Programs) -> dict[str, float]:
    """One round, by "figure variant". Raises BenchError and what hack/lab raises."""
    path = PathSettings("bulk", mtu=settings.mtu, seconds=settings.seconds)
    with (
        TemporaryDirectory(prefix="bench-") as folder,
        network.pair(settings.mtu, pin=False, others=(SINK,)) as pods,
    ):
        bench = Bench(path, pods, tools, certificates.make(Path(folder)))
        netns.run_in(pods.layout.pod(SINK).netns, ["nft", "-f", "-"], stdin=DROP_ALL)
        with (
            echo_server(bench),
            iperf.server(bench),
            Stoq().route(bench, IPERF_PORT) as route,
        ):
            return _Flow(settings, bench, programs, route).measure()


class _Flow:
    """A mesh that is up."""

    def __init__(self, settings: Settings, bench: Bench, programs: Programs, route: Route) -> None:
        self._settings = settings
        self._bench = bench
        self._programs = programs
        self._route = route
        self._found: dict[str, float] = {}

    def measure(self) -> dict[str, float]:
        pods = self._bench.network
        client, server, fabric = pods.client.pod, pods.server.pod, pods.layout.fabric
        # There and back: what comes later finds another machine, and connections that have grown.
        order = ATTACHED[1:] if self._settings.smoke else (*ATTACHED, *reversed(ATTACHED))
        seen: dict[str, list[float]] = {}
        for name in order:
            with self._attached(name):
                for figure, value in self._unloaded(name).items():
                    seen.setdefault(figure, []).append(value)
        self._found |= {figure: fmean(values) for figure, values in seen.items()}
        if self._settings.sidecars:
            with self._programs.guarding(fabric, client.port):
                self._storm()
        if not self._settings.smoke:
            self._blasted("sink", pods.layout.pod(SINK))
            self._blasted("unguarded", server)
        with self._programs.guarding(fabric, client.port):
            before = self._programs.dropped()
            packets = self._blasted("guarded", server)
            self._found["blast dropped"] = (self._programs.dropped() - before) / max(packets, 1)
        return self._found

    @contextmanager
    def _attached(self, name: str) -> Iterator[None]:
        pods = self._bench.network
        client, fabric = pods.client.pod, pods.layout.fabric
        if name == "guard":
            with self._programs.guarding(fabric, client.port):
                yield
        elif name == "tc":
            with self._programs.strict(fabric, client, pods.server.pod):
                yield
        else:
            yield

    def _unloaded(self, name: str) -> Mapping[str, float]:
        found = self._bulk(f"bulk {name}")
        return found if self._settings.smoke else {**found, **self._latency(name)}

    def _bulk(self, name: str) -> Mapping[str, float]:
        load = iperf.Load(self._settings.seconds)
        return iperf.run(self._bench, self._route, load, name).values

    def _latency(self, name: str) -> Mapping[str, float]:
        target = f"[{self._route.host}]:{ECHO_PORT}"
        words = latency_command(self._bench, target, self._settings.seconds)
        values = values_of(run(words, timeout=self._settings.seconds + 30).stdout)
        return {f"{figure} {name}": values[figure] for figure in ("p50", "p99")}

    def _blasted(self, name: str, target: Pod) -> float:
        """The flow beside a blast; returns how many packets that had."""
        pods = self._bench.network
        seconds = self._settings.seconds + iperf.WARM_UP + AROUND
        blast = Blast(target.ipv6, "mixed", seconds, self._settings.rate)
        with running(
            pods, "blast", pods.client.command(blast.command(self._bench.tools))
        ) as sender:
            self._found |= self._bulk(f"blast {name}")
            sender.wait_until("done", lambda: bool(sender.tail()), seconds + 30)
            return sent(sender.tail())

    def _storm(self) -> None:
        """Sidecars that come back at once: every one must be let in."""
        count = self._settings.sidecars
        words = Stoq().idle_command(self._bench, count)
        before = self._programs.dropped()
        with running(
            self._bench.network, "storm", self._bench.network.client.command(words)
        ) as load:
            load.wait_until(
                "connected", lambda: '"connections"' in load.tail(), PATIENCE + count * HANDSHAKE
            )
            connected = json.loads(load.tail().splitlines()[-1])["connections"]
        refused = self._programs.dropped() - before
        if connected != count:
            raise BenchError(f"only {connected} of {count} sidecars came back")
        self._found |= {"storm connected": connected, "storm refused": refused}

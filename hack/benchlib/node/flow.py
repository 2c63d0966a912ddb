"""What a meshed flow keeps with programs attached, and whether all are let in behind the guard.

Everything runs on one start of the mesh.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from statistics import fmean
from typing import Final

from benchlib import iperf
from benchlib.candidates.base import Bench, Route
from benchlib.candidates.stoq import Stoq
from benchlib.errors import BenchError
from benchlib.node.meshed import meshed
from benchlib.node.programs import Programs
from benchlib.node.settings import Settings
from benchlib.processes import running
from benchlib.scenarios.base import ECHO_PORT
from benchlib.scenarios.latency import command as latency_command
from benchlib.scenarios.latency import values_of
from benchlib.tools import Tools
from lab.command import run

# What is attached while the flow has the machine to itself.
ATTACHED: Final = ("plain", "guard", "tc")

# Seconds until sidecars are back: in any case, and for each; a handshake takes a CPU some
# milliseconds, both sides together, and the machine may be busy.
PATIENCE: Final = 30.0
HANDSHAKE: Final = 0.05


def measure(settings: Settings, tools: Tools, programs: Programs) -> dict[str, float]:
    """One round, by "figure variant". Raises BenchError and what hack/lab raises."""
    with meshed(settings, tools) as (bench, route):
        return _Flow(settings, bench, programs, route).measure()


class _Flow:
    """A mesh that is up."""

    def __init__(self, settings: Settings, bench: Bench, programs: Programs, route: Route) -> None:
        self._settings = settings
        self._bench = bench
        self._programs = programs
        self._route = route

    def measure(self) -> dict[str, float]:
        # There and back: what comes later finds another machine, and connections that have grown.
        order = ATTACHED[1:] if self._settings.smoke else (*ATTACHED, *reversed(ATTACHED))
        seen: dict[str, list[float]] = {}
        for name in order:
            with self._attached(name):
                for figure, value in self._unloaded(name).items():
                    seen.setdefault(figure, []).append(value)
        found = {figure: fmean(values) for figure, values in seen.items()}
        if self._settings.sidecars:
            with self._attached("guard"):
                found |= self._storm()
        return found

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
        load = iperf.Load(self._settings.seconds)
        found = iperf.run(self._bench, self._route, load, f"bulk {name}").values
        return found if self._settings.smoke else {**found, **self._latency(name)}

    def _latency(self, name: str) -> Mapping[str, float]:
        target = f"[{self._route.host}]:{ECHO_PORT}"
        words = latency_command(self._bench, target, self._settings.seconds)
        values = values_of(run(words, timeout=self._settings.seconds + 30).stdout)
        return {f"{figure} {name}": values[figure] for figure in ("p50", "p99")}

    def _storm(self) -> Mapping[str, float]:
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
        return {"storm connected": connected, "storm refused": refused}

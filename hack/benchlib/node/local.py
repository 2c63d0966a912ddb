"""The way from an application to the sidecar beside it: TCP over loopback, or a short circuit of
sockops and sk_msg (hack/peers/short-circuit; docs/decisions/0034).

Each variant has a network namespace and a cgroup of its own; the bulk and latency loads play
application and sidecar.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchlib import iperf, network
from benchlib.errors import BenchError
from benchlib.node.settings import Settings
from benchlib.scenarios.base import ECHO_PORT, IPERF_PORT
from benchlib.scenarios.latency import REQUEST_BYTES, values_of
from benchlib.tools import Tools
from lab import command, process
from lab.netns import run_in
from lab.process import Process

# Where the sidecar takes captured connections.
UNREAD_PORT: Final = 14001

# Bytes: how far it is tried whether a reader that does not read holds up the writer.
MOST_UNREAD: Final = 256_000_000

# As `hack/bench latency`: requests a second, over all connections.
RATE: Final = ("--rate", "1000", "--connections", "16")

_JOIN: Final = 'echo $$ > "$1" && shift && exec "$@"'


def measure(settings: Settings, tools: Tools) -> dict[str, float]:
    """One round, by "figure variant". Raises BenchError and what hack/lab raises."""
    found: dict[str, float] = {}
    for name, short in (("loopback", False), ("short", True)):
        with network.pair(settings.mtu, pin=False) as pods, _cgroup(pods.state.run) as folder:
            pod = _Pod(pods, folder, tools if short else None)
            found |= {f"local {figure} {name}": v for figure, v in pod.measure(settings, tools)}
    return found


class _Pod:
    """A namespace in which everything runs in one cgroup."""

    def __init__(self, pods: network.Network, folder: Path, short: Tools | None) -> None:
        self._pods = pods
        self._folder = folder
        self._short = short

    def measure(self, settings: Settings, tools: Tools) -> Iterator[tuple[str, float]]:
        seconds = str(settings.seconds)
        with self._circuit(UNREAD_PORT):
            unread_by = [sys.executable, "-m", "benchlib.node.unread"]
            said = self._run([*unread_by, str(UNREAD_PORT), str(MOST_UNREAD)])
            unread = json.loads(said)
            if not unread["unchanged"]:
                raise BenchError(f"bytes were changed on their way: {said}")
            yield "unread", unread["bytes"] / 1e6
        loadgen = tools.peer("loadgen")
        echo = [loadgen, "echo", f"[::1]:{ECHO_PORT}"]
        with self._circuit(ECHO_PORT), self._serving("echo", ECHO_PORT, echo):
            load = [loadgen, "latency", f"[::1]:{ECHO_PORT}", "--size", str(REQUEST_BYTES)]
            said = self._run([*load, *RATE, "--seconds", seconds])
            values = values_of(said)
            yield "p50", values["p50"]
            yield "p99", values["p99"]
        server = ["iperf3", "-s", "-p", str(IPERF_PORT)]
        with self._circuit(IPERF_PORT), self._serving("iperf3", IPERF_PORT, server):
            load = ["iperf3", "-c", "::1", "-p", str(IPERF_PORT), "-J"]
            said = self._run([*load, "-t", f"{settings.seconds:.0f}"])
            yield "bulk", iperf.received_rate(said) / 1e9

    def _inside(self, argv: Sequence[str]) -> list[str]:
        return ["sh", "-c", _JOIN, "sh", str(self._folder / "cgroup.procs"), *argv]

    def _run(self, argv: Sequence[str]) -> str:
        return run_in(self._pods.client.pod.netns, self._inside(argv), timeout=120)

    @contextlib.contextmanager
    def _serving(self, name: str, port: int, argv: Sequence[str]) -> Iterator[Process]:
        where = self._pods.client.pod.netns
        server = process.start(self._pods.state, name, self._inside(argv), netns=where)
        look = ["ss", "-Hltn", f"sport = :{port}"]
        server.wait_until("listening", lambda: bool(run_in(where, look)))
        try:
            yield server
        finally:
            server.stop()

    @contextlib.contextmanager
    def _circuit(self, port: int) -> Iterator[None]:
        """The short circuit towards a port, if this pod has one; it must have carried something."""
        if self._short is None:
            yield
            return
        words = [self._short.peer("short-circuit"), str(self._folder), str(port)]
        with subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as held:
            assert held.stdout is not None
            if not held.stdout.readline():
                raise BenchError("the kernel takes no short circuit: see above")
            yield
            said, _ = held.communicate(timeout=30)
        if not json.loads(said)["redirected"]:
            raise BenchError("nothing was redirected: the figures would be those of loopback")


@contextlib.contextmanager
def _cgroup(name: str) -> Iterator[Path]:
    """A cgroup of the v2 tree, which need not be mounted anywhere else."""
    with tempfile.TemporaryDirectory(prefix="bench-cgroup-") as mounted:
        command.run(["mount", "-t", "cgroup2", "none", mounted])
        folder = Path(mounted, f"stoq-{name}")
        try:
            folder.mkdir()
            yield folder
        finally:
            if folder.exists():
                folder.rmdir()
            command.run(["umount", mounted])

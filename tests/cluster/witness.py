"""Captures on the nodes: what pods of the mesh put on their links that was not STOQ.

A pod's link ends in its node's namespace, so a capture there sees every packet of every pod, the
moment it leaves and before the node does anything with it.
"""

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

from cluster.access import HACK, Cluster
from lab.packets import Kind, parse
from lab.pcap import frames

STATUS = "stoq.dev/status"
"""The annotation that injection leaves on a pod."""

HEAD_BYTES = 160
READY_SECONDS = 60.0

# Every state of every pod, also of those that are gone when the suite ends. A watch ends with the
# API server, of which there are outages.
_FOLLOW_PODS = (
    "for ((n = 0; ; n++)); do "
    'kubectl get pods -A --watch -o json >"$0/pods-$n.json"; sleep 0.2; done'
)

# Everything but STOQ, decided in the kernel: what passes is little.
_FILTER = "(ip or ip6) and not udp port 14008"


class Witness:
    """One tcpdump on each node, and the addresses of all pods that were ever in the mesh."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._running: list[subprocess.Popen[bytes]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Captures on all nodes, and follows pods, until the end of the block."""
        try:
            for node in self._cluster.nodes():
                self.watch(node)
            self._spawn(["bash", "-c", _FOLLOW_PODS, str(self._folder)], "pods")
            yield
        finally:
            self._stop()

    def watch(self, node: str) -> None:
        """Captures on a node from now on, also on one that is only just starting."""
        argv = ["tcpdump", "-i", "any", "-y", "LINUX_SLL2", "-n", "-p", "-Z", "root", "-U"]
        argv += ["--immediate-mode", "-B", "32768", "-s", str(HEAD_BYTES), "-w", "-", _FILTER]
        enter = (HACK, "enter", "--name", self._cluster.name, node)
        name = f"{node}-{len(self._running)}.pcap"
        capture = self._spawn([*enter, *argv], name)

        def listens() -> bool:
            nonlocal capture
            if capture.poll() is not None:
                capture = self._spawn([*enter, *argv], name)
            return b"listening on" in (self._folder / f"{name}.log").read_bytes()

        self._wait(listens)

    def _stop(self) -> None:
        for running in self._running:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGTERM)
        for running in self._running:
            running.wait(timeout=20)
        self._running.clear()

    def meshed(self) -> set[str]:
        """Addresses of every pod that was in the mesh while the captures ran."""
        listings = [path.read_text() for path in self._folder.glob("pods-*.json")]
        return meshed(pod for text in listings for pod in _documents(text))

    def plaintext(self) -> dict[str, int]:
        """What went from one meshed pod to another other than STOQ and ICMP, and how often."""
        return plaintext(self._captures(), self.meshed())

    def seen(self, address: str, port: int) -> int:
        """How many packets went to a TCP port of `address`: proof that the captures see them."""
        wanted = (ip_address(address), port)
        return sum(
            (packet.destination, packet.destination_port) == wanted
            for capture in self._captures()
            for packet in (parse(frame.protocol, frame.data) for frame in frames(capture))
        )

    def _captures(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self._folder.glob("*.pcap"))]

    def _spawn(self, argv: Sequence[str | Path], name: str) -> subprocess.Popen[bytes]:
        with (
            (self._folder / name).open("wb") as out,
            (self._folder / f"{name}.log").open("wb") as log,
        ):
            running = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                env={**os.environ, **self._cluster.environment},
                start_new_session=True,
            )
        self._running.append(running)
        return running

    def _wait(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not done():
            assert time.monotonic() < deadline, "a capture did not start"
            time.sleep(0.05)


def meshed(pods: Iterable[dict]) -> set[str]:
    """Addresses of the pods among these that carry the mesh's containers."""
    return {
        entry["ip"]
        for pod in pods
        if STATUS in pod["metadata"].get("annotations", {})
        for entry in pod.get("status", {}).get("podIPs", [])
    }


def plaintext(captures: Iterable[bytes], addresses: set[str]) -> dict[str, int]:
    """Packets between two of the addresses that are neither STOQ nor ICMP, by ends and port."""
    members = {ip_address(address) for address in addresses}
    found: Counter[str] = Counter()
    for capture in captures:
        for frame in frames(capture):
            packet = parse(frame.protocol, frame.data)
            if {packet.source, packet.destination} <= members and packet.kind is not Kind.EXEMPT:
                found[f"{packet.source} {packet.label} {packet.destination}"] += 1
    return dict(found)


def _documents(text: str) -> Iterable[dict]:
    """JSON documents that stand one after the other; the last may be cut short."""
    decoder = json.JSONDecoder()
    position = 0
    while position < len(text):
        try:
            document, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError:
            return
        yield document
        while position < len(text) and text[position].isspace():
            position += 1

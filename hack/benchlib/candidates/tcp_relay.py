"""Two plain TCP relays: the ceiling of every pair of proxies."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from benchlib.candidates.base import CLIENT_PORT, Bench, RelayPair


class TcpRelay(RelayPair):
    """hack/peers/tcp-relay on both sides."""

    name: ClassVar[str] = "tcp-relay"
    title: ClassVar[str] = "two plain TCP relays (proxy ceiling)"
    scenarios: ClassVar[frozenset[str]] = frozenset({"bulk", "latency", "cpu"})

    def commands(self, bench: Bench, port: int) -> Mapping[str, Sequence[str]]:
        """Loopback to the far relay to the application."""
        command = [bench.tools.peer("tcp-relay"), "--workers", str(bench.workers)]
        return {
            "client": [*command, f"[::1]:{CLIENT_PORT}", bench.far_relay],
            "server": [*command, bench.far_relay, f"[::1]:{port}"],
        }

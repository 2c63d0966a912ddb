"""quinn on tokio: as a TCP relay, and alone. Settings in hack/peers/quic-setup."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from benchlib.candidates.base import (
    CLIENT_PORT,
    Bench,
    BulkLoad,
    Candidate,
    HandshakeLoad,
    RelayPair,
    Route,
    handshakes,
)
from benchlib.processes import listening, running


class QuinnRelay(RelayPair, HandshakeLoad):
    """hack/peers/quinn-relay on both sides."""

    name: ClassVar[str] = "quinn-relay"
    title: ClassVar[str] = "quinn on tokio, TCP relay pair"
    scenarios: ClassVar[frozenset[str]] = frozenset(
        {"bulk", "latency", "handshake", "memory", "cpu"}
    )
    udp: ClassVar[bool] = True

    def commands(self, bench: Bench, port: int) -> Mapping[str, Sequence[str]]:
        """TCP on loopback to QUIC to the application."""
        command = _quinn(bench, "quinn-relay")
        return {
            "client": [*command, "client", f"[::1]:{CLIENT_PORT}", bench.far_relay],
            "server": [*command, "server", bench.far_relay, f"[::1]:{port}"],
        }

    def handshake_command(self, bench: Bench, *, resumed: bool) -> Sequence[str]:
        """quinn against quinn."""
        return handshakes(bench, "quic", "relay", resumed=resumed)


class StockQuinn(Candidate, BulkLoad):
    """hack/peers/stock-quinn: the engine alone."""

    name: ClassVar[str] = "stock-quinn"
    title: ClassVar[str] = "quinn alone, no relay"
    scenarios: ClassVar[frozenset[str]] = frozenset({"bulk"})

    @contextlib.contextmanager
    def route(self, bench: Bench, port: int) -> Iterator[Route]:
        """The receiving side, which is the application."""
        side = bench.network.server
        argv = [*_quinn(bench, "stock-quinn"), "server", f"[{side.address}]:{port}"]
        command = side.command(argv, as_relay=True)
        with running(bench.network, "stock-quinn-server", command) as server:
            listening(side, port, server, udp=True)
            yield Route(side.address, port, {"server": server})

    def bulk_command(self, bench: Bench, route: Route) -> Sequence[str]:
        """The sending side."""
        settings = bench.settings
        load = ["--seconds", str(settings.seconds), "--streams", str(settings.streams)]
        return [*_quinn(bench, "stock-quinn"), "client", *load, route.target]


def _quinn(bench: Bench, program: str) -> list[str]:
    """A quinn peer's program with what all of them take."""
    return [
        bench.tools.peer(program),
        *("--mtu", str(bench.settings.mtu)),
        *("--workers", str(bench.workers)),
        *bench.certificates.options(),
    ]

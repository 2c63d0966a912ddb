"""Envoy pairs: what users have today. Their settings, each with its reason, are in
hack/peers/envoy."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from string import Template
from typing import ClassVar

from benchlib.candidates.base import (
    CLIENT_PORT,
    SERVER_PORT,
    Bench,
    HandshakeLoad,
    RelayPair,
    Route,
    handshakes,
)
from benchlib.network import control_congestion
from benchlib.tools import PEERS


class EnvoyTcp(RelayPair, HandshakeLoad):
    """TCP proxy over mutual TLS 1.3 with X25519MLKEM768."""

    name: ClassVar[str] = "envoy"
    title: ClassVar[str] = "Envoy pair, mTLS"
    scenarios: ClassVar[frozenset[str]] = frozenset(
        {"bulk", "latency", "handshake", "memory", "cpu"}
    )
    files: ClassVar[str] = "tcp"

    def commands(self, bench: Bench, port: int) -> Mapping[str, Sequence[str]]:
        """Envoy beside the client, and Envoy beside the application."""
        return {side: self._command(bench, port, side) for side in ("client", "server")}

    def handshake_command(self, bench: Bench, *, resumed: bool) -> Sequence[str]:
        """rustls against BoringSSL. Envoy opens its connection to the application meanwhile."""
        return handshakes(bench, "tls", "", resumed=resumed)

    def _command(self, bench: Bench, port: int, side: str) -> Sequence[str]:
        values = {
            "client_port": CLIENT_PORT,
            "server_address": bench.network.server.address,
            "server_port": SERVER_PORT,
            "app_port": port,
            "certificate": bench.certificates.certificate,
            "key": bench.certificates.key,
            "root": bench.certificates.root,
        }
        template = Template((PEERS / "envoy" / f"{self.files}-{side}.yaml").read_text())
        config = bench.network.state.folder / f"{self.name}-{side}-{port}.yaml"
        config.write_text(template.substitute({key: str(value) for key, value in values.items()}))
        # One worker for each CPU, Envoy's own default; no hot restart, which would share memory
        # between the two; log level warn keeps one line per connection out of the measurement.
        return [
            bench.tools.need_envoy(),
            *("--config-path", str(config)),
            *("--concurrency", str(bench.workers)),
            *("--log-level", "warning"),
            "--disable-hot-restart",
        ]


class EnvoyHttp3(EnvoyTcp):
    """TCP tunnelled by CONNECT over HTTP/3: the standard QUIC path of today."""

    name: ClassVar[str] = "envoy-h3"
    title: ClassVar[str] = "Envoy pair, HTTP/3 CONNECT"
    files: ClassVar[str] = "h3"
    udp: ClassVar[bool] = True

    def handshake_command(self, bench: Bench, *, resumed: bool) -> Sequence[str]:
        """quinn against QUICHE; only the server has a certificate."""
        return handshakes(bench, "quic", "h3", resumed=resumed)


class EnvoyCubic(EnvoyTcp):
    """Over the kernel's CUBIC, whatever the machine's default is."""

    name: ClassVar[str] = "envoy-cubic"
    title: ClassVar[str] = "Envoy pair, kernel CUBIC"
    scenarios: ClassVar[frozenset[str]] = frozenset()
    congestion: ClassVar[str] = "cubic"

    @contextlib.contextmanager
    def route(self, bench: Bench, port: int) -> Iterator[Route]:
        """As without, over routes that say so."""
        control_congestion(bench.network, self.congestion)
        with super().route(bench, port) as route:
            yield route


class EnvoyBbr(EnvoyCubic):
    """Over the kernel's BBR, which is version 1."""

    name: ClassVar[str] = "envoy-bbr"
    title: ClassVar[str] = "Envoy pair, kernel BBR"
    congestion: ClassVar[str] = "bbr"

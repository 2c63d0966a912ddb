"""What every candidate offers a scenario."""

import abc
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from benchlib.certificates import Certificates
from benchlib.network import Network
from benchlib.processes import listening, running
from benchlib.settings import Settings
from benchlib.tools import Tools
from lab.process import Process

# The relay pairs' ports: where the application connects on its side, and the far side listens.
CLIENT_PORT = 15001
SERVER_PORT = 15008


@dataclass(frozen=True, slots=True)
class Bench:
    """What a run has at hand."""

    settings: Settings
    network: Network
    tools: Tools
    certificates: Certificates

    @property
    def workers(self) -> int:
        """Threads each relay gets: the CPUs it may run on."""
        return 1 if self.settings.pin else 2

    @property
    def far_relay(self) -> str:
        """Address and port that the server side's relay listens on."""
        return f"[{self.network.server.address}]:{SERVER_PORT}"


@dataclass(frozen=True, slots=True)
class Route:
    """A path that is up: where the client connects, and the relays to account for."""

    host: str
    port: int
    relays: dict[str, Process] = field(default_factory=dict)  # "client", "server", "gateway"

    @property
    def target(self) -> str:
        """Host and port as the load tools take them."""
        return f"[{self.host}]:{self.port}"


class Candidate(abc.ABC):
    """A path from the client pod to an application in the server pod."""

    name: ClassVar[str]
    title: ClassVar[str]
    scenarios: ClassVar[frozenset[str]]  # what it can be measured in
    others: ClassVar[tuple[str, ...]] = ()  # pods that it needs beside client and server

    @abc.abstractmethod
    def route(self, bench: Bench, port: int) -> contextlib.AbstractContextManager[Route]:
        """Brings the path up to an application on `port` of the server side."""


class BulkLoad(abc.ABC):
    """An engine alone: what receives is its route, what sends is its own program."""

    @abc.abstractmethod
    def bulk_command(self, bench: Bench, route: Route) -> Sequence[str]:
        """The sending program. It prints one JSON object with `bytes` and `bits_per_second`."""


class HandshakeLoad(abc.ABC):
    """A candidate whose server side can be loaded with handshakes alone."""

    @abc.abstractmethod
    def handshake_command(self, bench: Bench, *, resumed: bool) -> Sequence[str]:
        """The load client. It prints one JSON object with `handshakes`, `resumed`, `seconds`."""


class IdlePeers(abc.ABC):
    """A candidate that keeps connections between relays apart from those it relays."""

    @abc.abstractmethod
    def idle_command(self, bench: Bench, count: int) -> Sequence[str]:
        """Holds `count` such connections to the server side's relay until it is killed.

        It prints one JSON object with `connections` when all are up.
        """


class RelayPair(Candidate):
    """Two relays, one on each side, given by their commands."""

    udp: ClassVar[bool] = False  # what the server side listens on

    @abc.abstractmethod
    def commands(self, bench: Bench, port: int) -> Mapping[str, Sequence[str]]:
        """The "client" relay, listening on CLIENT_PORT of loopback, and the "server" relay beside
        the application at `port`, listening on SERVER_PORT."""

    @contextlib.contextmanager
    def route(self, bench: Bench, port: int) -> Iterator[Route]:
        """Starts the server side first: a QUIC client side connects at once."""
        network, commands = bench.network, self.commands(bench, port)
        with contextlib.ExitStack() as stack:
            command = network.server.command(commands["server"], as_relay=True)
            far = stack.enter_context(running(network, f"{self.name}-server", command))
            listening(network.server, SERVER_PORT, far, udp=self.udp)
            command = network.client.command(commands["client"], as_relay=True)
            near = stack.enter_context(running(network, f"{self.name}-client", command))
            listening(network.client, CLIENT_PORT, near)
            yield Route("::1", CLIENT_PORT, {"client": near, "server": far})


def handshakes(bench: Bench, protocol: str, alpn: str, *, resumed: bool) -> list[str]:
    """hack/peers/handshake-load against the far relay."""
    command = [bench.tools.peer("handshake-load"), protocol, bench.far_relay, "--alpn", alpn]
    command += ["--seconds", str(bench.settings.seconds), "--mtu", str(bench.settings.mtu)]
    command += ["--resumed"] if resumed else []
    return [*command, *bench.certificates.options()]

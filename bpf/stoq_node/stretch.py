"""What a program has of STOQ between two engines: real connections through both, timed.

The engines are started where their link is, in network namespaces or not; each has one worker.
"""

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from threading import Thread
from typing import Final, Protocol, TypeVar

import msgspec

from stoq import constants
from stoq.capture.plan import Address
from stoq.engine import CertificateAuthority, Engine, HybridKey, TlsContext
from stoq.engine.settings import AfXdp, EngineSettings, Listener
from stoq_node.speeds import Speed

T = TypeVar("T")

PORT: Final = 14090
"""TCP, of the service and of the program behind it."""

BULK: Final = 16 << 20
"""Bytes that are sent at once."""

TRIPS: Final = 300
"""Requests, one after another."""

REQUEST: Final = 1024
"""Bytes of one, and of its answer."""

SECONDS: Final = 5.0
"""Without progress, after which there is none to be measured."""

_DOMAIN: Final = "trial.stoq"
_NAMESPACE: Final = "trial"
_CLIENT, _SERVER = "client", "server"
_BLOCK: Final = bytes(1 << 18)


class Where(Protocol):
    """Calls a function at one end."""

    def __call__(self, function: Callable[[], T], /) -> T:
        """Returns or raises what it does."""


@dataclass(frozen=True, slots=True)
class End:
    """One end of a link, and its address there."""

    where: Where
    address: Address
    lend: Callable[[], AfXdp] | None = None
    """Lends its interface; None: by sockets alone. Called there."""


class Identities:
    """Two members of a mesh that nobody else is in."""

    def __init__(self) -> None:
        now = int(time.time())
        life = now - 60, now + 3600
        authority = CertificateAuthority.create(_DOMAIN, *life)

        def member(name: str) -> TlsContext:
            tls, key = TlsContext(), HybridKey.generate()
            tls.set_trust(_DOMAIN, [authority.root])
            tls.set_identity(key, authority.issue(key.csr(), _id(name), *life))
            return tls

        self.client, self.server = member(_CLIENT), member(_SERVER)


class Stretch:
    """Two engines that run, and two connections through both."""

    def __init__(self, engine: Engine, bulk: "Connection", trips: "Connection") -> None:
        self._engine = engine
        self._bulk = bulk
        self._trips = trips

    def once(self) -> Speed:
        """Measures both figures, some hundredths of a second each. Raises OSError."""
        return Speed(bulk=BULK / self._bulk.carry(), trips=TRIPS / self._trips.ask())

    @property
    def sent(self) -> tuple[int, int]:
        """Datagrams that the client's engine has sent, and those of them past the stack."""
        counters = self._engine.snapshot().counters
        return counters.udp_datagrams_sent, counters.af_xdp_frames_sent


@dataclass(frozen=True, slots=True)
class Connection:
    """A program's connection, and what the program at its other end has of it."""

    near: socket.socket
    far: socket.socket

    def carry(self) -> float:
        """Seconds until all that was sent has arrived."""

        def send() -> None:
            for _ in range(BULK // len(_BLOCK)):
                self.near.sendall(_BLOCK)

        with _beside(send):
            began = time.monotonic()
            _receive(self.far, BULK)
            return time.monotonic() - began

    def ask(self) -> float:
        """Seconds for all requests."""
        request = _BLOCK[:REQUEST]

        def answer() -> None:
            for _ in range(TRIPS):
                _receive(self.far, REQUEST)
                self.far.sendall(request)

        with _beside(answer):
            began = time.monotonic()
            for _ in range(TRIPS):
                self.near.sendall(request)
                _receive(self.near, REQUEST)
            return time.monotonic() - began


@contextmanager
def stretch(client: End, server: End, service: Address, as_: Identities) -> Iterator[Stretch]:
    """Engines at both ends. `service` is an address of the client's end, behind which programs
    there find the server's. Raises OSError, ValueError, and what `lend` does.
    """
    with ExitStack() as stack:
        target = (str(server.address), PORT)
        family = socket.AF_INET if server.address.version == 4 else socket.AF_INET6
        listener = stack.enter_context(
            server.where(partial(socket.create_server, target, family=family))
        )
        listener.settimeout(SECONDS)
        engines = []
        for end, name, tls, outbound in (
            (server, _SERVER, as_.server, None),
            (client, _CLIENT, as_.client, Listener(listen=_at(service, PORT))),
        ):
            made = end.where(partial(_engine, end, name, tls, outbound))
            stack.callback(_stop, made)
            made.set_table(_table(name, client.address, server.address, service))
            engines.append(made)
        connections = []
        for _ in range(2):
            near = client.where(
                partial(socket.create_connection, (str(service), PORT), timeout=SECONDS)
            )
            stack.callback(near.close)
            near.sendall(b"!")
            far, _address = listener.accept()
            stack.callback(far.close)
            far.settimeout(SECONDS)
            _receive(far, 1)
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connections.append(Connection(near, far))
        yield Stretch(engines[-1], *connections)


def _engine(end: End, name: str, tls: TlsContext, outbound: Listener | None) -> Engine:
    settings = EngineSettings(
        name=name,
        namespace=_NAMESPACE,
        workers=1,
        stoq=Listener(listen=_at(end.address, constants.STOQ_PORT)),
        outbound=outbound,
        log_level="error",
    )
    if end.lend is not None:
        settings = msgspec.structs.replace(settings, af_xdp=end.lend())
    return Engine(settings, tls)


def _stop(engine: Engine) -> None:
    asyncio.run(engine.stop())


def _table(own: str, client: Address, server: Address, service: Address) -> str:
    addresses = {_CLIENT: str(client), _SERVER: str(server)}
    workloads = [
        {
            "uid": name,
            "name": name,
            "namespace": _NAMESPACE,
            "spiffe_id": _id(name),
            "addresses": [address],
        }
        for name, address in addresses.items()
    ]
    behind = {
        "name": _SERVER,
        "namespace": _NAMESPACE,
        "vips": [str(service)],
        "ports": [{"port": PORT, "target": PORT}],
        "endpoints": [{"address": addresses[_SERVER], "weight": 1}],
    }
    return json.dumps(
        {
            "version": 1,
            "own": {"name": own, "namespace": _NAMESPACE, "addresses": [addresses[own]]},
            "inbound": "strict",
            "outbound": "meshOnly",
            "workloads": workloads,
            "services": [behind],
        }
    )


def _id(name: str) -> str:
    return f"spiffe://{_DOMAIN}/ns/{_NAMESPACE}/sa/{name}"


def _at(address: Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _receive(connection: socket.socket, size: int) -> None:
    """Takes so many bytes. Raises OSError when fewer come."""
    buffer = bytearray(min(size, len(_BLOCK)))
    while size:
        taken = connection.recv_into(buffer, min(size, len(buffer)))
        if not taken:
            raise ConnectionError(f"the connection ended {size} bytes too early")
        size -= taken


@contextmanager
def _beside(function: Callable[[], None]) -> Iterator[None]:
    """Runs it in another thread meanwhile; raises what it raises, unless the block does."""
    failed: list[OSError] = []

    def run() -> None:
        try:
            function()
        except OSError as error:
            failed.append(error)

    thread = Thread(target=run, name="stoq-trial")
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if failed:
        raise failed[0]

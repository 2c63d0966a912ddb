"""Engines and the reference, face to face."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import pytest

from stoq.engine import Engine
from stoq_reference import objects
from stoq_reference.client import connect
from stoq_reference.endpoint import Endpoint
from stoq_reference.frames import Frame
from stoq_reference.peer import Closed, Peer
from stoq_reference.server import Server, serve
from stoq_reference.stream import Stream, StreamFailed
from support.patience import PATIENCE

LOOPBACK = "::1"

OWN_ADDRESS = "fd00::2"
"""The address of the engine's workload; it is on no interface."""

TABLE = json.dumps(
    {
        "version": 1,
        "own": {"name": "server", "namespace": "shop", "addresses": [OWN_ADDRESS]},
        "inbound": "strict",
        "outbound": "meshOnly",
    }
)
"""A routing table for the engine's workload."""


@dataclass(frozen=True)
class EngineServer:
    """An engine with a listener for peers and one for API calls."""

    engine: Engine

    @property
    def mesh(self) -> int:
        """Port of the mutually authenticated listener."""
        return self._port("stoq")

    @property
    def api(self) -> int:
        """Port of the listener for API calls, where a client may have no certificate."""
        return self._port("bootstrap")

    def _port(self, listener: str) -> int:
        port = self.engine.local_port(listener)
        assert port is not None
        return port


def own_address() -> str:
    """An address of this machine; loopback is none of a workload. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])


async def closing(peer: Peer) -> Closed:
    """How the peer closed the connection."""
    return await asyncio.wait_for(asyncio.shield(peer.closed), PATIENCE)


async def refusal(port: int, endpoint: Endpoint) -> Closed:
    """How a server refuses an endpoint, whichever side finds out first."""
    try:
        async with connect(LOOPBACK, port, endpoint) as peer:
            return await closing(peer)
    except Closed as closed:
        return closed


async def failure(waiting: Awaitable[object]) -> int | None:
    """The code that a stream fails with on which something waits."""
    with pytest.raises(StreamFailed) as failed:
        async with asyncio.timeout(PATIENCE):
            await waiting
    return failed.value.code


async def refused(peer: Peer, sent: Sequence[Frame]) -> int | None:
    """The code that a lane of these frames, of an object, is reset with."""
    return await failure(objects.whole(objects.begin(peer, sent), peer.agreed))


async def echo(stream: Stream) -> None:
    """Sends back what comes, for as long as there is a peer."""
    with suppress(StreamFailed):
        while data := await stream.recv():
            stream.send(data)
        stream.send(b"", end=True)


async def _serve_peer(peer: Peer) -> None:
    async with asyncio.TaskGroup() as echoes:
        while True:
            echoes.create_task(echo(await peer.accepted.get()))


@asynccontextmanager
async def echoing(endpoint: Endpoint, *, retry: bool = False) -> AsyncIterator[Server]:
    """A reference server whose peers get back what they send."""

    async def accept(server: Server) -> None:
        async with asyncio.TaskGroup() as peers:
            while True:
                peers.create_task(_serve_peer(await server.accepted.get()))

    async with serve(LOOPBACK, 0, endpoint, retry=retry) as server:
        accepting = asyncio.create_task(accept(server))
        yield server
        accepting.cancel()


def address(server: Server) -> str:
    """Where an engine reaches the server."""
    return f"[{LOOPBACK}]:{server.port}"

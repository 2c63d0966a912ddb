"""Engine and reference behind one door, so that what both must do is written once.

An end is a client or a server; each has API streams, objects, and what it knows of its connection.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from stoq.engine import CertificateAuthority
from stoq_reference.peer import Peer
from support.ends import engine, reference
from support.ends.engine import EngineClient, EngineServer
from support.ends.interface import (
    Aead,
    ByteStream,
    Client,
    Offer,
    Profile,
    Seen,
    Server,
)
from support.ends.reference import ReferenceClient, ReferenceServer, endpoint
from support.patience import PATIENCE

__all__ = [
    "Aead",
    "ByteStream",
    "Client",
    "EngineClient",
    "EngineServer",
    "Implementation",
    "Offer",
    "Pair",
    "Profile",
    "ReferenceClient",
    "ReferenceServer",
    "Seen",
    "Server",
    "dialling",
    "echoed",
    "endpoint",
    "greeted",
    "serving",
    "telling",
    "update_keys",
    "whole",
]

Implementation = Literal["engine", "reference"]

ORDINARY = Offer()
"""What an end is made with unless something else is said."""


def serving(
    implementation: Implementation, ca: CertificateAuthority, offer: Offer = ORDINARY
) -> AbstractAsyncContextManager[Server]:
    """A server made so."""
    if implementation == "engine":
        return engine.serving(ca, offer)
    return reference.serving(ca, offer)


def dialling(
    implementation: Implementation,
    ca: CertificateAuthority,
    offer: Offer = ORDINARY,
    *,
    idle_ms: int = 300_000,
) -> AbstractAsyncContextManager[Client]:
    """A client made so; `idle_ms`: how long an engine keeps a connection that nothing uses."""
    if implementation == "engine":
        return engine.dialling(ca, offer, idle_ms=idle_ms)
    return reference.dialling(ca, offer)


@dataclass(frozen=True)
class Pair:
    """Who dials whom."""

    client: Implementation
    server: Implementation

    def __str__(self) -> str:
        return f"{self.client} to {self.server}"

    @asynccontextmanager
    async def ends(
        self,
        ca: CertificateAuthority,
        client: Offer = ORDINARY,
        server: Offer = ORDINARY,
        *,
        idle_ms: int = 300_000,
    ) -> AsyncIterator[tuple[Client, Server]]:
        """Both, made so."""
        async with (
            asyncio.timeout(PATIENCE),
            serving(self.server, ca, server) as far,
            dialling(self.client, ca, client, idle_ms=idle_ms) as near,
        ):
            yield near, far


async def whole(stream: ByteStream, length: int) -> bytes:
    """The next `length` bytes, or fewer at the stream's end."""
    received = bytearray()
    while len(received) < length and (piece := await stream.recv()):
        received += piece
    return bytes(received)


async def greeted(client: Client, server: Server) -> tuple[ByteStream, ByteStream]:
    """Both ends of an API stream on which the client has said something."""
    near = await client.open(server)
    await near.send(b"!")
    far = await server.accept()
    assert await far.recv() == b"!"
    return near, far


async def echoed(client: Client, server: Server, data: bytes) -> bytes:
    """What comes back of `data` over an API stream, all the way."""
    near = await client.open(server)

    async def answer() -> None:
        far = await server.accept()
        received = await whole(far, len(data) + 1)
        await far.send(received, end=True)

    answering = asyncio.create_task(answer())
    await near.send(data, end=True)
    back = await whole(near, len(data) + 1)
    await answering
    return back


async def telling(client: Client, server: Server) -> Peer:
    """The reference's end of a connection, the client's of two: it sends what it is told."""
    if isinstance(client, ReferenceClient):
        return await client.dial(server.mesh)
    assert isinstance(server, ReferenceServer)
    await greeted(client, server)
    return server.peer


async def update_keys(peer: Peer) -> None:
    """Sends with new keys from now on, in a moment."""
    await asyncio.wait_for(peer.update_keys(), PATIENCE)

"""Dialling."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aioquic.quic.logger import QuicLogger

from stoq_reference.connection import HybridConnection, configuration
from stoq_reference.endpoint import Endpoint
from stoq_reference.peer import Peer


@asynccontextmanager
async def connect(
    host: str, port: int, endpoint: Endpoint, *, qlog: QuicLogger | None = None
) -> AsyncIterator[Peer]:
    """A connection whose handshake is complete on our side; it is closed at the end.

    A server that refuses us says so afterwards: see `Peer.closed`. Raises Closed when the handshake
    fails or is not answered within the idle timeout.
    """
    loop = asyncio.get_running_loop()
    connection = HybridConnection(
        endpoint, configuration=configuration(endpoint, is_client=True, qlog=qlog)
    )
    transport, peer = await loop.create_datagram_endpoint(
        lambda: Peer(endpoint, connection), remote_addr=(host, port)
    )
    try:
        peer.connect(transport.get_extra_info("peername"))
        await _established(peer)
        yield peer
    finally:
        peer.end()
        await peer.closed
        transport.close()


async def _established(peer: Peer) -> None:
    established = asyncio.create_task(peer.established.wait())
    await asyncio.wait((established, peer.closed), return_when=asyncio.FIRST_COMPLETED)
    established.cancel()
    # Both may have come together: whoever is refused has seen by whom.
    if not peer.established.is_set():
        raise peer.closed.result()

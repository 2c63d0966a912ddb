"""Listening."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

from aioquic.buffer import Buffer
from aioquic.quic.packet import QuicHeader, QuicPacketType, encode_quic_retry, pull_quic_header
from aioquic.quic.retry import QuicRetryTokenHandler

from stoq_reference.connection import HybridConnection, configuration
from stoq_reference.endpoint import Endpoint
from stoq_reference.peer import Peer

CONNECTION_ID_LENGTH = 8
MIN_INITIAL = 1200
"""Bytes of the smallest datagram with an Initial (RFC 9000, section 14.1)."""


class Server(asyncio.DatagramProtocol):
    """The connections of one UDP port."""

    def __init__(self, endpoint: Endpoint, *, retry: bool) -> None:
        self._endpoint = endpoint
        self._retry = QuicRetryTokenHandler() if retry else None
        self._by_id: dict[bytes, Peer] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._loop = asyncio.get_running_loop()
        self.accepted: asyncio.Queue[Peer] = asyncio.Queue()
        self.retries = 0

    @property
    def port(self) -> int:
        """The UDP port."""
        assert self._transport is not None
        return cast("int", self._transport.get_extra_info("sockname")[1])

    @property
    def peers(self) -> set[Peer]:
        """Connections that have not ended."""
        return set(self._by_id.values())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio has bound the socket."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """A datagram of a connection, one beside a tunnel, or the first of a new connection."""
        if any(peer.takes_beside(data, addr) for peer in self.peers):
            return
        try:
            header = pull_quic_header(Buffer(data=data), host_cid_length=CONNECTION_ID_LENGTH)
        except ValueError:
            return
        peer = self._by_id.get(header.destination_cid)
        if peer is None:
            peer = self._first(header, len(data), addr)
        if peer is not None:
            peer.datagram_received(data, addr)

    def _first(self, header: QuicHeader, size: int, addr: Any) -> Peer | None:
        if header.packet_type != QuicPacketType.INITIAL or size < MIN_INITIAL:
            return None
        original, retried = header.destination_cid, None
        if self._retry is not None:
            if not header.token:
                self._send_retry(self._retry, header, addr)
                return None
            try:
                original = self._retry.validate_token(
                    address=addr,
                    destination_cid=header.destination_cid,
                    token=header.token,
                    now=self._loop.time(),
                )
            except ValueError:
                return None
            retried = header.destination_cid
        return self._accept(header.destination_cid, original, retried)

    def _send_retry(self, retry: QuicRetryTokenHandler, header: QuicHeader, addr: Any) -> None:
        assert self._transport is not None
        assert header.version is not None
        source = os.urandom(CONNECTION_ID_LENGTH)
        token = retry.create_token(
            address=addr,
            original_destination_connection_id=header.destination_cid,
            retry_source_connection_id=source,
            now=self._loop.time(),
        )
        packet = encode_quic_retry(
            version=header.version,
            source_cid=source,
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=token,
        )
        self._transport.sendto(packet, addr)
        self.retries += 1

    def _accept(self, addressed: bytes, original: bytes, retried: bytes | None) -> Peer:
        assert self._transport is not None
        connection = HybridConnection(
            self._endpoint,
            configuration=configuration(self._endpoint, is_client=False),
            original_destination_connection_id=original,
            retry_source_connection_id=retried,
        )
        peer = Peer(self._endpoint, connection)
        peer.connection_made(self._transport)

        def issued(id_: bytes) -> None:
            self._by_id[id_] = peer

        peer.follow_ids(issued=issued, retired=self._retire)
        self._by_id[addressed] = self._by_id[connection.host_cid] = peer
        peer.closed.add_done_callback(lambda _: self._forget(peer))
        self.accepted.put_nowait(peer)
        return peer

    def _retire(self, id_: bytes) -> None:
        self._by_id.pop(id_, None)

    def _forget(self, gone: Peer) -> None:
        self._by_id = {id_: peer for id_, peer in self._by_id.items() if peer is not gone}

    async def close(self) -> None:
        """Closes every connection, and the socket."""
        peers = self.peers
        for peer in peers:
            peer.end()
        await asyncio.gather(*(peer.closed for peer in peers))
        assert self._transport is not None
        self._transport.close()


@asynccontextmanager
async def serve(
    host: str, port: int, endpoint: Endpoint, *, retry: bool = False
) -> AsyncIterator[Server]:
    """A listening server; `retry`: every client must prove its address first."""
    loop = asyncio.get_running_loop()
    _, server = await loop.create_datagram_endpoint(
        lambda: Server(endpoint, retry=retry), local_addr=(host, port)
    )
    try:
        yield server
    finally:
        await server.close()

"""Connections over gateways (docs/wire-format.md, section 14), as who dials and as a last gateway.

A connection carries one route at a time: what comes in its datagrams is read by that route alone.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from stoq_reference import frames, origins
from stoq_reference.beside import Beside
from stoq_reference.carriers import Extension
from stoq_reference.codes import ConnectionCode, StreamCode
from stoq_reference.connection import HybridConnection, configuration
from stoq_reference.endpoint import Endpoint
from stoq_reference.errors import Malformed
from stoq_reference.frames import NAME_LENGTH, Frame, Inner, Open
from stoq_reference.head import Address, Kind
from stoq_reference.hop_frames import Forward, Forwarded, Seen
from stoq_reference.objects import frames_of
from stoq_reference.origins import NotProven, Origins
from stoq_reference.peer import Peer
from stoq_reference.stream import Stream, StreamFailed

AROUND_A_PACKET = 21
"""Bytes of a HOP beside its packet, at most: type, form, tunnel and length."""

MIN_PAYLOAD = 1200
"""Bytes of UDP payload that every QUIC endpoint takes (RFC 9000, section 14.1)."""


class NotAsked(Exception):
    """A frame about packets beside the tunnel that its sender may not send there (G18)."""


class Tunnel:
    """Packets of a route, both ways."""

    def __init__(
        self, peer: Peer, stream: Stream, incoming: AsyncIterator[Frame], *, opener: bool
    ) -> None:
        """`incoming` are the frames of the stream from here on, `opener` says which end this is."""
        self._peer = peer
        self._stream = stream
        self._opener = opener
        self._beside: Beside | None = None
        self._inner: tuple[bytes, bytes] | None = None
        self._asked = 0
        self._packets: asyncio.Queue[bytes | StreamFailed | None] = asyncio.Queue()
        self._reading = [
            asyncio.create_task(self._read_stream(incoming)),
            asyncio.create_task(self._read_datagrams()),
        ]

    @property
    def payload(self) -> int:
        """Bytes of the packets that the other end may send us (G7)."""
        return max(MIN_PAYLOAD, self._peer.quic.datagram_room - AROUND_A_PACKET)

    def send(self, packet: bytes) -> None:
        """Beside the tunnel or in a datagram where it can, else on the stream (G4, G14). Raises
        StreamFailed.
        """
        if self._beside is not None and self._beside.send(packet):
            return
        frame = frames.encode(Inner(self._stream.id, packet))
        if not self._peer.send_datagram(frame):
            self._stream.send(frame)

    async def recv(self) -> bytes | None:
        """The next packet; None when the route has ended. Raises StreamFailed."""
        packet = await self._packets.get()
        if isinstance(packet, bytes):
            return packet
        self._packets.put_nowait(packet)
        if packet is None:
            return None
        raise packet

    def follow(self, connection_ids: tuple[bytes, bytes]) -> None:
        """Asks for packets beside the tunnel where that is in use: those that come here and those
        that go from here, by connection IDs of the inner connection (G13). Other IDs than before
        are followed. Raises StreamFailed.
        """
        if Extension.FORWARDED not in self._peer.agreed.extensions or self._inner == connection_ids:
            return
        self._inner = connection_ids
        beside = self._agree(connection_ids)
        self._stream.send(frames.encode(Forward(beside.id, *connection_ids)))
        self._asked += 1

    def end(self) -> None:
        """Ends the route in both directions (G5)."""
        if self._beside is not None:
            self._beside.end()
        for task in self._reading:
            task.cancel()
        self._stream.finish()

    async def _read_stream(self, incoming: AsyncIterator[Frame]) -> None:
        over: StreamFailed | None = None
        try:
            async for frame in incoming:
                match frame:
                    case Inner():
                        self._take(frame)
                    case Forward() | Forwarded() | Seen():
                        self._about_beside(frame)
                    case _:
                        raise Malformed(f"{frames.type_of(frame).name} among packets of a route")
        except StreamFailed as failed:
            over = failed
        except NotAsked:
            over = StreamFailed(StreamCode.DENIED)
            self._stream.reset(StreamCode.DENIED)
        except Malformed as error:
            self._peer.end(ConnectionCode.PROTOCOL, str(error))
        self._packets.put_nowait(over)

    def _about_beside(self, frame: Forward | Forwarded | Seen) -> None:
        match frame:
            case Forward() if not self._opener:
                beside = self._agree((frame.destination, frame.source))
                self._stream.send(frames.encode(Forwarded(beside.id)))
                beside.begin(frame.id)
            case Forwarded() if self._beside is not None and self._asked:
                self._asked -= 1
                self._beside.begin(frame.id)
            case Seen() if self._beside is not None:
                self._beside.seen(frame.nonce)
            case _:
                raise NotAsked

    def _agree(self, connection_ids: tuple[bytes, bytes]) -> Beside:
        """In the place of what was agreed on before."""
        if self._beside is not None:
            self._beside.end()
        taken = self._packets.put_nowait
        self._beside = Beside(self._peer, self._stream, taken, connection_ids)
        return self._beside

    async def _read_datagrams(self) -> None:
        while True:
            frame = await self._peer.frames.get()
            if isinstance(frame, Inner):
                self._take(frame)

    def _take(self, frame: Inner) -> None:
        """One that names another tunnel is dropped (G9)."""
        if frame.tunnel == self._stream.id:
            self._packets.put_nowait(frame.data)


class _Socket(asyncio.DatagramTransport):
    """What the inner connection takes for its socket."""

    def __init__(self, tunnel: Tunnel) -> None:
        super().__init__()
        self._tunnel = tunnel

    def sendto(self, data: Any, _addr: Any = None) -> None:
        """A route that has ended loses packets, as a network does."""
        with suppress(StreamFailed):
            self._tunnel.send(bytes(data))


@asynccontextmanager
async def connect(
    outer: Peer, gateways: tuple[str, ...], destination: Address, identity: str, endpoint: Endpoint
) -> AsyncIterator[Peer]:
    """A connection with `identity` at `destination`, over `gateways`, of which `outer` is with the
    first; `endpoint` says whom it must be. Its handshake is complete; it is closed at the end.

    Raises StreamFailed when a gateway refuses the route, and Closed as `client.connect` does.
    """
    stream = outer.open(Kind.FRAMES)
    route = Open(secrets.token_bytes(NAME_LENGTH), 0, gateways, destination, identity)
    if Extension.SIGNED_ROUTES in outer.agreed.extensions and endpoint.identity is not None:
        for frame in origins.proof(endpoint.identity, route, endpoint.clock()):
            stream.send(frames.encode(frame))
    stream.send(frames.encode(route))
    tunnel = Tunnel(outer, stream, frames_of(stream, outer.agreed), opener=True)
    settings = configuration(endpoint, is_client=True, inner=True)
    connection = HybridConnection(endpoint, configuration=settings, payload=tunnel.payload)
    inner = Peer(endpoint, connection)
    inner.connection_made(_Socket(tunnel))
    place = (str(destination.host), destination.port)
    feeding = asyncio.create_task(_feed(tunnel, inner, place))
    try:
        inner.connect(place)
        await _established(inner, feeding)
        yield inner
    finally:
        inner.end()
        if not feeding.done():
            await inner.closed
        feeding.cancel()
        tunnel.end()


async def _feed(tunnel: Tunnel, inner: Peer, place: tuple[str, int]) -> None:
    while (packet := await tunnel.recv()) is not None:
        inner.datagram_received(packet, place)
        # A server may choose another of our connection IDs at any time, and does so soon.
        own = inner.quic.own_id(packet)
        if own is not None and inner.established.is_set():
            with suppress(StreamFailed):
                tunnel.follow((own, inner.quic.peer_id))


async def _established(inner: Peer, feeding: "asyncio.Task[None]") -> None:
    established = asyncio.create_task(inner.established.wait())
    waited: tuple[asyncio.Future[Any], ...] = (established, inner.closed, feeding)
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    established.cancel()
    if inner.established.is_set():
        return
    if inner.closed.done():
        raise inner.closed.result()
    if feeding.done():
        feeding.result()
        raise StreamFailed(None)


def refusal(route: Open, here: str) -> StreamCode | None:
    """Why the gateway `here` does not take a route as its last one, if it does not (G1, G2)."""
    names = route.gateways
    if names[route.position] != here or route.position + 1 != len(names):
        return StreamCode.NO_ROUTE
    if len(set(names)) < len(names) or route.identity in names:
        return StreamCode.LOOP
    return None


async def forward(
    peer: Peer,
    stream: Stream,
    here: str,
    seen: Origins,
    admits: Callable[[Open, str | None], bool] = lambda *_: True,
) -> None:
    """Forwards the route that a stream of kind 3 brings, until it ends, as its last gateway; one
    that it does not take, or `admits` does not, is reset (G1 to G3). `seen` are the signed
    routes of before (G11), and `admits` is told who began the route, where that is proven.

    Raises StreamFailed when the peer resets it, and Malformed where the connection is to be closed
    with `protocol`.
    """
    incoming = frames_of(stream, peer.agreed)
    begun = await origins.begun(incoming)
    route = begun.route
    try:
        shown = peer.certificate
        origin = seen.proven(begun, shown.spiffe_id if shown else None)
    except NotProven:
        stream.reset(StreamCode.BAD_SIGNATURE)
        return
    code = refusal(route, here) or (None if admits(route, origin) else StreamCode.DENIED)
    if code is not None:
        stream.reset(code)
        return
    tunnel = Tunnel(peer, stream, incoming, opener=False)
    loop = asyncio.get_running_loop()
    # Connected: what others send there does not come in (G8).
    transport, _ = await loop.create_datagram_endpoint(
        lambda: _Outside(tunnel),
        remote_addr=(str(route.destination.host), route.destination.port),
    )
    try:
        while (packet := await tunnel.recv()) is not None:
            transport.sendto(packet)
    finally:
        transport.close()
        tunnel.end()


class _Outside(asyncio.DatagramProtocol):
    """The socket towards the destination."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel

    def datagram_received(self, data: bytes, _addr: Any) -> None:
        """A packet of the destination."""
        with suppress(StreamFailed):
            self._tunnel.send(data)

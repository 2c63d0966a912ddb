"""The reference as one end of a connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from aioquic.tls import CipherSuite

from stoq.engine import CertificateAuthority
from stoq_reference import client as reference_client
from stoq_reference import objects
from stoq_reference.carriers import MIN_TOKEN_RESERVE, Extension
from stoq_reference.composite import Scheme
from stoq_reference.endpoint import Endpoint
from stoq_reference.head import Kind
from stoq_reference.parameters import Parameters
from stoq_reference.peer import Peer
from stoq_reference.server import Server as Listener
from stoq_reference.server import serve
from stoq_reference.stream import Stream
from support import engines, reference
from support.ends.interface import SHARD, ByteStream, Client, Offer, Seen, Server
from support.interop import LOOPBACK

_EXTENSIONS = {
    "off": Extension(0),
    "packet": Extension.PACKET_TOKENS,
    "stream": Extension.STREAM_TOKENS,
}
_SCHEMES = {"hybrid-1024": Scheme.ED25519_FALCON_1024, "hybrid-512": Scheme.ED25519_FALCON_512}
_SIGNATURES = {
    Scheme.ED25519_FALCON_1024: "Ed25519+FALCON-1024",
    Scheme.ED25519_FALCON_512: "Ed25519+FALCON-512",
}
_CIPHERS = {
    "AES-256-GCM": CipherSuite.AES_256_GCM_SHA384,
    "AES-128-GCM": CipherSuite.AES_128_GCM_SHA256,
}


class ReferenceStream:
    """A stream of the reference, with the engine's manners."""

    def __init__(self, peer: Peer, stream: Stream) -> None:
        self._peer = peer
        self._stream = stream

    async def send(self, data: bytes, *, end: bool = False) -> None:
        self._stream.send(data, end=end)

    async def recv(self) -> bytes:
        return await self._stream.recv()

    def exporter(self, label: str, context: bytes = b"") -> bytes:
        return self._peer.exporter(label.encode(), context)


class ReferenceServer(Server):
    """A reference that takes API streams and objects."""

    def __init__(
        self, listener: Listener, *, holds: bool = False, signer: str | None = None
    ) -> None:
        self.listener = listener
        self.mesh = self.api = listener.port
        self.objects = objects.Receiver(holds=holds, signer=signer)
        self._accepted: asyncio.Queue[tuple[Peer, Stream]] = asyncio.Queue()

    @property
    def peer(self) -> Peer:
        """The one client."""
        (peer,) = self.listener.peers
        return peer

    async def accept(self) -> ByteStream:
        return ReferenceStream(*await self._accepted.get())

    async def received(self) -> bytes:
        return await self.objects.whole.get()

    def seen(self) -> Seen:
        return _seen(self.peer)

    def left(self) -> bool:
        return not self.listener.peers

    @property
    def retries(self) -> int:
        return self.listener.retries

    @asynccontextmanager
    async def running(self) -> AsyncIterator["ReferenceServer"]:
        """Takes connections meanwhile."""
        taking = asyncio.create_task(self._connections())
        yield self
        taking.cancel()

    async def _connections(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                peer = await self.listener.accepted.get()
                tasks.create_task(self._streams(peer))
                tasks.create_task(self.objects.datagrams(peer))

    async def _streams(self, peer: Peer) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                stream = await peer.accepted.get()
                if stream.head.kind is Kind.FRAMES:
                    tasks.create_task(self.objects.lane(peer, stream))
                else:
                    self._accepted.put_nowait((peer, stream))


class ReferenceClient(Client):
    """A reference that dials, with one connection for API streams and one for each lane."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._open: list[tuple[AsyncExitStack, Peer]] = []

    @property
    def peer(self) -> Peer:
        """The one server."""
        ((_, peer),) = self._open
        return peer

    async def dial(self, port: int) -> Peer:
        """A further connection."""
        held = AsyncExitStack()
        dialling = reference_client.connect(LOOPBACK, port, self._endpoint)
        peer = await held.enter_async_context(dialling)
        self._open.append((held, peer))
        return peer

    async def open(self, server: Server) -> ByteStream:
        peer = self.peer if self._open else await self.dial(server.api)
        return ReferenceStream(peer, peer.open(Kind.API))

    async def send_object(
        self, server: Server, data: bytes, *, lanes: int = 1, sign: bool = False
    ) -> None:
        peers = [await self.dial(server.mesh) for _ in range(lanes)]
        signer = self._endpoint.identity if sign else None
        await objects.send(peers, data, SHARD, signer=signer)

    async def hang_up(self) -> None:
        gone, self._open = self._open, []
        for _, peer in gone:
            peer.end()
        await asyncio.gather(*(held.aclose() for held, _ in gone))

    def seen(self) -> Seen:
        return _seen(self.peer)


def endpoint(ca: CertificateAuthority, spiffe_id: str, offer: Offer) -> Endpoint:
    """A reference that is made so; as a server it takes clients without a certificate."""
    least = MIN_TOKEN_RESERVE if offer.tokens == "packet" else 0
    shards = Extension.SHARDS if offer.max_shard is not None else Extension(0)
    if shards and offer.signatures:
        shards |= Extension.SIGNATURES
    parameters = Parameters(
        extensions=_EXTENSIONS[offer.tokens] | shards,
        packet_reserve=max(offer.reserve, least),
        max_shard=offer.max_shard or 0,
    )
    expected = engines.SERVER if spiffe_id == engines.CLIENT else None
    return Endpoint(
        replace(reference.anonymous(ca), expected=expected),
        reference.issued(ca, spiffe_id, offer.profile) if offer.certificate else None,
        schemes=(_SCHEMES[offer.profile],),
        ciphers=(_CIPHERS[offer.aead],),
        parameters=parameters,
    )


@asynccontextmanager
async def serving(ca: CertificateAuthority, offer: Offer) -> AsyncIterator[ReferenceServer]:
    """A server made so."""
    made = endpoint(ca, engines.SERVER, offer)
    async with (
        serve(LOOPBACK, 0, made, retry=offer.retry) as listener,
        ReferenceServer(listener, holds=offer.holds, signer=offer.signer).running() as server,
    ):
        yield server


@asynccontextmanager
async def dialling(ca: CertificateAuthority, offer: Offer) -> AsyncIterator[ReferenceClient]:
    """A client made so."""
    client = ReferenceClient(endpoint(ca, engines.CLIENT, offer))
    try:
        yield client
    finally:
        await client.hang_up()


def _seen(peer: Peer) -> Seen:
    names = {suite.name: name for name, suite in _CIPHERS.items()}
    certificate = peer.certificate
    return Seen(
        peer=certificate.spiffe_id if certificate else None,
        signature=_SIGNATURES[certificate.keys.scheme] if certificate else None,
        cipher=names[peer.quic.cipher],
        resumed=peer.resumed,
        reserve=peer.agreed.reserve,
        packet_tokens=peer.agreed.packet_tokens,
    )

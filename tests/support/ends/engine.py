"""An engine as one end of a connection."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stoq.engine import (
    CertificateAuthority,
    Engine,
    EngineSettings,
    Limits,
    Listener,
    Pool,
    TlsContext,
    Transport,
)
from support import engines
from support.ends.interface import SHARD, ByteStream, Client, Offer, Seen, Server
from support.interop import LOOPBACK, TABLE
from support.patience import until


class EngineServer(Server):
    """An engine with both of its listeners."""

    def __init__(self, engine: Engine, signer: str | None) -> None:
        self.engine = engine
        self.mesh, self.api = (engine.local_port(name) or 0 for name in ("stoq", "bootstrap"))
        self._acceptor = engine.acceptor()
        self._objects = engine.object_receiver(signer=signer)

    async def accept(self) -> ByteStream:
        return await self._acceptor.accept()

    async def received(self) -> bytes:
        return (await self._objects.receive()).data

    def seen(self) -> Seen:
        return _seen(self.engine)

    def left(self) -> bool:
        return not self.engine.connections()

    @property
    def retries(self) -> int:
        return self.engine.snapshot().counters.retries_sent


class EngineClient(Client):
    """An engine that dials."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    async def open(self, server: Server) -> ByteStream:
        return await self.engine.dialler(f"[{LOOPBACK}]:{server.api}", engines.SERVER).open()

    async def send_object(
        self, server: Server, data: bytes, *, lanes: int = 1, sign: bool = False
    ) -> None:
        remote = f"[{LOOPBACK}]:{server.mesh}"
        sender = self.engine.object_sender(remote, engines.SERVER, shard_size=SHARD, lanes=lanes)
        await sender.send(data, sign=sign)

    async def hang_up(self) -> None:
        """Its pool does so with what nobody uses."""
        await until(lambda: not self.engine.connections())

    def seen(self) -> Seen:
        return _seen(self.engine)


@asynccontextmanager
async def serving(ca: CertificateAuthority, offer: Offer) -> AsyncIterator[EngineServer]:
    """A server made so."""
    anywhere = Listener(listen=f"[{LOOPBACK}]:0")
    settings = EngineSettings(
        name="server",
        workers=1,
        stoq=anywhere,
        bootstrap=anywhere,
        limits=Limits(object_bytes=1_000_000, handshakes_before_retry=0 if offer.retry else 64),
        log_level="error",
    )
    async with Engine(settings, _tls(ca, engines.SERVER, offer)) as engine:
        engine.set_table(TABLE)
        if offer.holds:
            engine.hold_objects(1_000_000)
        yield EngineServer(engine, offer.signer)


@asynccontextmanager
async def dialling(
    ca: CertificateAuthority, offer: Offer, *, idle_ms: int
) -> AsyncIterator[EngineClient]:
    """A client made so, which keeps a connection that nothing uses for `idle_ms`."""
    settings = EngineSettings(
        name="client",
        workers=1,
        transport=Transport(dial_timeout_ms=30_000),
        pool=Pool(idle_ms=idle_ms),
        log_level="error",
    )
    async with Engine(settings, _tls(ca, engines.CLIENT, offer)) as engine:
        yield EngineClient(engine)


def _tls(ca: CertificateAuthority, spiffe_id: str, offer: Offer) -> TlsContext:
    tls = TlsContext(
        profile=offer.profile,
        aead=offer.aead,
        tokens=offer.tokens,
        packet_reserve=offer.reserve,
        max_shard=offer.max_shard,
    )
    tls.set_trust(engines.TRUST_DOMAIN, [ca.root])
    if offer.certificate:
        tls.set_identity(*engines.issued(ca, spiffe_id, offer.profile))
    return tls


def _seen(engine: Engine) -> Seen:
    (found,) = engine.connections()
    assert found.key_exchange == "X25519MLKEM768"
    assert found.cipher is not None
    return Seen(
        peer=found.spiffe_id,
        signature=None if found.spiffe_id is None else found.signature,
        cipher=found.cipher,
        resumed=found.resumed,
        reserve=found.packet_reserve,
        packet_tokens=found.packet_tokens,
    )

"""How an engine bounds the objects that peers send."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

from stoq.engine import CertificateAuthority, Engine, EngineSettings, Limits, Listener
from stoq_reference import objects, shards
from stoq_reference.carriers import Extension
from stoq_reference.client import connect
from stoq_reference.codes import StreamCode
from stoq_reference.frames import BulkData, Manifest, Shard
from stoq_reference.head import Kind
from stoq_reference.parameters import Parameters
from stoq_reference.peer import Peer
from support import engines, reference
from support.interop import LOOPBACK, TABLE, EngineServer, refused
from support.patience import PATIENCE, until

SHARD = 1000
OFFER = Parameters(extensions=Extension.SHARDS, max_shard=65536)
TRANSFER = bytes(range(16))


@asynccontextmanager
async def receiving(ca: CertificateAuthority) -> AsyncIterator[tuple[Engine, Peer]]:
    """An engine that takes shards, and a connection of the reference to it."""
    settings = EngineSettings(
        workers=1,
        stoq=Listener(listen="[::1]:0"),
        limits=Limits(object_bytes=1_000_000),
        log_level="error",
    )
    tls = engines.identity(ca, engines.SERVER, max_shard=65536)
    async with Engine(settings, tls) as engine:
        engine.set_table(TABLE)
        async with dialled(ca, engine) as peer:
            yield engine, peer


@asynccontextmanager
async def dialled(
    ca: CertificateAuthority, engine: Engine, spiffe_id: str = engines.CLIENT
) -> AsyncIterator[Peer]:
    """A further connection."""
    dialling = replace(reference.endpoint(ca, spiffe_id), parameters=OFFER)
    async with connect(LOOPBACK, EngineServer(engine).mesh, dialling) as peer:
        yield peer


def pieces(data: bytes) -> list[Shard]:
    return shards.split(TRANSFER, data, SHARD)


async def test_nobody_takes_objects_before_somebody_asks_for_them(
    ca: CertificateAuthority,
) -> None:
    async with receiving(ca) as (_, peer):
        assert await refused(peer, pieces(b"data")) == StreamCode.DENIED


LIMITED: dict[str, tuple[Callable[[list[Shard]], list[Shard]], StreamCode]] = {
    "a bulk transfer": (
        lambda _: [BulkData(TRANSFER, 0, bytes(32), b"bulk")],
        StreamCode.DENIED,
    ),
    "an object beyond the limit": (
        lambda _: [Manifest(TRANSFER, 4096 * SHARD, SHARD, bytes(32), (bytes(32),) * 4096)],
        StreamCode.TOO_LARGE,
    ),
    "data whose manifest never comes": (lambda all_: all_[1:2], StreamCode.INCOMPLETE),
    "an object that is never finished": (lambda all_: all_[:2], StreamCode.INCOMPLETE),
}


async def test_what_is_too_much_or_never_comes_is_refused(ca: CertificateAuthority) -> None:
    # At once, since two of them take ten seconds; an object is known by its name, so each has one.
    async with receiving(ca) as (engine, peer):
        engine.object_receiver()
        sent = [
            made(shards.split(bytes([number] * 16), bytes(2500), SHARD))
            for number, (made, _) in enumerate(LIMITED.values())
        ]
        codes = await asyncio.gather(*(refused(peer, shards_) for shards_ in sent))
        assert dict(zip(LIMITED, codes, strict=True)) == {
            name: code for name, (_, code) in LIMITED.items()
        }


async def test_a_bomb_of_transfers_waits_and_others_go_on(ca: CertificateAuthority) -> None:
    async with receiving(ca) as (engine, peer):
        engine.object_receiver()
        for number in range(40):
            # Each says that a megabyte follows, and nothing does.
            digests = (bytes(32),) * 1000
            bomb = Manifest(number.to_bytes(16, "big"), 1_000_000, SHARD, bytes(32), digests)
            objects.begin(peer, [bomb])
        await until(lambda: engine.snapshot().counters.shards_taken > 0)
        # 12 MiB of one identity are eleven objects of 1,160,160 bytes with what each shard costs.
        await asyncio.sleep(0.5)
        assert engine.snapshot().counters.shards_taken <= 11
        stream = peer.open(Kind.CONTROL)
        stream.reset(StreamCode.CANCELLED)
        assert not peer.closed.done()


async def test_more_streams_than_a_connection_may_have_are_denied(
    ca: CertificateAuthority,
) -> None:
    async with receiving(ca) as (engine, peer):
        engine.object_receiver()
        for _ in range(32):
            objects.begin(peer, [])
        await until(lambda: engine.snapshot().gauges.shard_streams == 32)
        assert await refused(peer, pieces(b"data")) == StreamCode.DENIED


async def test_one_identity_with_many_connections_leaves_streams_for_others(
    ca: CertificateAuthority,
) -> None:
    async with receiving(ca) as (engine, _), AsyncExitStack() as connections:
        engine.object_receiver()

        async def dial(spiffe_id: str) -> Peer:
            return await connections.enter_async_context(dialled(ca, engine, spiffe_id))

        peers = [await dial(engines.CLIENT) for _ in range(7)]
        for peer in peers[:6]:
            for _ in range(32):
                objects.begin(peer, [])
        await until(lambda: engine.snapshot().gauges.shard_streams == 192)
        assert await refused(peers[6], pieces(b"data")) == StreamCode.DENIED
        peers.append(await dial(engines.SERVER))
        lane = objects.begin(peers[7], pieces(b"data"))
        await asyncio.wait_for(objects.whole(lane, peers[7].agreed), PATIENCE)

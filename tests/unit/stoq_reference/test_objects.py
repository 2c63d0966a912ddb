"""Objects in shards between an engine and the reference, and what a hostile sender may try."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from stoq.engine import CertificateAuthority, Engine, EngineSettings, Limits, Listener
from stoq_reference import frames, objects, shards
from stoq_reference.carriers import Extension
from stoq_reference.client import connect
from stoq_reference.codes import ConnectionCode, StreamCode
from stoq_reference.frames import BulkData, Manifest, ObjectData, Shard, Want
from stoq_reference.head import Kind
from stoq_reference.parameters import Parameters
from stoq_reference.peer import Peer
from stoq_reference.server import serve
from stoq_reference.shards import Assembly
from stoq_reference.stream import StreamFailed
from support import engines, reference
from support.interop import LOOPBACK, PATIENCE, TABLE, EngineServer, address, closing, until

SHARD = 1000
OFFER = Parameters(extensions=Extension.SHARDS, max_shard=65536)
TRANSFER = bytes(range(16))


@asynccontextmanager
async def receiving(
    ca: CertificateAuthority, offer: Parameters = OFFER
) -> AsyncIterator[tuple[Engine, Peer]]:
    """An engine that takes shards, and a connection of the reference to it."""
    settings = EngineSettings(
        workers=1,
        stoq=Listener(listen="[::1]:0"),
        limits=Limits(object_bytes=1_000_000),
        log_level="error",
    )
    tls = engines.identity(ca, engines.SERVER, max_shard=65536)
    dialling = replace(reference.endpoint(ca, engines.CLIENT), parameters=offer)
    async with Engine(settings, tls) as engine:
        engine.set_table(TABLE)
        async with connect(LOOPBACK, EngineServer(engine).mesh, dialling) as peer:
            yield engine, peer


def pieces(data: bytes) -> list[Shard]:
    return shards.split(TRANSFER, data, SHARD)


async def refused(peer: Peer, sent: list[Shard]) -> int | None:
    """The code that the engine resets a stream of these frames with."""
    with pytest.raises(StreamFailed) as failed:
        async with asyncio.timeout(PATIENCE * 2):
            await objects.whole(objects.begin(peer, sent), peer.agreed)
    return failed.value.code


async def test_an_engine_takes_an_object_whose_shards_come_in_any_order(
    ca: CertificateAuthority,
) -> None:
    data = secrets.token_bytes(10_500)
    async with receiving(ca) as (engine, peer):
        receiver = engine.object_receiver()
        manifest, *rest = pieces(data)
        first = objects.begin(peer, [manifest, *rest[5:], *rest[5:]])
        second = objects.begin(peer, [manifest, *reversed(rest[:5])])
        async with asyncio.timeout(PATIENCE):
            answers = [await objects.whole(lane, peer.agreed) for lane in (first, second)]
            received = await receiver.receive()
        assert received.data == data
        assert (received.sender, received.transfer) == (engines.CLIENT, TRANSFER)
        assert all(said[-1] == Want(TRANSFER, ()) for said in answers)
        assert engine.snapshot().counters.shards_repeated >= 6


async def test_an_engine_says_what_is_missing_when_the_manifest_comes_again(
    ca: CertificateAuthority,
) -> None:
    data = secrets.token_bytes(3 * SHARD)
    async with receiving(ca) as (engine, peer):
        engine.object_receiver()
        manifest, first, second, third = pieces(data)
        objects.begin(peer, [manifest, second])
        await until(lambda: engine.snapshot().counters.shards_taken == 2)
        again = objects.begin(peer, [manifest])
        said = await anext(objects.frames_of(again, peer.agreed))
        assert said == Want(TRANSFER, ((0, SHARD), (2 * SHARD, SHARD)))
        again.send(frames.encode(first) + frames.encode(third))
        await until(lambda: engine.snapshot().counters.objects_received == 1)


async def test_an_engine_takes_shards_in_datagrams(ca: CertificateAuthority) -> None:
    async with receiving(ca) as (engine, peer):
        receiver = engine.object_receiver()
        manifest, *rest = pieces(b"datagrams" * 300)
        objects.begin(peer, [manifest])
        await until(lambda: engine.snapshot().counters.shards_taken == 1)
        for shard in rest:
            peer.quic.send_datagram_frame(frames.encode(shard))
        peer.transmit()
        received = await asyncio.wait_for(receiver.receive(), PATIENCE)
        assert received.data == b"datagrams" * 300


async def test_the_reference_takes_an_object_of_an_engine_on_several_lanes(
    ca: CertificateAuthority, client: Engine
) -> None:
    del client
    data = secrets.token_bytes(500_000)
    serving = replace(reference.endpoint(ca, engines.SERVER), parameters=OFFER)
    settings = engines.client_settings()
    tls = engines.identity(ca, engines.CLIENT, max_shard=0)
    assembly = Assembly()

    async def lanes(peer: Peer) -> None:
        async with asyncio.TaskGroup() as tasks:
            while True:
                stream = await peer.accepted.get()
                tasks.create_task(objects.receive(stream, peer.agreed, assembly))

    async with serve(LOOPBACK, 0, serving) as server, Engine(settings, tls) as engine:

        async def accept() -> None:
            async with asyncio.TaskGroup() as peers:
                while True:
                    peers.create_task(lanes(await server.accepted.get()))

        accepting = asyncio.create_task(accept())
        sender = engine.object_sender(address(server), engines.SERVER, lanes=2)
        await asyncio.wait_for(sender.send(data), PATIENCE)
        accepting.cancel()
    assert assembly.delivered == data


HOSTILE: dict[str, tuple[Callable[[list[Shard]], list[Shard]], StreamCode]] = {
    "other bytes than the digest says": (
        lambda all_: [all_[0], ObjectData(TRANSFER, 0, bytes(SHARD))],
        StreamCode.BAD_SHARD,
    ),
    "data across two shards": (
        lambda all_: [all_[0], ObjectData(TRANSFER, 500, bytes(SHARD))],
        StreamCode.BAD_SHARD,
    ),
    "another manifest": (
        lambda all_: [all_[0], Manifest(TRANSFER, 1, 1, bytes(32), (bytes(32),))],
        StreamCode.BAD_SHARD,
    ),
    "a bulk transfer": (
        lambda _: [BulkData(TRANSFER, 0, bytes(32), b"bulk")],
        StreamCode.DENIED,
    ),
    "a want": (lambda _: [Want(TRANSFER, ((0, 10),))], StreamCode.DENIED),
    "an object beyond the limit": (
        lambda _: [Manifest(TRANSFER, 4096 * SHARD, SHARD, bytes(32), (bytes(32),) * 4096)],
        StreamCode.TOO_LARGE,
    ),
    "data whose manifest never comes": (lambda all_: all_[1:2], StreamCode.INCOMPLETE),
    "an object that is never finished": (lambda all_: all_[:2], StreamCode.INCOMPLETE),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_what_contradicts_itself_is_refused_and_nothing_else_is_touched(
    ca: CertificateAuthority, case: str
) -> None:
    made, code = HOSTILE[case]
    async with receiving(ca) as (engine, peer):
        receiver = engine.object_receiver()
        assert await refused(peer, made(pieces(secrets.token_bytes(2500)))) == code
        other = shards.split(bytes(16), b"still here", SHARD)
        await asyncio.wait_for(objects.whole(objects.begin(peer, other), peer.agreed), PATIENCE)
        assert (await receiver.receive()).data == b"still here"


async def test_nobody_takes_objects_before_somebody_asks_for_them(
    ca: CertificateAuthority,
) -> None:
    async with receiving(ca) as (_, peer):
        assert await refused(peer, pieces(b"data")) == StreamCode.DENIED


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
            dialling = replace(reference.endpoint(ca, spiffe_id), parameters=OFFER)
            to = connect(LOOPBACK, EngineServer(engine).mesh, dialling)
            return await connections.enter_async_context(to)

        peers = [await dial(engines.CLIENT) for _ in range(7)]
        for peer in peers[:6]:
            for _ in range(32):
                objects.begin(peer, [])
        await until(lambda: engine.snapshot().gauges.shard_streams == 192)
        assert await refused(peers[6], pieces(b"data")) == StreamCode.DENIED
        peers.append(await dial(engines.SERVER))
        lane = objects.begin(peers[7], pieces(b"data"))
        await asyncio.wait_for(objects.whole(lane, peers[7].agreed), PATIENCE)
        for peer in peers:
            peer.end()  # All at once: each end takes two seconds.


@pytest.mark.parametrize("offer", [Parameters(), Parameters(extensions=Extension.HOPS)])
async def test_a_frame_without_negotiation_finds_no_stream_to_come_on(
    ca: CertificateAuthority, offer: Parameters
) -> None:
    async with receiving(ca, offer) as (_, peer):
        assert await refused(peer, pieces(b"data")) == StreamCode.DENIED


BROKEN = {
    "another extension's frame": frames.encode(frames.Seed(1, bytes(16), 1, engines.CLIENT)),
    "an unknown type": bytes.fromhex("c0000000fe0000ff"),
    "more data than was announced": frames.encode(ObjectData(TRANSFER, 0, bytes(65537))),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_what_may_not_be_there_closes_the_connection(
    ca: CertificateAuthority, case: str
) -> None:
    async with receiving(ca) as (engine, peer):
        engine.object_receiver()
        peer.open(Kind.FRAMES).send(BROKEN[case])
        assert (await closing(peer)).code == ConnectionCode.PROTOCOL


async def test_the_end_of_a_stream_within_a_frame_closes_and_its_reset_does_not(
    ca: CertificateAuthority,
) -> None:
    async with receiving(ca) as (engine, peer):
        engine.object_receiver()
        encoded = frames.encode(pieces(b"data")[0])
        begun = peer.open(Kind.FRAMES)
        begun.send(encoded[:-1])
        begun.reset(StreamCode.CANCELLED)
        await asyncio.sleep(0.2)
        assert not peer.closed.done()
        peer.open(Kind.FRAMES).send(encoded[:-1], end=True)
        assert (await closing(peer)).code == ConnectionCode.PROTOCOL

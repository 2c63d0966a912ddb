"""Objects in shards, and what a hostile sender may try."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from stoq.api.stream import StreamError
from stoq.engine import CertificateAuthority, Engine
from stoq_reference import frames, objects, shards
from stoq_reference.carriers import Extension
from stoq_reference.client import connect
from stoq_reference.codes import ConnectionCode, StreamCode
from stoq_reference.frames import BulkData, Manifest, ObjectData, Shard, Want
from stoq_reference.head import Kind
from stoq_reference.parameters import Parameters
from stoq_reference.peer import Peer
from stoq_reference.reader import MAX_VARINT
from stoq_reference.server import Server as Listener
from stoq_reference.server import serve
from stoq_reference.stream import Stream, StreamFailed
from support import engines, reference
from support.ends import (
    EngineServer,
    Implementation,
    Offer,
    Pair,
    ReferenceClient,
    ReferenceServer,
    Server,
    serving,
)
from support.interop import LOOPBACK, closing, refused
from support.patience import PATIENCE, until
from unit.conformance.pairs import REFERENCES, TO_ENGINE, TO_REFERENCE, pairs

SHARD = 1000
OFFER = Parameters(extensions=Extension.SHARDS, max_shard=65536)
TAKES = Offer(max_shard=65536)
TRANSFER = bytes(range(16))


@asynccontextmanager
async def receiving(
    implementation: Implementation,
    ca: CertificateAuthority,
    offer: Parameters = OFFER,
    takes: Offer = TAKES,
) -> AsyncIterator[tuple[Server, Peer]]:
    """An end that takes shards, and a connection of the reference to it."""
    dialling = replace(reference.endpoint(ca, engines.CLIENT), parameters=offer)
    async with (
        serving(implementation, ca, takes) as server,
        connect(LOOPBACK, server.mesh, dialling) as peer,
    ):
        yield server, peer


def pieces(data: bytes) -> list[Shard]:
    return shards.split(TRANSFER, data, SHARD)


@pairs()
@pytest.mark.parametrize("lanes", [1, 3])
async def test_an_object_comes_whole_over_its_lanes(
    pair: Pair, ca: CertificateAuthority, lanes: int
) -> None:
    data = secrets.token_bytes(50_500)
    async with pair.ends(ca, TAKES, TAKES) as (client, server):
        await client.send_object(server, data, lanes=lanes)
        assert await server.received() == data


@pairs(TO_ENGINE, REFERENCES)
async def test_shards_may_come_in_any_order_and_again(pair: Pair, ca: CertificateAuthority) -> None:
    data = secrets.token_bytes(10_500)
    async with receiving(pair.server, ca) as (server, peer):
        manifest, *rest = pieces(data)
        first = objects.begin(peer, [manifest, *rest[5:], *rest[5:]])
        second = objects.begin(peer, [manifest, *reversed(rest[:5])])
        async with asyncio.timeout(PATIENCE):
            answers = [await objects.whole(lane, peer.agreed) for lane in (first, second)]
            assert await server.received() == data
            assert all(said[-1] == Want(TRANSFER, ()) for said in answers)
            for lane in (first, second):
                lane.send(b"", end=True)
                assert await lane.read() == b"", "the receiver ends when the sender has"


@pairs(TO_ENGINE, REFERENCES)
async def test_a_manifest_that_comes_again_is_answered_with_what_is_missing(
    pair: Pair, ca: CertificateAuthority
) -> None:
    data = secrets.token_bytes(3 * SHARD)
    async with receiving(pair.server, ca) as (server, peer):
        manifest, first, second, third = pieces(data)
        begun = objects.begin(peer, [manifest])
        said = objects.frames_of(begun, peer.agreed)
        assert await anext(said) == Want(TRANSFER, ((0, 3 * SHARD),))
        begun.send(frames.encode(second))
        await peer.ping()
        again = objects.begin(peer, [manifest])
        assert await anext(objects.frames_of(again, peer.agreed)) == Want(
            TRANSFER, ((0, SHARD), (2 * SHARD, SHARD))
        )
        again.send(frames.encode(first) + frames.encode(third))
        assert await asyncio.wait_for(server.received(), PATIENCE) == data


class Losing(objects.Receiver):
    """Ends the connection with the tenth frame, once."""

    taken = 0

    async def lane(self, peer: Peer, stream: Stream) -> None:
        self.peer = peer
        await super().lane(peer, stream)

    def _taken(self, frame: Manifest | ObjectData | BulkData) -> None:
        super()._taken(frame)
        self.taken += 1
        if self.taken == 10:
            self.peer.end()


@pairs(TO_REFERENCE, TO_ENGINE, REFERENCES)
async def test_after_a_lost_connection_only_what_is_missing_is_sent_again(
    pair: Pair, ca: CertificateAuthority
) -> None:
    data = secrets.token_bytes(30 * SHARD)
    async with pair.ends(ca, TAKES, TAKES) as (client, server):
        if isinstance(server, ReferenceServer):
            server.objects = Losing()
        if isinstance(client, ReferenceClient):
            first = await client.dial(server.mesh)
            begun = objects.begin(first, pieces(data)[:10])
            if isinstance(server, EngineServer):
                counters = server.engine.snapshot
                await until(lambda: counters().counters.shards_taken == 10)
                first.end()
            with pytest.raises(StreamFailed):
                await objects.whole(begun, first.agreed)
            again = await client.dial(server.mesh)
            await objects.send([again], data, SHARD, TRANSFER)
        else:
            await client.send_object(server, data)
        assert await server.received() == data
        # The manifest alone came twice.
        if isinstance(server, ReferenceServer):
            assert server.objects.repeated == 1
        else:
            assert isinstance(server, EngineServer)
            assert server.engine.snapshot().counters.shards_repeated == 1


@pairs(TO_ENGINE, REFERENCES)
async def test_shards_may_come_in_datagrams(pair: Pair, ca: CertificateAuthority) -> None:
    data = b"datagrams" * 300
    async with receiving(pair.server, ca) as (server, peer):
        manifest, *rest = pieces(data)
        lane = objects.begin(peer, [manifest])
        await anext(objects.frames_of(lane, peer.agreed))
        for shard in rest:
            assert peer.send_datagram(frames.encode(shard))
        assert await asyncio.wait_for(server.received(), PATIENCE) == data


async def ask_by_engine(ca: CertificateAuthority, port: int) -> bytes:
    tls = engines.identity(ca, engines.CLIENT, max_shard=65536)
    async with Engine(engines.client_settings(), tls) as asker:
        remote = f"[{LOOPBACK}]:{port}"
        return (await asker.object_asker(remote, engines.SERVER).ask(TRANSFER)).data


async def ask_by_reference(ca: CertificateAuthority, port: int) -> bytes:
    dialling = replace(reference.endpoint(ca, engines.CLIENT), parameters=OFFER)
    async with connect(LOOPBACK, port, dialling) as peer:
        return await objects.ask(peer, TRANSFER)


ASKING = {"engine": ask_by_engine, "reference": ask_by_reference}


@pairs()
@pytest.mark.parametrize("size", [0, 50_500])
async def test_an_object_is_asked_of_a_peer_that_holds_it(
    pair: Pair, ca: CertificateAuthority, size: int
) -> None:
    data = secrets.token_bytes(size)
    holds = replace(TAKES, holds=True)
    async with asyncio.timeout(PATIENCE), receiving(pair.server, ca, takes=holds) as (server, peer):
        await objects.whole(objects.begin(peer, pieces(data)), peer.agreed)
        assert await server.received() == data
        assert await ASKING[pair.client](ca, server.mesh) == data


@pairs(TO_ENGINE, REFERENCES)
async def test_a_want_is_answered_with_the_shards_that_it_touches(
    pair: Pair, ca: CertificateAuthority
) -> None:
    data = secrets.token_bytes(3 * SHARD)
    holds = replace(TAKES, holds=True)
    async with asyncio.timeout(PATIENCE), receiving(pair.server, ca, takes=holds) as (server, peer):
        manifest, first, _, third = sent = pieces(data)
        await objects.whole(objects.begin(peer, sent), peer.agreed)
        assert await server.received() == data
        asking = peer.open(Kind.FRAMES)
        want = Want(TRANSFER, ((0, 1), (2 * SHARD + 1, SHARD)))
        asking.send(frames.encode(want), end=True)
        said = [frame async for frame in objects.frames_of(asking, peer.agreed)]
        assert said == [manifest, first, third]


@asynccontextmanager
async def answering(ca: CertificateAuthority, answer: list[Shard]) -> AsyncIterator[int]:
    """The port of a reference that answers so, whatever it is asked for."""

    async def tell(server: Listener) -> None:
        peer = await server.accepted.get()
        stream = await peer.accepted.get()
        assert frames.decode(await stream.read())[0] == Want(TRANSFER, ((0, MAX_VARINT),))
        stream.send(b"".join(map(frames.encode, answer)), end=True)

    holder = replace(reference.endpoint(ca, engines.SERVER), parameters=OFFER)
    async with serve(LOOPBACK, 0, holder) as server:
        telling = asyncio.create_task(tell(server))
        yield server.port
        await telling


ANSWERS: dict[str, Callable[[list[Shard]], list[Shard]]] = {
    "another object": lambda _: shards.split(bytes(16), b"another", SHARD),
    "other bytes than the digest says": lambda all_: [
        all_[0],
        ObjectData(TRANSFER, 0, bytes(SHARD)),
    ],
    "an end before the last shard": lambda all_: all_[:-1],
    "nothing": lambda _: [],
}


@pairs(TO_REFERENCE, REFERENCES)
@pytest.mark.parametrize("case", ANSWERS)
async def test_an_answer_that_is_not_what_was_asked_for_is_refused(
    pair: Pair, ca: CertificateAuthority, case: str
) -> None:
    answer = ANSWERS[case](pieces(secrets.token_bytes(2500)))
    async with asyncio.timeout(PATIENCE), answering(ca, answer) as port:
        with pytest.raises((StreamError, shards.Refused)):
            await ASKING[pair.client](ca, port)


@pairs(REFERENCES)
async def test_a_bulk_transfer_comes_whole(pair: Pair, ca: CertificateAuthority) -> None:
    parts = [secrets.token_bytes(size) for size in (1, 5000, 300)]
    async with receiving(pair.server, ca) as (server, peer):
        lane = objects.begin(peer, shards.bulk(TRANSFER, parts))
        await asyncio.wait_for(objects.whole(lane, peer.agreed), PATIENCE)
        assert await server.received() == b"".join(parts)


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
    "a want": (lambda _: [Want(TRANSFER, ((0, 10),))], StreamCode.DENIED),
}


@pairs(TO_ENGINE, REFERENCES)
@pytest.mark.parametrize("case", HOSTILE)
async def test_shards_that_contradict_themselves_are_refused_and_nothing_else_is_touched(
    pair: Pair, ca: CertificateAuthority, case: str
) -> None:
    made, code = HOSTILE[case]
    async with receiving(pair.server, ca) as (server, peer):
        assert await refused(peer, made(pieces(secrets.token_bytes(2500)))) == code
        other = shards.split(bytes(16), b"still here", SHARD)
        await asyncio.wait_for(objects.whole(objects.begin(peer, other), peer.agreed), PATIENCE)
        assert await server.received() == b"still here"


@pairs(TO_ENGINE, REFERENCES)
async def test_another_stream_may_bring_what_was_refused_on_one(
    pair: Pair, ca: CertificateAuthority
) -> None:
    data = secrets.token_bytes(2 * SHARD)
    manifest, *rest = pieces(data)
    async with receiving(pair.server, ca) as (server, peer):
        objects.begin(peer, [manifest, ObjectData(TRANSFER, 0, bytes(SHARD))])
        lane = objects.begin(peer, [manifest, *rest])
        await asyncio.wait_for(objects.whole(lane, peer.agreed), PATIENCE)
        assert await server.received() == data


@pytest.mark.parametrize("late", [True, False])
async def test_the_reference_waits_for_a_manifest_and_not_for_ever(
    ca: CertificateAuthority, late: bool
) -> None:
    async with receiving("reference", ca) as (server, peer):
        assert isinstance(server, ReferenceServer)
        server.objects = objects.Receiver(patience=PATIENCE if late else 0.1)
        manifest, data = pieces(b"data")
        early = objects.begin(peer, [data])
        if late:
            objects.begin(peer, [manifest])
            assert await server.received() == b"data"
        else:
            with pytest.raises(StreamFailed) as failed:
                await early.recv()
            assert failed.value.code == StreamCode.INCOMPLETE


@pairs(TO_ENGINE, REFERENCES)
@pytest.mark.parametrize(
    "offer", [Parameters(), Parameters(extensions=Extension.HOPS)], ids=["nothing", "another"]
)
async def test_a_frame_without_negotiation_finds_no_stream_to_come_on(
    pair: Pair, ca: CertificateAuthority, offer: Parameters
) -> None:
    async with receiving(pair.server, ca, offer) as (_, peer):
        assert await refused(peer, pieces(b"data")) == StreamCode.DENIED


BROKEN = {
    "another extension's frame": frames.encode(frames.Seed(1, bytes(16), 1, engines.CLIENT)),
    "an unknown type": bytes.fromhex("c0000000fe0000ff"),
    "more data than was announced": frames.encode(ObjectData(TRANSFER, 0, bytes(65537))),
    "the end within a frame": frames.encode(shards.split(TRANSFER, b"data", SHARD)[0])[:-1],
}


@pairs(TO_ENGINE, REFERENCES)
@pytest.mark.parametrize("case", BROKEN)
async def test_what_may_not_be_on_a_stream_of_frames_closes_the_connection(
    pair: Pair, ca: CertificateAuthority, case: str
) -> None:
    async with receiving(pair.server, ca) as (_, peer):
        peer.open(Kind.FRAMES).send(BROKEN[case], end=True)
        closed = await closing(peer)
        assert closed.application
        assert closed.code == ConnectionCode.PROTOCOL


@pairs(TO_ENGINE, REFERENCES)
async def test_a_reset_within_a_frame_closes_nothing(pair: Pair, ca: CertificateAuthority) -> None:
    async with receiving(pair.server, ca) as (server, peer):
        begun = peer.open(Kind.FRAMES)
        begun.send(BROKEN["the end within a frame"])
        begun.reset(StreamCode.CANCELLED)
        lane = objects.begin(peer, pieces(b"still here"))
        await asyncio.wait_for(objects.whole(lane, peer.agreed), PATIENCE)
        assert await server.received() == b"still here"

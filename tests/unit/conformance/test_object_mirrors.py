"""Copies of objects for a shadow, and those that it does not take."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from stoq.engine import CertificateAuthority, Engine, EngineSettings, Listener, Shadow
from stoq_reference import mirrors, shards
from stoq_reference.carriers import Extension
from stoq_reference.client import connect
from stoq_reference.codes import StreamCode
from stoq_reference.endpoint import Endpoint
from stoq_reference.frames import WHOLE_SHARE, ObjectData, Seed
from stoq_reference.frames import Shard as Piece
from stoq_reference.parameters import Parameters
from stoq_reference.peer import Peer
from stoq_reference.server import Server, serve
from stoq_reference.shards import Refused
from support import engines, reference
from support.ends import Offer, Pair, serving
from support.interop import LOOPBACK, TABLE, EngineServer, failure
from support.patience import PATIENCE, until
from unit.conformance.pairs import REFERENCES, TO_ENGINE, pairs

SHARD = 1000
OFFER = Parameters(extensions=Extension.SHARDS | Extension.SEEDS, max_shard=SHARD)
TRANSFER = bytes(range(16))
SEED = Seed(mirrors.OBJECT, TRANSFER, WHOLE_SHARE, engines.SERVER)


@dataclass(frozen=True)
class Taking:
    """A shadow: its port, and the copies that have come whole."""

    port: int
    taken: Callable[[], Awaitable[bytes]]


@asynccontextmanager
async def engine(
    ca: CertificateAuthority, mirrors_from: Sequence[str] | None = (engines.CLIENT,)
) -> AsyncIterator[Taking]:
    settings = EngineSettings(workers=1, stoq=Listener(listen="[::1]:0"), log_level="error")
    tls = engines.identity(ca, engines.SERVER, mirrors=True, max_shard=SHARD)
    async with Engine(settings, tls) as shadow:
        shadow.set_table(TABLE)
        receiver = shadow.object_receiver(mirrors_from=mirrors_from)

        async def taken() -> bytes:
            found = await receiver.receive()
            assert (found.sender, found.copy_of) == (engines.CLIENT, engines.SERVER)
            return found.data

        yield Taking(EngineServer(shadow).mesh, taken)


@asynccontextmanager
async def other(ca: CertificateAuthority) -> AsyncIterator[Taking]:
    """The reference."""
    whole: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(server: Server) -> None:
        peer = await server.accepted.get()
        while True:
            try:
                seed, said = await mirrors.take(peer, await peer.accepted.get())
            except Refused:
                continue
            assert replace(seed, id=TRANSFER) == SEED
            whole.put_nowait(said)

    async with serve(LOOPBACK, 0, endpoint(ca, engines.SERVER)) as server:
        taking = asyncio.create_task(take(server))
        yield Taking(server.port, whole.get)
        taking.cancel()


SHADOWS = {"engine": engine, "reference": other}


def endpoint(ca: CertificateAuthority, spiffe_id: str) -> Endpoint:
    return replace(reference.endpoint(ca, spiffe_id), parameters=OFFER)


async def send_by_engine(ca: CertificateAuthority, data: bytes, shadow: Taking) -> None:
    """The original arrives, and the shadow says nothing about its copy but the end."""
    tls = engines.identity(ca, engines.CLIENT, mirrors=True, max_shard=0)
    async with (
        serving("engine", ca, Offer(max_shard=SHARD)) as original,
        Engine(engines.client_settings(), tls) as client,
    ):
        sender = client.object_sender(
            f"[{LOOPBACK}]:{original.mesh}",
            engines.SERVER,
            shard_size=SHARD,
            shadows=[Shadow(f"[{LOOPBACK}]:{shadow.port}", engines.SERVER)],
        )
        await sender.send(data)
        assert await original.received() == data
        await until(lambda: client.snapshot().counters.mirrors_sent == 1)


async def send_by_reference(ca: CertificateAuthority, data: bytes, shadow: Taking) -> None:
    async with connect(LOOPBACK, shadow.port, endpoint(ca, engines.CLIENT)) as peer:
        await copy(peer, data)


SENDING = {"engine": send_by_engine, "reference": send_by_reference}


async def copy(peer: Peer, data: bytes) -> None:
    """A copy that the shadow takes without a word."""
    transfer = secrets.token_bytes(16)
    stream = mirrors.begin_object(
        peer, replace(SEED, id=transfer), shards.split(transfer, data, SHARD)
    )
    assert await stream.read() == b""


@pairs()
@pytest.mark.parametrize("size", [0, 50_500])
async def test_a_copy_of_an_object_comes_to_the_shadow_which_says_nothing(
    pair: Pair, ca: CertificateAuthority, size: int
) -> None:
    data = secrets.token_bytes(size)
    async with asyncio.timeout(PATIENCE), SHADOWS[pair.server](ca) as shadow:
        await SENDING[pair.client](ca, data, shadow)
        assert await shadow.taken() == data


async def refused(peer: Peer, pieces: list[Piece]) -> int | None:
    """The code that a copy of these frames is reset with."""
    return await failure(mirrors.begin_object(peer, SEED, pieces).read())


HOSTILE: dict[str, tuple[Callable[[list[Piece]], list[Piece]], StreamCode]] = {
    "another object": (
        lambda _: shards.split(bytes(16), b"another", SHARD),
        StreamCode.BAD_SHARD,
    ),
    "other bytes than the digest says": (
        lambda all_: [all_[0], ObjectData(TRANSFER, 0, bytes(SHARD))],
        StreamCode.BAD_SHARD,
    ),
    "an end before the last shard": (lambda all_: all_[:-1], StreamCode.INCOMPLETE),
    "nothing": (lambda _: [], StreamCode.INCOMPLETE),
}


@pairs(TO_ENGINE, REFERENCES)
@pytest.mark.parametrize("case", HOSTILE)
async def test_a_copy_that_is_not_the_object_it_names_is_refused_and_no_other(
    pair: Pair, ca: CertificateAuthority, case: str
) -> None:
    made, code = HOSTILE[case]
    data = secrets.token_bytes(2500)
    async with (
        SHADOWS[pair.server](ca) as shadow,
        connect(LOOPBACK, shadow.port, endpoint(ca, engines.CLIENT)) as peer,
        asyncio.timeout(PATIENCE),
    ):
        assert await refused(peer, made(shards.split(TRANSFER, data, SHARD))) == code
        await copy(peer, b"still here")
        assert await shadow.taken() == b"still here"


@pytest.mark.parametrize("mirrors_from", [None, [engines.SERVER]])
async def test_copies_of_objects_from_whom_none_are_expected_are_denied(
    ca: CertificateAuthority, mirrors_from: list[str] | None
) -> None:
    async with (
        engine(ca, mirrors_from) as shadow,
        connect(LOOPBACK, shadow.port, endpoint(ca, engines.CLIENT)) as peer,
    ):
        pieces = shards.split(TRANSFER, b"not for you", SHARD)
        assert await refused(peer, pieces) == StreamCode.DENIED
        assert not peer.closed.done()

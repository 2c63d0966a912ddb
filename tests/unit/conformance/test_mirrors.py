"""Copies of flows for a shadow, and those that it does not take."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from stoq.engine import CertificateAuthority, Engine, EngineSettings, Listener
from stoq_reference import frames, mirrors
from stoq_reference.carriers import Extension
from stoq_reference.client import connect
from stoq_reference.codes import ConnectionCode, StreamCode
from stoq_reference.frames import Seed
from stoq_reference.head import Address, Kind
from stoq_reference.parameters import Parameters
from stoq_reference.peer import Peer
from stoq_reference.server import Server, serve
from support import engines, reference
from support.ends import Pair
from support.interop import (
    LOOPBACK,
    OWN_ADDRESS,
    TABLE,
    EngineServer,
    closing,
    failure,
    own_address,
)
from support.patience import PATIENCE
from support.vectors import Case, cases
from unit.conformance.pairs import REFERENCES, TO_ENGINE, pairs

FLOW, OBJECT = 1, 2
SEED = Seed(FLOW, bytes(range(16)), 500, engines.SERVER)
OWN = Address.of(OWN_ADDRESS, 80)

Said = asyncio.Future[bytes]
"""What the application of a shadow was told, to the end."""


@asynccontextmanager
async def shadow(
    ca: CertificateAuthority,
    mirrors_from: list[str] | None,
    *,
    both: Extension = Extension.SEEDS,
    own: str = OWN_ADDRESS,
) -> AsyncIterator[Peer]:
    """A connection to an engine that takes copies from these, with the extensions in use."""
    settings = EngineSettings(workers=1, stoq=Listener(listen="[::1]:0"), log_level="error")
    tls = engines.identity(
        ca,
        engines.SERVER,
        mirrors=Extension.SEEDS in both,
        max_shard=1000 if Extension.SHARDS in both else None,
    )
    offer = Parameters(extensions=both, max_shard=1000)
    dialling = replace(reference.endpoint(ca, engines.CLIENT), parameters=offer)
    async with Engine(settings, tls) as engine:
        table = json.loads(TABLE.replace(OWN_ADDRESS, own)) | {"mirrors_from": mirrors_from}
        engine.set_table(json.dumps(table))
        async with connect(LOOPBACK, EngineServer(engine).mesh, dialling) as peer:
            yield peer


@asynccontextmanager
async def taking_engine(ca: CertificateAuthority) -> AsyncIterator[tuple[Peer, Address, Said]]:
    """An engine that takes copies for its application."""
    heard = asyncio.get_running_loop().create_future()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.read())
        writer.write(b"an answer that nobody reads")
        writer.close()

    host = own_address()
    application = await asyncio.start_server(hear, host, 0)
    to = Address.of(host, application.sockets[0].getsockname()[1])
    async with application, shadow(ca, [], own=host) as peer:
        yield peer, to, heard


@asynccontextmanager
async def taking_reference(ca: CertificateAuthority) -> AsyncIterator[tuple[Peer, Address, Said]]:
    """A reference that takes a copy."""
    offer = Parameters(extensions=Extension.SEEDS)
    serving = replace(reference.endpoint(ca, engines.SERVER), parameters=offer)
    dialling = replace(reference.endpoint(ca, engines.CLIENT), parameters=offer)

    async def take(server: Server) -> bytes:
        peer = await server.accepted.get()
        seed, said = await mirrors.take(peer, await peer.accepted.get())
        assert seed == SEED
        return said

    async with (
        serve(LOOPBACK, 0, serving) as server,
        connect(LOOPBACK, server.port, dialling) as peer,
    ):
        yield peer, OWN, asyncio.ensure_future(take(server))


TAKING = {"engine": taking_engine, "reference": taking_reference}


@pairs(TO_ENGINE, REFERENCES)
async def test_a_copy_of_a_flow_comes_to_the_shadow_which_says_nothing(
    pair: Pair, ca: CertificateAuthority
) -> None:
    data = bytes(range(256)) * 100
    async with asyncio.timeout(PATIENCE), TAKING[pair.server](ca) as (peer, to, said):
        copy = mirrors.begin(peer, SEED, Address.of("fd00::9", 40000), to)
        copy.send(data, end=True)
        assert await copy.read() == b""
        assert await said == data


@cases("mirrors.json", "copied")
def test_an_id_says_alone_whether_it_is_copied(case: Case) -> None:
    assert mirrors.is_copied(bytes.fromhex(case["id"]), case["share"]) is case["copied"]


async def refused(peer: Peer, seed: Seed = SEED, to: Address = OWN) -> int | None:
    """The code that the engine resets a copy with."""
    stream = peer.open(Kind.FRAMES, Address.of("fd00::9", 40000), to)
    stream.send(frames.encode(seed) + b"what a client said")
    return await failure(stream.read())


@pytest.mark.parametrize("mirrors_from", [None, [engines.SERVER]])
async def test_a_copy_from_whom_none_is_expected_is_denied(
    ca: CertificateAuthority, mirrors_from: list[str] | None
) -> None:
    async with shadow(ca, mirrors_from) as peer:
        assert await refused(peer) == StreamCode.DENIED
        assert not peer.closed.done()


async def test_a_copy_is_held_against_the_rules_for_flows(ca: CertificateAuthority) -> None:
    async with shadow(ca, [engines.CLIENT]) as peer:
        elsewhere = Address.of("fd00::77", 80)
        assert await refused(peer, to=elsewhere) == StreamCode.NOT_MINE
        ours = Address.of(OWN_ADDRESS, 14000)
        assert await refused(peer, to=ours) == StreamCode.FORBIDDEN_PORT


async def test_a_copy_of_an_object_is_denied(ca: CertificateAuthority) -> None:
    async with shadow(ca, []) as peer:
        assert await refused(peer, replace(SEED, form=OBJECT)) == StreamCode.DENIED


async def test_a_seed_where_only_shards_are_in_use_closes_the_connection(
    ca: CertificateAuthority,
) -> None:
    async with shadow(ca, [], both=Extension.SHARDS) as peer:
        peer.open(Kind.FRAMES).send(frames.encode(SEED))
        assert (await closing(peer)).code == ConnectionCode.PROTOCOL


async def test_a_shard_where_only_copies_are_in_use_closes_the_connection(
    ca: CertificateAuthority,
) -> None:
    async with shadow(ca, []) as peer:
        want = frames.Want(bytes(16), ())
        peer.open(Kind.FRAMES).send(frames.encode(want))
        assert (await closing(peer)).code == ConnectionCode.PROTOCOL

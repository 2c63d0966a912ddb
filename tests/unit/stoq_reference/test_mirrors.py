"""Copies of flows that the reference sends to an engine which does not take them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from stoq.engine import CertificateAuthority, Engine, EngineSettings, Listener
from stoq_reference import frames
from stoq_reference.carriers import Extension
from stoq_reference.client import connect
from stoq_reference.codes import ConnectionCode, StreamCode
from stoq_reference.frames import Seed
from stoq_reference.head import Address, Kind
from stoq_reference.parameters import Parameters
from stoq_reference.peer import Peer
from stoq_reference.stream import StreamFailed
from support import engines, reference
from support.interop import LOOPBACK, OWN_ADDRESS, PATIENCE, TABLE, EngineServer, closing

FLOW, OBJECT = 1, 2
SEED = Seed(FLOW, bytes(range(16)), 500, engines.SERVER)
OWN = Address.of(OWN_ADDRESS, 80)


@asynccontextmanager
async def shadow(
    ca: CertificateAuthority,
    mirrors_from: list[str] | None,
    *,
    both: Extension = Extension.SEEDS,
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
        engine.set_table(json.dumps(json.loads(TABLE) | {"mirrors_from": mirrors_from}))
        async with connect(LOOPBACK, EngineServer(engine).mesh, dialling) as peer:
            yield peer


async def refused(peer: Peer, seed: Seed = SEED, to: Address = OWN) -> int | None:
    """The code that the engine resets a copy with."""
    stream = peer.open(Kind.FRAMES, Address.of("fd00::9", 40000), to)
    stream.send(frames.encode(seed) + b"what a client said")
    with pytest.raises(StreamFailed) as failed:
        async with asyncio.timeout(PATIENCE):
            await stream.read()
    return failed.value.code


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

"""The reserve at the end of packets, and tokens in it."""

import asyncio
from collections.abc import Callable

import pytest

from stoq.engine import CertificateAuthority
from stoq_reference.client import connect
from stoq_reference.codes import ConnectionCode
from stoq_reference.head import Kind
from stoq_reference.peer import Peer
from support import engines
from support.ends import (
    EngineClient,
    EngineServer,
    Offer,
    Pair,
    ReferenceClient,
    ReferenceServer,
    endpoint,
    greeted,
    update_keys,
    whole,
)
from support.interop import LOOPBACK, closing
from support.patience import PATIENCE
from unit.conformance.pairs import REFERENCES, TO_ENGINE, TO_REFERENCE, pairs

OFFERED = Offer(tokens="packet")
TOKEN_LENGTH = 25
"""What an end with tokens asks for."""

DATA = bytes(range(256)) * 100


OFFERS = {
    "tokens": Offer(tokens="packet", reserve=64),
    "a reserve": Offer(reserve=64),
    "nothing": Offer(),
}


@pairs()
@pytest.mark.parametrize(
    ("client_offers", "server_offers", "reserve", "tokens"),
    [
        ("tokens", "tokens", 64, True),
        ("tokens", "a reserve", 64, False),
        ("a reserve", "a reserve", 64, False),
        ("tokens", "nothing", 0, False),
        ("nothing", "tokens", 0, False),
    ],
)
async def test_packets_end_with_what_both_ends_offer(
    pair: Pair,
    ca: CertificateAuthority,
    client_offers: str,
    server_offers: str,
    reserve: int,
    tokens: bool,
) -> None:
    async with pair.ends(ca, OFFERS[client_offers], OFFERS[server_offers]) as (client, server):
        near, far = await greeted(client, server)
        for end in (client, server):
            # Keys are updated where an end can be told to; the reserve stays.
            for one, other in ((near, far), (far, near)):
                sending = asyncio.create_task(one.send(DATA))
                assert await whole(other, len(DATA)) == DATA
                await sending
            if isinstance(end, ReferenceClient | ReferenceServer):
                await update_keys(end.peer)
        for seen in (client.seen(), server.seen()):
            assert (seen.reserve, seen.packet_tokens) == (reserve, tokens)
        for end in (client, server):
            if isinstance(end, EngineClient | EngineServer):
                assert end.engine.snapshot().counters.packets_refused == 0


Finish = Callable[[int, bytes], bytes]
"""A packet's number and payload: the payload with its reserve."""


def forged(number: int, payload: bytes, finish: Finish) -> bytes:
    return bytes([payload[0] ^ 1]) + finish(number, payload)[1:]


def another(number: int, payload: bytes, finish: Finish) -> bytes:
    return finish(number + 1, payload)


def missing(_: int, payload: bytes, __: Finish) -> bytes:
    return payload.ljust(len(payload) + TOKEN_LENGTH, b"\0")


def unpadded(_: int, payload: bytes, __: Finish) -> bytes:
    return payload + b"\0" * (TOKEN_LENGTH - 1) + b"\1"


def unknown(_: int, payload: bytes, __: Finish) -> bytes:
    return payload + bytes.fromhex("c0000000fe000009").ljust(TOKEN_LENGTH, b"\0")


Wrong = Callable[[int, bytes, Finish], bytes]

WRONG: dict[Wrong, ConnectionCode] = {
    forged: ConnectionCode.BAD_TOKEN,
    another: ConnectionCode.BAD_TOKEN,
    missing: ConnectionCode.BAD_TOKEN,
    unpadded: ConnectionCode.PROTOCOL,
    unknown: ConnectionCode.PROTOCOL,
}


def spoil(peer: Peer, wrong: Wrong) -> None:
    """Has `wrong` at the end of every packet from now on."""
    packets = peer.quic.packets
    assert packets is not None
    packets.finish = lambda number, payload: wrong(number, payload, packets.finished)


@pairs(TO_ENGINE, REFERENCES)
@pytest.mark.parametrize("wrong", WRONG)
async def test_a_wrong_end_of_a_packet_closes_its_connection_and_no_other(
    pair: Pair, ca: CertificateAuthority, wrong: Wrong
) -> None:
    async with pair.ends(ca, OFFERED, OFFERED) as (client, server):
        assert isinstance(client, ReferenceClient)
        near, far = await greeted(client, server)
        async with connect(LOOPBACK, server.mesh, endpoint(ca, engines.CLIENT, OFFERED)) as bad:
            await asyncio.wait_for(bad.ping(), PATIENCE)
            spoil(bad, wrong)
            bad.open(Kind.CONTROL).send(b"?")
            closed = await closing(bad)
        assert closed.application
        assert closed.code == WRONG[wrong]
        await near.send(b"?")
        assert await far.recv() == b"?"
        if isinstance(server, EngineServer):
            snapshot = server.engine.snapshot()
            assert snapshot.counters.packets_refused == 1
            assert snapshot.connections_closed[WRONG[wrong].name.lower()] == 1


@pairs(TO_REFERENCE, REFERENCES)
@pytest.mark.parametrize("wrong", WRONG)
async def test_a_server_that_spoils_its_packets_loses_its_connection(
    pair: Pair, ca: CertificateAuthority, wrong: Wrong
) -> None:
    async with pair.ends(ca, OFFERED, OFFERED) as (client, server):
        assert isinstance(server, ReferenceServer)
        _, far = await greeted(client, server)
        bad = server.peer
        spoil(bad, wrong)
        await far.send(b"?")
        closed = await closing(bad)
        assert closed.application
        assert closed.code == WRONG[wrong]

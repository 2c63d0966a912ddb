"""Captured UDP. That of an engine takes sockets which only root can open: what it carries is shown
by tests/netns/test_captured_udp_reference.py.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_address

import pytest

from stoq.engine import CertificateAuthority
from stoq_reference import udp
from stoq_reference.carriers import Extension
from stoq_reference.client import connect
from stoq_reference.codes import ConnectionCode, StreamCode
from stoq_reference.head import Address, Kind
from stoq_reference.parameters import Parameters
from stoq_reference.peer import Peer
from stoq_reference.reader import varint
from stoq_reference.server import Server, serve
from stoq_reference.stream import StreamFailed
from support import engines, reference
from support.ends import Offer, Pair, telling
from support.interop import LOOPBACK, OWN_ADDRESS, closing
from support.patience import PATIENCE
from unit.conformance.pairs import REFERENCES, TO_ENGINE, TO_REFERENCE, pairs

OFFER = Parameters(extensions=Extension.CAPTURED_UDP)
CALLER = Address.of("fd00::1", 5353)
SERVICE = Address.of(OWN_ADDRESS, 53)


@asynccontextmanager
async def capturing(ca: CertificateAuthority) -> AsyncIterator[tuple[Server, Peer]]:
    """A reference that takes captured UDP, and another one's connection to it."""
    own = frozenset({ip_address(OWN_ADDRESS)})
    serving = replace(reference.endpoint(ca, engines.SERVER), parameters=OFFER, addresses=own)
    dialling = replace(reference.endpoint(ca, engines.CLIENT), parameters=OFFER)
    async with (
        asyncio.timeout(PATIENCE),
        serve(LOOPBACK, 0, serving) as server,
        connect(LOOPBACK, server.port, dialling) as near,
    ):
        yield server, near


@pairs(REFERENCES)
async def test_payloads_of_captured_udp_come_whole_both_ways(
    pair: Pair, ca: CertificateAuthority
) -> None:
    async with capturing(ca) as (server, near):
        client = near.flow(near.open(Kind.UDP, CALLER, SERVICE))
        # In a datagram, which may be there before the head of the flow; and on the stream.
        client.send(b"early")
        far = await server.accepted.get()
        stream = await far.accepted.get()
        assert (stream.head.source, stream.head.destination) == (CALLER, SERVICE)
        flow = far.flow(stream)
        assert await flow.recv() == b"early"
        for size in (0, 1, 1000, 1500, 9000, udp.MAX_PAYLOAD):
            for one, other in ((client, flow), (flow, client)):
                one.send(bytes(size))
                assert await other.recv() == bytes(size)
        client.end()
        assert await flow.recv() is None
        flow.end()
        assert await client.recv() is None
        assert not near.closed.done()


async def test_a_message_longer_than_udp_closes_the_connection(ca: CertificateAuthority) -> None:
    async with capturing(ca) as (server, near):
        stream = near.open(Kind.UDP, CALLER, SERVICE)
        far = await server.accepted.get()
        flow = far.flow(await far.accepted.get())
        stream.send(varint(udp.MAX_PAYLOAD + 1))
        assert await flow.recv() is None
        assert (await closing(near)).code == ConnectionCode.PROTOCOL


@pairs(TO_REFERENCE, TO_ENGINE, REFERENCES)
async def test_a_flow_of_captured_udp_is_denied_where_it_is_not_in_use(
    pair: Pair, ca: CertificateAuthority
) -> None:
    async with pair.ends(ca) as (client, server):
        peer = await telling(client, server)
        with pytest.raises(StreamFailed) as failed:
            await peer.open(Kind.UDP, CALLER, SERVICE).recv()
        assert failed.value.code == StreamCode.DENIED


@pairs(TO_REFERENCE, TO_ENGINE, REFERENCES)
async def test_a_datagram_of_captured_udp_closes_where_it_is_not_in_use(
    pair: Pair, ca: CertificateAuthority
) -> None:
    taking = Offer(max_shard=65536)
    offers = (taking, Offer()) if pair == TO_REFERENCE else (Offer(), taking)
    async with pair.ends(ca, *offers) as (client, server):
        peer = await telling(client, server)
        peer.quic.send_datagram_frame(udp.datagram(0, b"hello"))
        peer.transmit()
        closed = await closing(peer)
        assert closed.application
        assert closed.code == ConnectionCode.PROTOCOL

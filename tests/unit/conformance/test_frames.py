"""Each frame of the document on real connections: where it may be, and where it may not.

What its bytes say is in the vectors, which both implementations read and write.
"""

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from stoq.engine import CertificateAuthority
from stoq_reference import carriers, frames, objects
from stoq_reference.carriers import Agreed, Carrier, Extension
from stoq_reference.client import connect
from stoq_reference.codes import ConnectionCode
from stoq_reference.endpoint import Endpoint
from stoq_reference.errors import Malformed
from stoq_reference.frames import Frame, Type
from stoq_reference.head import Kind
from stoq_reference.parameters import Parameters
from stoq_reference.peer import Peer
from stoq_reference.server import serve
from support import engines, reference
from support.ends import Offer, Pair, telling
from support.interop import LOOPBACK, closing
from support.patience import PATIENCE
from support.vectors import vectors
from unit.conformance.pairs import REFERENCES, TO_ENGINE, TO_REFERENCE, pairs

EVERYTHING = Parameters(extensions=sum(Extension), max_shard=1 << 20)
FRAMES = {
    case["name"]: frames.decode(bytes.fromhex(case["hex"]))[0]
    for case in vectors("frames.json")["valid"]
}
OF_TYPE = {
    type_: min(
        (frame for frame in FRAMES.values() if frames.type_of(frame) is type_),
        key=lambda frame: len(frames.encode(frame)),
    )
    for type_ in Type
}
"""The shortest of each type, since it has to fit a datagram."""
SHARDS = Offer(max_shard=65536, signatures=False)


def comes_in(frame: Frame, carrier: Carrier) -> bool:
    """Whether a frame may come so when every extension is in use."""
    with suppress(Malformed):
        carriers.check(frame, carrier, Agreed(Extension(sum(Extension)), 0, 0, 1 << 20))
        return True
    return False


@pairs(REFERENCES)
async def test_each_frame_arrives_as_it_was_sent_in_each_of_its_carriers(
    pair: Pair, ca: CertificateAuthority
) -> None:
    def everything(own: Endpoint) -> Endpoint:
        return replace(own, parameters=EVERYTHING)

    serving = everything(reference.endpoint(ca, engines.SERVER))
    dialling = everything(reference.endpoint(ca, engines.CLIENT))
    async with (
        asyncio.timeout(PATIENCE),
        serve(LOOPBACK, 0, serving) as server,
        connect(LOOPBACK, server.port, dialling) as near,
    ):
        far = await server.accepted.get()
        for frame in FRAMES.values():
            # Tokens of streams go before what they cover, and those of packets at their end.
            if comes_in(frame, Carrier.STREAM) and frames.type_of(frame) is not Type.TOKEN:
                near.open(Kind.FRAMES).send(frames.encode(frame), end=True)
                taken = objects.frames_of(await far.accepted.get(), far.agreed)
                assert [found async for found in taken] == [frame]
            if comes_in(frame, Carrier.DATAGRAM) and near.send_datagram(frames.encode(frame)):
                assert await far.frames.get() == frame


@pairs(TO_REFERENCE, TO_ENGINE, REFERENCES)
@pytest.mark.parametrize("type_", sorted(set(Type) - {Type.SHARD}), ids=lambda type_: type_.name)
async def test_a_frame_on_a_stream_whose_extension_is_not_in_use_closes_the_connection(
    pair: Pair, ca: CertificateAuthority, type_: Type
) -> None:
    async with pair.ends(ca, SHARDS, SHARDS) as (client, server):
        peer = await telling(client, server)
        peer.open(Kind.FRAMES).send(frames.encode(OF_TYPE[type_]))
        await closed_with_protocol(peer)


@pairs(TO_REFERENCE, TO_ENGINE, REFERENCES)
@pytest.mark.parametrize("type_", Type, ids=lambda type_: type_.name)
async def test_a_frame_in_a_datagram_whose_extension_is_not_in_use_closes_the_connection(
    pair: Pair, ca: CertificateAuthority, type_: Type
) -> None:
    # The receiver offers shards, so that it takes datagrams at all; the sender does not.
    quiet, taking = Offer(), SHARDS
    offers = (taking, quiet) if pair == TO_REFERENCE else (quiet, taking)
    async with pair.ends(ca, *offers) as (client, server):
        peer = await telling(client, server)
        peer.quic.send_datagram_frame(frames.encode(OF_TYPE[type_]))
        peer.transmit()
        await closed_with_protocol(peer)


async def closed_with_protocol(peer: Peer) -> None:
    closed = await closing(peer)
    assert closed.application
    assert closed.code == ConnectionCode.PROTOCOL

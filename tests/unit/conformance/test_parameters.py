"""Peers that announce something else than we do: less, more, or nonsense.

Their encoding is in the vectors; this is what becomes of a real connection.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aioquic.quic.packet import QuicErrorCode

from stoq.api.stream import ConnectionLost
from stoq.engine import CertificateAuthority
from stoq_reference.endpoint import Endpoint
from stoq_reference.parameters import (
    EXTENSIONS,
    PACKET_RESERVE,
    PUBLIC_KEY,
    REVISION,
    Parameters,
)
from stoq_reference.reader import varint
from stoq_reference.server import serve
from support import engines, reference
from support.ends import (
    Client,
    Offer,
    Pair,
    ReferenceClient,
    ReferenceServer,
    Server,
    dialling,
    echoed,
    serving,
)
from support.interop import LOOPBACK, closing, refusal
from unit.conformance.pairs import REFERENCES, TO_ENGINE, TO_REFERENCE, pairs

EVERYTHING = Offer(tokens="packet", reserve=64, max_shard=65536)
DATA = bytes(range(256)) * 100


def parameter(id_: int, value: bytes) -> bytes:
    return varint(id_) + varint(len(value)) + value


@asynccontextmanager
async def with_an_odd_end(
    pair: Pair, ca: CertificateAuthority, odd: Callable[[Endpoint], Endpoint], *, client: bool
) -> AsyncIterator[tuple[Client, Server]]:
    """A pair of which the client or the server is changed so, and the other offers all it can."""
    if client:
        own = odd(reference.endpoint(ca, engines.CLIENT, engines.SERVER))
        async with serving(pair.server, ca, EVERYTHING) as server:
            odd_client = ReferenceClient(own)
            yield odd_client, server
            await odd_client.hang_up()
        return
    own = odd(reference.endpoint(ca, engines.SERVER))
    async with (
        serve(LOOPBACK, 0, own) as listener,
        ReferenceServer(listener).running() as server,
        dialling(pair.client, ca, EVERYTHING) as near,
    ):
        yield near, server


def odd_ends(pair: Pair) -> list[bool]:
    """Which of a pair's ends may be the odd one: those of the reference. True: its client."""
    ends = {True: pair.client, False: pair.server}
    return [client for client, implementation in ends.items() if implementation == "reference"]


def plain(own: Endpoint) -> Endpoint:
    """Announces nothing of STOQ."""
    return replace(own, parameters=None)


@pairs(TO_REFERENCE, TO_ENGINE, REFERENCES)
async def test_a_plain_quic_peer_is_spoken_to_without_any_frame_of_ours(
    pair: Pair, ca: CertificateAuthority
) -> None:
    for client in odd_ends(pair):
        async with with_an_odd_end(pair, ca, plain, client=client) as (near, server):
            assert await echoed(near, server, DATA) == DATA
            for seen in (near.seen(), server.seen()):
                assert (seen.reserve, seen.packet_tokens) == (0, False)


NEWER = Parameters(revision=2, extensions=(1 << 62) - 1, packet_reserve=256, max_shard=1 << 40)


@pairs(TO_REFERENCE, TO_ENGINE, REFERENCES)
@pytest.mark.parametrize("more", [b"", parameter(PUBLIC_KEY + 1, b"new")], ids=["", "more"])
async def test_ends_of_two_revisions_speak_the_older_one(
    pair: Pair, ca: CertificateAuthority, more: bytes
) -> None:
    def newer(own: Endpoint) -> Endpoint:
        """Announces all that it knows, which is more than we do."""
        return reference.announcing(replace(own, parameters=NEWER), NEWER.encode() + more)

    for client in odd_ends(pair):
        async with with_an_odd_end(pair, ca, newer, client=client) as (near, server):
            assert await echoed(near, server, DATA) == DATA
            for seen in (near.seen(), server.seen()):
                assert (seen.reserve, seen.packet_tokens) == (64, True)


WRONG = {
    "revision 0": parameter(REVISION, b"\0"),
    "a revision that does not fill its value": parameter(REVISION, b"\1\0"),
    "no revision": parameter(EXTENSIONS, b"\1"),
    "revision twice": parameter(REVISION, b"\1") * 2,
    "a reserve of 257 bytes": parameter(REVISION, b"\1") + parameter(PACKET_RESERVE, b"\x41\1"),
    "an empty key": parameter(REVISION, b"\1") + parameter(PUBLIC_KEY, b""),
    "a block that ends early": parameter(REVISION, b"\1") + varint(EXTENSIONS) + b"\2\1",
}


@pairs(TO_REFERENCE, TO_ENGINE, REFERENCES)
@pytest.mark.parametrize("wrong", WRONG)
async def test_wrong_parameters_end_the_handshake(
    pair: Pair, ca: CertificateAuthority, wrong: str
) -> None:
    if pair == TO_REFERENCE:
        odd = reference.announcing(reference.endpoint(ca, engines.SERVER), WRONG[wrong])
        async with serve(LOOPBACK, 0, odd) as listener, dialling("engine", ca) as near:
            with pytest.raises(ConnectionLost):
                await near.open(ReferenceServer(listener))
            (peer,) = listener.peers
            closed = await closing(peer)
    else:
        odd = reference.announcing(reference.endpoint(ca, engines.CLIENT), WRONG[wrong])
        async with serving(pair.server, ca) as server:
            closed = await refusal(server.mesh, odd)
    assert not closed.application
    assert closed.code == QuicErrorCode.TRANSPORT_PARAMETER_ERROR

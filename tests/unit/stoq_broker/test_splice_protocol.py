"""Offers to be joined, as bytes."""

import msgspec
import pytest

from stoq.broker import protocol
from stoq.broker.protocol import (
    Code,
    Offer,
    Operation,
    Peer,
    ProtocolError,
    Reply,
    Request,
    Spliced,
)

ME, OTHER = "spiffe://x.test/ns/shop/sa/web", "spiffe://x.test/ns/shop/sa/db"


def offered(**peer: object) -> bytes:
    about = {"spiffe_id": OTHER, "addresses": ["fd00::b"], **peer}
    asked = {"v": 1, "op": "splice", "offer": {"spiffe_id": ME, "peers": [about]}}
    return msgspec.msgpack.encode(asked)


def test_an_offer_arrives_as_it_was_made() -> None:
    offer = Offer(spiffe_id=ME, peers=(Peer(spiffe_id=OTHER, addresses=("fd00::b",), dials=(80,)),))
    asked = Request(op=Operation.SPLICE, offer=offer)
    assert protocol.decode_request(protocol.encode_request(asked)).offer == offer
    said = Reply(v=1, spliced=Spliced(seconds=5.0, pairs=2))
    assert protocol.decode_reply(protocol.encode_reply(said)).spliced == said.spliced


def test_the_largest_offer_of_usual_names_fits_into_a_message() -> None:
    ports = tuple(range(30_000, 30_008))
    peers = tuple(
        Peer(spiffe_id=f"{OTHER}-{n}", addresses=(f"fd00::{n:x}",), dials=ports, admits=ports)
        for n in range(protocol.MAX_PEERS)
    )
    asked = Request(op=Operation.SPLICE, offer=Offer(spiffe_id=ME, peers=peers))
    assert len(protocol.encode_request(asked)) < protocol.MAX_MESSAGE


@pytest.mark.parametrize(
    "peer",
    [
        {"addresses": []},
        {"addresses": ["fd00::b"] * (protocol.MAX_ADDRESSES + 1)},
        {"dials": [0]},
        {"admits": [65536]},
        {"dials": list(range(1, protocol.MAX_PORTS + 2))},
        {"spiffe_id": "x" * (protocol.MAX_ID + 1)},
    ],
)
def test_what_is_out_of_range_is_malformed(peer: dict[str, object]) -> None:
    with pytest.raises(ProtocolError) as refused:
        protocol.decode_request(offered(**peer))
    assert refused.value.code is Code.MALFORMED

"""Packets beside tunnels of the reference, held against docs/vectors."""

from hypothesis import given
from hypothesis import strategies as st

from stoq_reference import bare
from stoq_reference.bare import BarePacket, Probe
from support.vectors import Case, cases


def raw(case: Case, *keys: str) -> tuple[bytes, ...]:
    return tuple(bytes.fromhex(case[key]) for key in keys)


@cases("forwarded.json", "packets")
def test_a_packet_goes_beside_its_tunnel_as_the_vectors_say(case: Case) -> None:
    went = bare.beside(*raw(case, "packet", "cid", "id"))
    assert (went.hex() if went else None) == case["bare"]


@cases("forwarded.json", "packets")
def test_what_came_beside_a_tunnel_becomes_the_packet_that_it_was(case: Case) -> None:
    packet, cid, id_ = raw(case, "packet", "cid", "id")
    if case["bare"]:
        came = bare.read(bytes.fromhex(case["bare"]))
        assert isinstance(came, BarePacket)
        assert (came.id, came.restored(cid)) == (id_, packet)


@cases("forwarded.json", "probes")
def test_a_probe_is_told_from_a_packet_by_its_length(case: Case) -> None:
    id_, nonce, datagram = raw(case, "id", "nonce", "hex")
    assert Probe(id_, nonce).encode() == datagram
    assert bare.read(datagram) == Probe(id_, nonce)
    assert isinstance(bare.read(datagram + b"9"), BarePacket)


@cases("forwarded.json", "neither")
def test_what_is_neither_is_left_alone(case: Case) -> None:
    assert bare.read(bytes.fromhex(case["hex"])) is None


@given(datagram=st.binary(max_size=64), cid=st.binary(min_size=1, max_size=16))
def test_whatever_is_read_as_a_packet_goes_out_again_as_it_came(
    datagram: bytes, cid: bytes
) -> None:
    came = bare.read(datagram)
    if isinstance(came, BarePacket):
        assert bare.beside(came.restored(cid), cid, came.id) == datagram

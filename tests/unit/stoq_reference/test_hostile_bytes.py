"""Whatever bytes come, the reference reads or refuses them, and raises nothing else."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoq_reference import calls, control, der, head, parameters
from stoq_reference.certificate import parse_leaf
from stoq_reference.errors import Malformed
from stoq_reference.head import Address, Head, Kind
from stoq_reference.reader import Reader, varint
from support.vectors import vectors

LEAF = bytes.fromhex(vectors("certificates.json")["valid"][0]["hex"])
VARINTS = st.integers(0, (1 << 62) - 1)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (parameters.decode, head.decode, control.decode, der.elements, parse_leaf):
        with suppress(Malformed):
            read(data)
    with suppress(Malformed):
        calls.decode(data, 100)


@given(st.integers(0, 260), st.binary(min_size=1, max_size=3))
def test_a_certificate_with_any_bytes_in_it_is_read_or_refused(at: int, other: bytes) -> None:
    with suppress(Malformed):
        parse_leaf(LEAF[:at] + other + LEAF[at + len(other) :])


@given(VARINTS)
def test_every_varint_comes_back(value: int) -> None:
    reader = Reader(varint(value), "varint")
    assert reader.varint() == value
    reader.end()


@given(
    st.sampled_from(Kind),
    st.binary(min_size=16, max_size=16),
    st.ip_addresses(),
    st.ip_addresses(),
    st.integers(0, 65535),
    st.booleans(),
    VARINTS,
    VARINTS,
    st.binary(max_size=8),
)
def test_every_head_comes_back(
    kind, flow, source, destination, port, resume, sent, received, rest
) -> None:
    made = Head(
        kind=kind,
        flow_id=flow,
        source=Address(source, port),
        destination=Address(destination, port),
        resume=resume,
        sent=sent,
        received=received,
    )
    encoded = made.encode()
    assert head.decode(encoded + rest) == (made, len(encoded))


@given(VARINTS, VARINTS, st.integers(0, 256), VARINTS)
def test_all_parameters_come_back(revision: int, extensions: int, reserve: int, shard: int) -> None:
    made = parameters.Parameters(max(1, revision), extensions, reserve, shard)
    assert parameters.decode(made.encode()) == made


def test_a_serial_number_below_zero_is_refused() -> None:
    at = LEAF.index(bytes.fromhex("02021234"))
    with pytest.raises(Malformed, match="serial number"):
        parse_leaf(LEAF[: at + 2] + b"\xff" + LEAF[at + 3 :])

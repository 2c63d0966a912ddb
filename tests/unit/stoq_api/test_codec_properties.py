"""Whatever is sent arrives as it was, and whatever arrives is a value or the specified error."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoq.api.codec import Codec, decode, encode
from stoq.api.errors import Malformed


class Part(msgspec.Struct):
    name: str
    weights: tuple[float, ...] = ()


class Everything(msgspec.Struct):
    number: int
    blob: bytes
    parts: list[Part]
    labels: dict[str, int]
    part: Part | None = None


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
parts = st.builds(
    Part,
    name=texts,
    weights=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=4).map(tuple),
)
values = st.builds(
    Everything,
    number=st.integers(-(2**63), 2**64 - 1),
    blob=st.binary(max_size=100),
    parts=st.lists(parts, max_size=4),
    labels=st.dictionaries(texts, st.integers(-(2**63), 2**63), max_size=4),
    part=st.none() | parts,
)
codecs = st.sampled_from(Codec)


@given(codecs, values)
def test_every_value_survives(codec: Codec, value: Everything) -> None:
    assert decode(codec, encode(codec, value), Everything) == value


@given(codecs, values, st.data())
def test_every_cut_is_malformed(codec: Codec, value: Everything, data: Any) -> None:
    body = encode(codec, value)
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(Malformed, match="Everything"):
        decode(codec, body[:cut], Everything)


@given(codecs, st.binary(max_size=300))
def test_any_bytes_are_a_value_or_malformed(codec: Codec, body: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert isinstance(decode(codec, body, Everything), Everything)


@given(codecs, values, st.sampled_from(["number", "blob", "parts", "labels", "part"]))
def test_a_field_of_the_wrong_type_is_named(codec: Codec, value: Everything, field: str) -> None:
    body = encode(codec, msgspec.structs.asdict(value) | {field: True})
    with pytest.raises(Malformed, match=rf"\$\.{field}"):
        decode(codec, body, Everything)

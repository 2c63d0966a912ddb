"""The public FALCON API."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stoq.falcon import (
    KEY_ID_BYTES,
    SIGNATURE_BYTES,
    SIGNING_KEY_BYTES,
    VERIFYING_KEY_BYTES,
    SigningKey,
    VerifyingKey,
)

DEGREES = pytest.mark.parametrize("degree", [512, 1024])


@DEGREES
def test_keys_and_signatures_have_the_lengths_of_the_specification(degree: int) -> None:
    key = SigningKey.generate(degree)
    assert key.degree == key.verifying_key.degree == degree
    assert len(key.to_bytes()) == SIGNING_KEY_BYTES[degree]
    assert len(key.verifying_key.to_bytes()) == VERIFYING_KEY_BYTES[degree]
    assert {len(key.sign(bytes(n))) for n in range(20)} == {SIGNATURE_BYTES[degree]}


@DEGREES
def test_a_stored_key_signs_as_the_same_key(degree: int) -> None:
    key = SigningKey.generate(degree)
    again = SigningKey.from_bytes(key.to_bytes())
    assert again.verifying_key == key.verifying_key
    assert key.verifying_key.verify(b"m", again.sign(b"m"))


def test_a_key_id_is_the_sha_256_of_the_encoded_key() -> None:
    key = SigningKey.generate().verifying_key
    assert key.key_id == hashlib.sha256(key.to_bytes()).digest()
    assert len(key.key_id) == KEY_ID_BYTES


def test_public_keys_are_compared_by_value() -> None:
    one, other = SigningKey.generate(512).verifying_key, SigningKey.generate(512).verifying_key
    assert one == VerifyingKey.from_bytes(one.to_bytes())
    assert hash(one) == hash(VerifyingKey.from_bytes(one.to_bytes()))
    assert one != other


def test_1024_is_the_default() -> None:
    assert SigningKey.generate().degree == 1024


def test_two_signatures_of_a_message_differ() -> None:
    key = SigningKey.generate(512)
    assert key.sign(b"m") != key.sign(b"m")


def test_the_text_of_a_private_key_shows_nothing_of_it() -> None:
    key = SigningKey.generate(512)
    assert key.verifying_key.key_id.hex() in repr(key)
    secret = key.to_bytes()
    assert not any(secret[i : i + 8].hex() in repr(key) for i in range(len(secret) - 8))


def test_an_unknown_degree_is_named() -> None:
    with pytest.raises(ValueError, match="^degree: 256 "):
        SigningKey.generate(256)


@settings(max_examples=50, deadline=None)
@given(data=st.binary(max_size=2400))
def test_bytes_that_are_no_key_are_refused_with_the_lengths_that_are(data: bytes) -> None:
    with pytest.raises(ValueError, match="2305"):
        SigningKey.from_bytes(data)
    with pytest.raises(ValueError, match="1793"):
        VerifyingKey.from_bytes(data)


@pytest.mark.parametrize("length", [0, 1, 666, 1279, 1281])
def test_a_signature_of_another_length_does_not_verify(length: int) -> None:
    assert not SigningKey.generate().verifying_key.verify(b"m", bytes(length))

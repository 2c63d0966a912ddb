"""Two implementations check each other: the engine (fn-dsa) and PQClean (PyPI pqcrypto 0.4.0)."""

from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pqcrypto.sign import falcon_padded_512, falcon_padded_1024

from stoq.falcon import SigningKey, VerifyingKey

PQCLEAN: dict[int, ModuleType] = {512: falcon_padded_512, 1024: falcon_padded_1024}

DEGREES = pytest.mark.parametrize("degree", [512, 1024])


def accepts(module: ModuleType, key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether PQClean verifies; depending on its version it answers or raises."""
    try:
        return module.verify(key, message, signature) is not False
    except ValueError:
        return False


@DEGREES
def test_pqclean_verifies_what_the_engine_signs(degree: int) -> None:
    key = SigningKey.generate(degree)
    public = key.verifying_key.to_bytes()
    for message in (b"", b"m", bytes(10_000)):
        signature = key.sign(message)
        assert accepts(PQCLEAN[degree], public, message, signature)
        assert not accepts(PQCLEAN[degree], public, message + b"x", signature)


@DEGREES
def test_the_engine_verifies_what_pqclean_signs(degree: int) -> None:
    public, secret = PQCLEAN[degree].generate_keypair()
    key = VerifyingKey.from_bytes(public)
    for message in (b"", b"m", bytes(10_000)):
        signature = PQCLEAN[degree].sign(secret, message)
        assert key.verify(message, signature)
        assert not key.verify(message + b"x", signature)


@DEGREES
def test_a_private_key_of_pqclean_is_one_of_the_engine(degree: int) -> None:
    public, secret = PQCLEAN[degree].generate_keypair()
    key = SigningKey.from_bytes(secret)
    assert key.verifying_key.to_bytes() == public
    assert key.to_bytes() == secret
    assert accepts(PQCLEAN[degree], public, b"m", key.sign(b"m"))


@DEGREES
def test_a_private_key_of_the_engine_is_one_of_pqclean(degree: int) -> None:
    key = SigningKey.generate(degree)
    signature = PQCLEAN[degree].sign(key.to_bytes(), b"m")
    assert key.verifying_key.verify(b"m", signature)


KEY = SigningKey.generate()


@settings(max_examples=30, deadline=None)
@given(message=st.binary(max_size=300))
def test_any_message_is_signed_and_verified_by_both(message: bytes) -> None:
    signature = KEY.sign(message)
    assert KEY.verifying_key.verify(message, signature)
    assert accepts(falcon_padded_1024, KEY.verifying_key.to_bytes(), message, signature)

"""FALCON signatures: generate, sign, verify, store.

Round-3 Falcon in the padded format (PQClean's `falconpadded1024` and `falconpadded512`), before
FIPS 206 and not FIPS; docs/decisions/0003-falcon.md says why. The code is the engine's.

    key = SigningKey.generate()
    signature = key.sign(b"message")
    assert key.verifying_key.verify(b"message", signature)
    assert VerifyingKey.from_bytes(key.verifying_key.to_bytes()) == key.verifying_key
"""

from typing import Final

from stoq._engine import FalconSigningKey as SigningKey
from stoq._engine import FalconVerifyingKey as VerifyingKey

__all__ = ["KEY_ID_BYTES", "SIGNATURE_BYTES", "SIGNING_KEY_BYTES", "VERIFYING_KEY_BYTES"]
__all__ += ["SigningKey", "VerifyingKey"]

KEY_ID_BYTES: Final = 32
"""Bytes of a key id: SHA-256 of the encoded public key."""

SIGNATURE_BYTES: Final = {512: 666, 1024: 1280}
"""Bytes of a signature, by degree (Falcon specification v1.2, section 3.11.6)."""

SIGNING_KEY_BYTES: Final = {512: 1281, 1024: 2305}
"""Bytes of an encoded private key, by degree."""

VERIFYING_KEY_BYTES: Final = {512: 897, 1024: 1793}
"""Bytes of an encoded public key, by degree."""

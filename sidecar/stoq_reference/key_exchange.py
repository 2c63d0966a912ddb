"""X25519MLKEM768 (NamedGroup 0x11ec): ML-KEM-768 and X25519 side by side (H1)."""

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

GROUP = 0x11EC
ENCAPSULATION_KEY = 1184
CIPHERTEXT = 1088
X25519_KEY = 32


class Offer:
    """The client's half, kept until the server answers."""

    def __init__(
        self, lattice: MLKEM768PrivateKey | None = None, curve: X25519PrivateKey | None = None
    ) -> None:
        """With new keys, but for tests that bring theirs."""
        self._lattice = lattice or MLKEM768PrivateKey.generate()
        self._curve = curve or X25519PrivateKey.generate()

    @property
    def share(self) -> bytes:
        """The client's key share: encapsulation key, then X25519 public key."""
        return self._lattice.public_key().public_bytes_raw() + self._public(self._curve)

    @staticmethod
    def _public(key: X25519PrivateKey) -> bytes:
        return key.public_key().public_bytes_raw()

    def secret(self, answer: bytes) -> bytes:
        """The shared secret from the server's share. Raises ValueError for a share that is none."""
        _check_length(answer, CIPHERTEXT)
        lattice = self._lattice.decapsulate(answer[:CIPHERTEXT])
        return lattice + self._curve.exchange(
            X25519PublicKey.from_public_bytes(answer[CIPHERTEXT:])
        )


def answer(share: bytes) -> tuple[bytes, bytes]:
    """The server's share for a client's, and the shared secret.

    Raises ValueError for a share that is none.
    """
    _check_length(share, ENCAPSULATION_KEY)
    encapsulation_key = MLKEM768PublicKey.from_public_bytes(share[:ENCAPSULATION_KEY])
    lattice, ciphertext = encapsulation_key.encapsulate()
    curve = X25519PrivateKey.generate()
    theirs = X25519PublicKey.from_public_bytes(share[ENCAPSULATION_KEY:])
    return ciphertext + curve.public_key().public_bytes_raw(), lattice + curve.exchange(theirs)


def _check_length(share: bytes, lattice: int) -> None:
    if len(share) != lattice + X25519_KEY:
        raise ValueError(f"a key share of {len(share)} bytes, not {lattice + X25519_KEY}")

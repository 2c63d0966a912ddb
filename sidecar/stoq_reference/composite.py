"""Ed25519 and FALCON together: keys and signatures (docs/wire-format.md, H3 to H5)."""

from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from types import ModuleType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pqcrypto.sign import falcon_padded_512, falcon_padded_1024

LABEL = b"STOQ composite CertificateVerify v1\0"
ED25519_SIGNATURE = 64


class Scheme(IntEnum):
    """SignatureScheme code points."""

    ED25519_FALCON_1024 = 0xFE51
    ED25519_FALCON_512 = 0xFE52


FALCON: dict[Scheme, ModuleType] = {
    Scheme.ED25519_FALCON_1024: falcon_padded_1024,
    Scheme.ED25519_FALCON_512: falcon_padded_512,
}
FALCON_SIGNATURE = {Scheme.ED25519_FALCON_1024: 1280, Scheme.ED25519_FALCON_512: 666}


DEGREE_LOG = {Scheme.ED25519_FALCON_1024: 10, Scheme.ED25519_FALCON_512: 9}
MODULUS = 12289


def falcon_key_fault(key: bytes, scheme: Scheme) -> str | None:
    """What is wrong with the encoding of a FALCON public key, if anything (H5)."""
    if len(key) != FALCON[scheme].PUBLIC_KEY_SIZE:
        return f"a FALCON key of {len(key)} bytes"
    if key[0] != DEGREE_LOG[scheme]:
        return f"a FALCON key that begins with {key[0]:#04x}"
    degree = 1 << DEGREE_LOG[scheme]
    packed = int.from_bytes(key[1:], "big")
    coefficients = (packed >> 14 * position & 0x3FFF for position in range(degree))
    if any(coefficient >= MODULUS for coefficient in coefficients):
        return "a FALCON key with a coefficient beyond the modulus"
    return None


def falcon_signature_fault(
    key: bytes, scheme: Scheme, content: bytes, signature: bytes
) -> str | None:
    """What is wrong with a FALCON signature, if anything."""
    if len(signature) != FALCON_SIGNATURE[scheme]:
        return f"a FALCON signature of {len(signature)} bytes"
    if not FALCON[scheme].verify(key, content, signature):
        return "the FALCON signature does not verify"
    return None


@dataclass(frozen=True)
class PublicKeys:
    """Both keys of a certificate."""

    ed25519: bytes
    falcon: bytes
    scheme: Scheme

    @property
    def authority_key_id(self) -> bytes:
        """How certificates name an issuer with these keys."""
        return sha256(self.ed25519 + self.falcon).digest()[:20]

    @property
    def falcon_key_id(self) -> bytes:
        """How the FALCON key is named in transport parameters."""
        return sha256(self.falcon).digest()

    def verify_parts(self, ed25519: tuple[bytes, bytes], falcon: tuple[bytes, bytes]) -> str | None:
        """Each is content and signature; what is wrong with them, if anything."""
        try:
            Ed25519PublicKey.from_public_bytes(self.ed25519).verify(ed25519[1], ed25519[0])
        except (InvalidSignature, ValueError):
            return "the Ed25519 signature does not verify"
        return self.falcon_fault(*falcon)

    def falcon_fault(self, content: bytes, signature: bytes) -> str | None:
        """What is wrong with a signature by the FALCON key alone, if anything."""
        return falcon_signature_fault(self.falcon, self.scheme, content, signature)

    def verify(self, content: bytes, signature: bytes) -> str | None:
        """Both parts over the same content; what is wrong, if anything."""
        cut = ED25519_SIGNATURE
        return self.verify_parts((content, signature[:cut]), (content, signature[cut:]))


@dataclass(frozen=True)
class PrivateKeys:
    """Both private keys: 32 bytes of Ed25519 seed, and FALCON's as PQClean encodes it."""

    ed25519: bytes
    falcon: bytes
    scheme: Scheme

    def sign(self, content: bytes) -> bytes:
        """Both signatures, Ed25519 first."""
        classical = Ed25519PrivateKey.from_private_bytes(self.ed25519).sign(content)
        return classical + self.sign_falcon(content)

    def sign_falcon(self, content: bytes) -> bytes:
        """By the FALCON key alone."""
        signature: bytes = FALCON[self.scheme].sign(self.falcon, content)
        return signature

    @classmethod
    def joined(cls, encoded: bytes) -> "PrivateKeys":
        """From the seed and the FALCON key one after the other; the length tells the degree."""
        for scheme, module in FALCON.items():
            if len(encoded) == 32 + module.SECRET_KEY_SIZE:
                return cls(encoded[:32], encoded[32:], scheme)
        raise ValueError(f"{len(encoded)} bytes are no pair of private keys")


def certificate_verify_content(content: bytes) -> bytes:
    """What both parts of CertificateVerify sign, of RFC 8446's content (H4)."""
    return LABEL + content

"""Endpoints of the reference implementation, with certificates of a test's CA."""

import time
from dataclasses import replace

from stoq.engine import CertificateAuthority, HybridKey
from stoq_reference.authorise import Policy
from stoq_reference.endpoint import Endpoint, Identity
from support import engines
from support.engines import HOUR, TRUST_DOMAIN


def identity(
    ca: CertificateAuthority,
    spiffe_id: str,
    *,
    profile: str = "hybrid-1024",
    begins: int = -60,
    ends: int = HOUR,
) -> Identity:
    """A certificate that is valid from and to so many seconds from now."""
    now = int(time.time())
    key = HybridKey.generate(profile)
    return Identity.of(ca.issue(key.csr(), spiffe_id, now + begins, now + ends), key.to_bytes())


def issued(ca: CertificateAuthority, spiffe_id: str, profile: str = "hybrid-1024") -> Identity:
    """A certificate of an hour, the same for every test (`engines.issued`)."""
    key, leaf = engines.issued(ca, spiffe_id, profile)
    return Identity.of(leaf, key.to_bytes())


def policy(ca: CertificateAuthority, expected: str | None = None) -> Policy:
    """Trust in the CA's root."""
    return Policy({TRUST_DOMAIN: [ca.root]}, expected)


def anonymous(ca: CertificateAuthority) -> Policy:
    """The same, and clients may come without a certificate."""
    return replace(policy(ca), anonymous=True)


def endpoint(
    ca: CertificateAuthority, spiffe_id: str | None, expected: str | None = None
) -> Endpoint:
    """An endpoint with a certificate, or none, that trusts the CA."""
    own = None if spiffe_id is None else issued(ca, spiffe_id)
    return Endpoint(policy(ca, expected), own)


class Announcing(Endpoint):
    """Announces any bytes among its transport parameters."""

    parameters_block: bytes = b""

    def announced(self) -> bytes:
        return self.parameters_block


def announcing(like: Endpoint, block: bytes) -> Announcing:
    """The same endpoint with other transport parameters."""
    made = Announcing(like.policy, like.identity, parameters=like.parameters)
    made.parameters_block = block
    return made


def signing_with(
    like: Endpoint, *, ed25519: bytes | None = None, falcon: bytes | None = None
) -> Endpoint:
    """The same endpoint, with private keys that are not its certificate's."""
    assert like.identity is not None
    own = like.identity.keys
    keys = replace(own, ed25519=ed25519 or own.ed25519, falcon=falcon or own.falcon)
    return replace(like, identity=replace(like.identity, keys=keys))

"""The call by which a sidecar gets its SVID, and the proof that binds its token. Pure."""

import hashlib
import hmac
from typing import Final

import msgspec

from stoq.api.method import Unary

BINDING_LABEL: Final = "EXPORTER-stoq-bootstrap"
"""Exporter label (RFC 8446, section 7.5), with an empty context and 32 bytes."""

MAX_CSR: Final = 8192
"""Bytes of a CSR; one with Ed25519 and FALCON-1024 has about 3.3 KB."""

MAX_TOKEN: Final = 8192
"""Bytes of a token; a projected service-account token has about 1 KB."""


class SignRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Asks for a certificate for the key in `csr`."""

    csr: bytes
    """DER, signed with both keys."""
    token: str
    """The bearer token that attests the pod."""
    binding: bytes
    """`binding(token, exporter)`: proves that the token was meant for this connection."""
    workload: str = ""
    """`<namespace>/<name>` that the caller believes to be; checked when given."""
    spiffe_id: str = ""
    """The identity that the caller wants; checked when given."""


class SignResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The caller's SVID."""

    certificate: bytes
    """DER of the leaf; roots are in `roots`, there are no intermediates."""
    roots: tuple[bytes, ...]
    """The trust bundle, DER."""
    spiffe_id: str
    """The identity in the certificate."""
    expires: int
    """End of its life, Unix seconds."""


SIGN: Final = Unary("stoq.ca.v1/Sign", SignRequest, SignResponse)
"""The only method open to a caller without a certificate. Errors: `unauthorised` (token, binding
or claimed identity), `bad_request` (CSR), `unavailable` (rate limit, CA not ready)."""


def binding(token: str, exporter: bytes) -> bytes:
    """HMAC-SHA-256 keyed by the token over the connection's exporter for `BINDING_LABEL`."""
    return hmac.new(token.encode(), exporter, hashlib.sha256).digest()


def token_hash(token: str) -> str:
    """What may be stored of a token: its SHA-256 in lower-case hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()

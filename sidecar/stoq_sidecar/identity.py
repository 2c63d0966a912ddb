"""When an SVID is renewed, when it is worth nothing any more, and what a workload knows about
itself over a restart. Pure.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

_REFUSED: Final = re.compile(r"handshake failed: error (44|45)\b|closed the connection: revoked\b")
"""TLS alerts certificate_revoked and certificate_expired (RFC 8446, section 6.2), and the
connection code `revoked` (wire format, section 6), as the engine words them."""


def refused_by_peer(why: str) -> bool:
    """Whether a failed connection says that our own certificate is revoked or expired."""
    return _REFUSED.search(why) is not None


class Standing(StrEnum):
    """What an SVID is worth at a moment."""

    VALID = "valid"
    DUE = "due"
    """Still valid, and past its renewal time."""
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Renewal:
    """Part of a life after which the SVID is renewed, and how much earlier it may be."""

    at: float
    jitter: float

    def moment(self, obtained: float, expires: float, draw: float) -> float:
        """When to renew an SVID obtained and expiring at these Unix seconds; `draw` is uniform in
        [0, 1).

        Jitter only ever moves it forward: `at` is the promise that enough life is left to repair
        a certificate authority. One that has no life left is due at once.
        """
        life = max(0.0, expires - obtained)
        return obtained + life * max(0.0, self.at - self.jitter * draw)

    def standing(self, obtained: float, expires: float, now: float) -> Standing:
        """What the SVID is worth at `now`, jitter aside."""
        if now >= expires:
            return Standing.EXPIRED
        due = now >= self.moment(obtained, expires, 0.0)
        return Standing.DUE if due else Standing.VALID


def reset_secret(token: str, workload: str) -> bytes:
    """32 bytes that the next sidecar of `workload` (`<namespace>/<name>`) derives too, given
    the same token, and nobody without the token can.

    With them a successor answers packets of its predecessor's connections by a stateless reset
    that the peer believes (RFC 9000, section 10.3); otherwise the peer finds out by silence.
    """
    return hmac.new(
        token.encode(), f"stoq stateless reset {workload}".encode(), hashlib.sha256
    ).digest()

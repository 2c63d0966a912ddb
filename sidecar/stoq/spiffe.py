"""SPIFFE ids: `spiffe://<trust-domain>/ns/<namespace>/sa/<service-account>`. Pure.

The same rules as the engine's (SPIFFE-ID, sections 2.1 to 2.3): exact bytes, nothing folded,
decoded or trimmed.
"""

import re
from dataclasses import dataclass
from typing import Final

MAX_LENGTH: Final = 2048
"""Bytes of a SPIFFE id (SPIFFE-ID, section 2.3)."""

_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}", re.ASCII)
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)


class SpiffeError(ValueError):
    """The text is no SPIFFE id of this mesh; the message names the part that breaks a rule."""


@dataclass(frozen=True, slots=True, order=True)
class SpiffeId:
    """A workload's identity, taken apart."""

    trust_domain: str
    namespace: str
    service_account: str

    @classmethod
    def parse(cls, text: str) -> "SpiffeId":
        """The id in `text`. Raises `SpiffeError`."""
        if not text.startswith("spiffe://"):
            raise SpiffeError(f"{text[:80]!r} is no SPIFFE id: it must begin with spiffe://")
        if len(text) > MAX_LENGTH:
            raise SpiffeError(
                f"the SPIFFE id has {len(text)} bytes: at most {MAX_LENGTH} are allowed"
            )
        domain, _, path = text.removeprefix("spiffe://").partition("/")
        check_trust_domain(domain)
        match path.split("/"):
            case ["ns", namespace, "sa", account] if _segment(namespace) and _segment(account):
                return cls(domain, namespace, account)
        raise SpiffeError(
            f"{text!r} names no workload: the path must be /ns/<namespace>/sa/<service-account>"
        )

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"


def check_trust_domain(text: str) -> str:
    """`text` itself when it is a trust domain. Raises `SpiffeError`."""
    if _TRUST_DOMAIN.fullmatch(text) is None:
        raise SpiffeError(
            f"{text[:80]!r} is no trust domain: it must be 1 to 255 of the characters "
            "a-z 0-9 . - _, for example prod.example.org"
        )
    return text


def _segment(text: str) -> bool:
    return _SEGMENT.fullmatch(text) is not None and text not in {".", ".."}

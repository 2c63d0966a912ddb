"""Who began a route (docs/wire-format.md, G10 to G12)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from hashlib import sha256

from stoq_reference import frames
from stoq_reference.authorise import authorise
from stoq_reference.composite import PublicKeys
from stoq_reference.endpoint import Endpoint, Identity
from stoq_reference.errors import Malformed, Refused
from stoq_reference.frames import Frame, Open, Origin, Signature

ROUTE = 2
"""The subject of signatures of routes."""

LIFE = 300
"""Seconds that ours are valid for."""

MAX_AHEAD = 600
"""Seconds that one may be valid for at most."""


class NotProven(Exception):
    """Who began the route is not proven: `bad_signature`."""


def digest(route: Open) -> bytes:
    """SHA-256 of what the signature of a route is over (section 16)."""
    return sha256(frames.encode(replace(route, position=0))).digest()


def proof(identity: Identity, route: Open, now: float) -> tuple[Origin, Signature]:
    """What goes before a route of ours."""
    key_id = identity.certificate.keys.falcon_key_id
    unsigned = Signature(ROUTE, key_id, int(now) + LIFE, digest(route), b"")
    signature = identity.keys.sign_falcon(unsigned.signed())
    return Origin(identity.certificate.der), replace(unsigned, signature=signature)


@dataclass(frozen=True)
class Begun:
    """A route, and what came before it."""

    route: Open
    origin: Origin | None = None
    signature: Signature | None = None


async def begun(incoming: AsyncIterator[Frame]) -> Begun:
    """How a tunnel begins. Raises Malformed where that closes the connection with `protocol`."""
    origin: Origin | None = None
    signature: Signature | None = None
    async for frame in incoming:
        match frame:
            case Open():
                return Begun(frame, origin, signature)
            case Origin() if origin is None:
                origin = frame
            case Signature() if origin is not None and signature is None:
                signature = frame
            case _:
                raise Malformed(f"{frames.type_of(frame).name} where a route is due")
    raise Malformed("the stream ends before a route")


class Origins:
    """The signed routes that a gateway has seen. It serves tests, so it never forgets."""

    def __init__(self, endpoint: Endpoint) -> None:
        """Whom the `endpoint` would take for a peer is taken for an origin."""
        self._endpoint = endpoint
        self._used: set[bytes] = set()

    def proven(self, begun: Begun, peer: str | None) -> str | None:
        """The SPIFFE id of who began a route that `peer` asks for; None: it is not signed.

        Raises NotProven (G11).
        """
        origin, signature, now = begun.origin, begun.signature, self._endpoint.clock()
        if origin is None:
            return None
        if signature is None:
            raise NotProven("an origin without a signature")
        try:
            certificate = authorise(origin.leaf, replace(self._endpoint.policy, expected=None), now)
        except Refused as refused:
            raise NotProven(str(refused)) from None
        assert certificate is not None
        if fault := signature_fault(begun.route, signature, certificate.keys, now):
            raise NotProven(fault)
        if begun.route.position == 0 and certificate.spiffe_id != peer:
            raise NotProven("the route begins with the peer, and is signed by somebody else")
        if begun.route.route in self._used:
            raise NotProven("the route was begun before")
        self._used.add(begun.route.route)
        return certificate.spiffe_id


def signature_fault(route: Open, signature: Signature, keys: PublicKeys, now: float) -> str | None:
    """What is wrong with the signature of a route, if anything."""
    if signature.subject != ROUTE or signature.digest != digest(route):
        return "the signature is not of this route"
    if not now < signature.until <= now + MAX_AHEAD:
        return f"the signature ends at {signature.until}"
    if signature.key_id != keys.falcon_key_id:
        return "the signature is by another key"
    return keys.falcon_fault(signature.signed(), signature.signature)

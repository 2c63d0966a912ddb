"""Keys, and what they signed (docs/wire-format.md, section 16).

Without the bounds of F6: the reference keeps what it receives, and verifies all of it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256

from stoq_reference import frames
from stoq_reference.authorise import Policy, authorise
from stoq_reference.certificate import Certificate
from stoq_reference.codes import StreamCode
from stoq_reference.composite import DEGREE_LOG, Scheme, falcon_key_fault, falcon_signature_fault
from stoq_reference.endpoint import Endpoint, Identity
from stoq_reference.errors import Refused as NotAuthorised
from stoq_reference.frames import CERTIFICATE, Frame, Key, Manifest, Signature
from stoq_reference.peer import Peer
from stoq_reference.shards import Refused

MAX_AHEAD = 7 * 24 * 3600
"""Seconds that a signature may end ahead of now (F4)."""

MAX_KEYS = 4
"""Keys of an identity (F3)."""

MANIFEST, ROUTE, SNAPSHOT, KEY = 1, 2, 3, 4
"""Subjects."""

ANNOUNCE, ROTATE, REVOKE = 0, 1, 2
"""Forms of a FALCON_KEY that are about keys of the peer."""

_SCHEMES = {log: scheme for scheme, log in DEGREE_LOG.items()}


def refused(why: str) -> Refused:
    """What resets the stream."""
    return Refused(why, code=StreamCode.BAD_SIGNATURE)


def digest(frame: Frame) -> bytes:
    """What is signed of a frame, with its integers in their shortest form."""
    return sha256(frames.encode(frame)).digest()


def sign(identity: Identity, subject: int, covered: bytes, until: int) -> Signature:
    """Our signature over a digest."""
    keys = identity.certificate.keys
    unsigned = Signature(subject, keys.falcon_key_id, until, covered, b"")
    return replace(unsigned, signature=identity.keys.sign_falcon(unsigned.signed()))


def prove(identity: Identity, manifest: Manifest, now: float) -> list[Frame]:
    """What goes before a manifest that we sign (F7)."""
    certificate = identity.certificate
    until = min(certificate.not_after + 1, int(now) + MAX_AHEAD)
    return [
        Key(CERTIFICATE, key=certificate.der),
        sign(identity, MANIFEST, digest(manifest), until),
    ]


@dataclass
class Said:
    """What a stream has said of signatures so far."""

    peer: Certificate
    announced: bytes | None
    """The key id of the peer's transport parameters."""
    signer: Certificate | None = None
    """Who signs what follows; None: the peer."""
    signature: Signature | None = None
    """The last one, until its manifest came."""
    shown: list[Frame] = field(default_factory=list)
    """Certificate and signature, as they came, for who asks us for the object."""

    def signed(self, manifest: Manifest) -> str | None:
        """Who signed a manifest that comes now; None: nobody. Raises Refused for another's."""
        signature, self.signature = self.signature, None
        if signature is None:
            return None
        if (signature.subject, signature.digest) != (MANIFEST, digest(manifest)):
            raise refused("the signature is over something else")
        return (self.signer or self.peer).spiffe_id


def said_by(peer: Peer) -> Said:
    """Nothing yet, on a stream of this peer."""
    certificate, parameters = peer.certificate, peer.parameters
    assert certificate is not None, "port 14008 takes nobody without one"
    return Said(certificate, parameters.falcon_key_id if parameters else None)


@dataclass(frozen=True)
class _Trusted:
    key: bytes
    until: int
    """Unix time; it is no longer trusted then."""


class KeyRing:
    """The keys that an endpoint trusts, and what they signed."""

    def __init__(self, policy: Policy, clock: Callable[[], float]) -> None:
        self._policy = replace(policy, expected=None, anonymous=False)
        self._clock = clock
        self._trusted: dict[str, dict[bytes, _Trusted]] = {}
        self._revoked: set[tuple[str, bytes]] = set()
        self._signed: dict[tuple[str, int, bytes], tuple[bytes, int]] = {}
        """By identity, subject and digest: the key, and until when."""

    @classmethod
    def of(cls, endpoint: Endpoint) -> "KeyRing":
        """With whom the endpoint trusts."""
        return cls(endpoint.policy, endpoint.clock)

    def take(self, said: Said, frame: Key | Signature) -> None:
        """Takes what a stream brings. Raises Refused."""
        match frame:
            case Signature():
                self._signature(said, frame)
            case Key(form=form) if form == CERTIFICATE:
                said.signer, said.signature = self._certified(frame.key), None
                said.shown = [frame]
            case _:
                self._key(said, frame)

    def _certified(self, leaf: bytes) -> Certificate:
        try:
            certificate = authorise(leaf, self._policy, self._clock())
        except NotAuthorised as error:
            raise refused(f"the signer's certificate: {error}") from None
        assert certificate is not None, "none may come without one"
        return certificate

    def _signature(self, said: Said, signature: Signature) -> None:
        signer = self._certified((said.signer or said.peer).der)
        now, name = self._clock(), signer.spiffe_id
        if not now < signature.until <= now + MAX_AHEAD:
            raise refused(f"the signature ends at {signature.until}")
        if signature.key_id == signer.keys.falcon_key_id:
            self._pin(name, signer.keys.falcon, signer.not_after + 1)
        known = self._get(name, signature.key_id)
        if known.until <= now:
            raise refused(f"the certificate of the key ended at {known.until}")
        made = signature.signature
        if fault := falcon_signature_fault(known.key, _scheme(known.key), signature.signed(), made):
            raise refused(fault)
        until = min(signature.until, known.until)
        self._signed[name, signature.subject, signature.digest] = signature.key_id, until
        said.signature = signature
        said.shown = [*said.shown[:1], signature]

    def _key(self, said: Said, frame: Key) -> None:
        name, peer = said.peer.spiffe_id, said.peer
        if frame.form != REVOKE and (fault := falcon_key_fault(frame.key, _scheme(frame.key))):
            raise refused(fault)
        if frame.form == ANNOUNCE:
            id_ = sha256(frame.key).digest()
            if id_ != said.announced and id_ not in self._trusted.get(name, {}):
                raise refused("a key that the handshake did not announce")
            self._pin(name, frame.key, peer.not_after + 1)
            return
        by, until = self._signed.get((name, KEY, digest(frame)), (b"", 0))
        if until <= self._clock():
            raise refused("a key is changed without a signature over just that")
        old = self._get(name, frame.old)
        if frame.form == REVOKE:
            del self._trusted[name][frame.old]
            self._revoked.add((name, frame.old))
            self._signed = {what: how for what, how in self._signed.items() if how[0] != frame.old}
        elif by == frame.old:
            self._pin(name, frame.key, old.until)
        else:
            raise refused("a key is rotated by another than the old one")

    def _pin(self, name: str, key: bytes, until: int) -> None:
        id_ = sha256(key).digest()
        if (name, id_) in self._revoked:
            raise refused("the key was revoked")
        keys = self._trusted.setdefault(name, {})
        before = keys[id_].until if id_ in keys else 0
        if id_ not in keys and len(keys) == MAX_KEYS:
            del keys[next(iter(keys))]
        keys[id_] = _Trusted(key, max(until, before))

    def _get(self, name: str, id_: bytes) -> _Trusted:
        if (name, id_) in self._revoked:
            raise refused("the key was revoked")
        try:
            return self._trusted[name][id_]
        except KeyError:
            raise refused("the key is not trusted for this identity") from None


def _scheme(key: bytes) -> Scheme:
    """The degree that a key says by its first byte, which its frame was held against."""
    return _SCHEMES[key[0]]

"""A new certificate on a live connection (docs/wire-format.md, section 8)."""

from dataclasses import dataclass, field

from stoq_reference import control
from stoq_reference.authorise import Policy, authorise
from stoq_reference.certificate import Certificate
from stoq_reference.codes import ConnectionCode
from stoq_reference.composite import Scheme
from stoq_reference.endpoint import Identity
from stoq_reference.errors import Malformed, Reason, Refused

BURST = 8
"""Messages verified at once; one more per second (R7)."""


class Overloaded(Exception):
    """The peer sends more messages than R7 lets it."""


def message(identity: Identity, *, dialled: bool, counter: int, exporter: bytes) -> bytes:
    """The message that proves `identity` on the connection that `exporter` is of."""
    leaf = identity.certificate.der
    content = control.signed(dialled=dialled, counter=counter, exporter=exporter, leaf=leaf)
    signature = identity.keys.sign(content)
    return control.Reauthentication(counter, identity.keys.scheme, leaf, signature).encode()


def close_code(error: Exception) -> ConnectionCode:
    """How to close a connection on which `Proofs.take` raised `error` (R6, R7)."""
    match error:
        case Refused():
            return error.reason.code
        case Overloaded():
            return ConnectionCode.OVERLOADED
    return ConnectionCode.PROTOCOL


@dataclass
class Proofs:
    """What a peer has proven on one connection."""

    peer: Certificate | None
    """The certificate that it is held by now."""
    peer_dialled: bool
    exporter: bytes
    policy: Policy
    schemes: tuple[Scheme, ...]
    counter: int = 0
    _allowance: float = field(default=BURST)
    _refilled: float = 0.0

    def take(self, encoded: bytes, now: float) -> Certificate:
        """The new certificate of the peer. Raises Malformed, Refused, Overloaded."""
        proof = control.decode(encoded)
        self._spend(now)
        if proof.counter <= self.counter:
            raise Malformed(
                f"control message with counter {proof.counter}, not over {self.counter}"
            )
        if self.peer is None:
            raise Refused(Reason.NO_CERTIFICATE, "there is no certificate to be replaced (R1)")
        leaf = authorise(proof.leaf, self.policy, now)
        assert leaf is not None
        self._check_succession(self.peer, leaf)
        self._check_signature(proof, leaf)
        self.counter, self.peer = proof.counter, leaf
        return leaf

    def _spend(self, now: float) -> None:
        self._allowance = min(BURST, self._allowance + max(0.0, now - self._refilled))
        self._refilled = now
        if self._allowance < 1:
            raise Overloaded("too many control messages")
        self._allowance -= 1

    def _check_succession(self, old: Certificate, new: Certificate) -> None:
        if new.spiffe_id != old.spiffe_id:
            raise Refused(Reason.OTHER_ID, f"{new.spiffe_id} in the place of {old.spiffe_id}")
        if new.not_before < old.not_before:
            raise Refused(Reason.OLDER, "the certificate is older than the one before")

    def _check_signature(self, proof: control.Reauthentication, leaf: Certificate) -> None:
        if proof.scheme not in self.schemes or proof.scheme != leaf.keys.scheme:
            raise Refused(Reason.BAD_SIGNATURE, f"scheme {proof.scheme:#x}")
        content = control.signed(
            dialled=self.peer_dialled,
            counter=proof.counter,
            exporter=self.exporter,
            leaf=proof.leaf,
        )
        if fault := leaf.keys.verify(content, proof.signature):
            raise Refused(Reason.BAD_SIGNATURE, fault)

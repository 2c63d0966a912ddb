"""The certificate authority: roots in force, and SVIDs signed with one of them.

The cryptography is the engine's; when roots change is `rotation`'s; where they are kept is a
`RootStore`'s. Here is what is in force now.
"""

import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from stoq import pem
from stoq.engine import CertificateAuthority, parse_certificate
from stoq.registry import TrustEntry
from stoq_operator import rootcheck, rotation
from stoq_operator.kept import KeptRoot, Revoked, StateError
from stoq_operator.problem import Problem
from stoq_operator.rotation import Phase, Root

log: Final = logging.getLogger(__name__)

SKEW: Final = 300
"""Seconds that a certificate is valid before it was made: clocks of pods differ."""


@dataclass(frozen=True, slots=True)
class Svid:
    """A certificate that was just made."""

    certificate: bytes
    """DER."""
    serial: str
    begins: int
    """Unix seconds."""
    expires: int
    """Unix seconds."""


class Ca:
    """The authority of one trust domain."""

    def __init__(self, trust_domain: str, profile: str) -> None:
        self._trust_domain = trust_domain
        self._profile = profile
        self._kept: tuple[KeptRoot, ...] = ()
        self._authorities: dict[str, CertificateAuthority] = {}

    def use(self, kept: tuple[KeptRoot, ...], now: int) -> bool:
        """Puts exactly these roots in force at `now` (Unix seconds); returns whether they are
        others than before.

        Raises `RootsRefused`, and the ones before stay in force.
        """
        if kept == self._kept:
            return False
        authorities = {item.root.name: self._authority(item) for item in kept}
        rootcheck.check([item.root for item in kept], authorities, now)
        self._authorities = authorities
        self._kept = kept
        for root in self.roots:
            until = datetime.fromtimestamp(root.expires, UTC).date()
            log.info("root %s is %s, valid until %s", root.name, root.phase, until)
        return True

    def advanced(self, now: int, svid_ttl: int, *, wanted: bool) -> tuple[KeptRoot, ...]:
        """The roots as `rotation` would have them at `now`; not in force before `use`."""
        advice = rotation.advance(self.roots, now, svid_ttl, wanted=wanted)
        by_name = {item.root.name: item for item in self._kept}
        kept = tuple(
            KeptRoot(
                root=root,
                key=by_name[root.name].key,
                certificate=by_name[root.name].certificate,
            )
            for root in advice.roots
        )
        return kept if advice.make is None else (*kept, self._make(advice.make, now))

    def sign(self, csr: bytes, spiffe_id: str, ttl: int, now: int, *, since: int = 0) -> Svid:
        """An SVID for the keys in `csr` (DER), valid for `ttl` seconds.

        The caller has attested that the requester is `spiffe_id`, whose certificates from before
        `since` (Unix seconds) are revoked. Raises `ValueError` for a CSR that proves nothing,
        `StateError` while there is no root that can sign.
        """
        authority = self._signing()
        if authority is None:
            raise StateError("there is no root to sign with yet; try again")
        root = authority.certificate
        if root.not_after <= now:
            raise StateError("the root has ended and has no successor yet; try again")
        # Within the root's own life: a leaf that begins before or ends after it is never valid.
        expires = min(now + ttl, root.not_after)
        # One dated back to before its identity's revocation would be revoked as well.
        begins = max(now - SKEW, root.not_before, since)
        certificate = authority.issue(csr, spiffe_id, begins, expires)
        return Svid(certificate, parse_certificate(certificate).serial, begins, expires)

    def trust(self, revoked: Revoked) -> TrustEntry:
        """Whom the mesh trusts: the signing root first."""
        order = sorted(self.roots, key=lambda root: root.phase is not Phase.SIGNING)
        return TrustEntry(
            roots=tuple(self._authorities[root.name].root for root in order),
            revoked=revoked.serials,
            revoked_identities=revoked.identities,
        )

    @property
    def roots(self) -> tuple[Root, ...]:
        """The roots and their phases."""
        return tuple(item.root for item in self._kept)

    def signs(self, now: int) -> bool:
        """Whether there is a root to sign with at `now` (Unix seconds)."""
        authority = self._signing()
        return authority is not None and authority.certificate.not_after > now

    def notices(self, now: int) -> tuple[Problem, ...]:
        """What there is to say of the roots in force at `now` (Unix seconds)."""
        return rootcheck.notices(self.roots, self._authorities, self._profile, now)

    def _signing(self) -> CertificateAuthority | None:
        signing = (root.name for root in self.roots if root.phase is Phase.SIGNING)
        return next((self._authorities[name] for name in signing), None)

    def _make(self, phase: Phase, now: int) -> KeptRoot:
        name = secrets.token_hex(8)
        expires = now - SKEW + rotation.ROOT_LIFE
        authority = CertificateAuthority.create(
            self._trust_domain, now - SKEW, expires, self._profile
        )
        log.info("made root %s for %s, %s", name, self._trust_domain, self._profile)
        return KeptRoot(
            root=Root(name=name, phase=phase, since=now, expires=expires),
            key=authority.key.to_bytes(),
            certificate=authority.root,
        )

    def _authority(self, kept: KeptRoot) -> CertificateAuthority:
        for known in self._kept:
            if (known.key, known.certificate) == (kept.key, kept.certificate):
                return self._authorities[known.root.name]
        return rootcheck.authority(kept, self._trust_domain)


def bundle(trust_domain: str, trust: TrustEntry) -> bytes:
    """The file that lets a sidecar trust the control process at its first dial."""
    head = f"# Roots of the trust domain {trust_domain}, written by the control process\n".encode()
    return head + b"".join(map(pem.encode, trust.roots))

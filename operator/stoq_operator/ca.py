"""The certificate authority: roots kept in the state directory, SVIDs signed with one of them.

The cryptography is the engine's; here is what is kept, when it changes and who is told. Roots move
through `rotation`; every SVID is in the ledger before it is handed out.
"""

import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from stoq import pem
from stoq.engine import Certificate, CertificateAuthority, HybridKey, parse_certificate
from stoq.records.revocation import Revocation
from stoq.registry import TrustEntry
from stoq_operator import rotation
from stoq_operator.ledger import Issued, Ledger
from stoq_operator.rotation import Phase, Root
from stoq_operator.state import StateDirectory, StateError

log: Final = logging.getLogger(__name__)

SKEW: Final = 300
"""Seconds that a certificate is valid before it was made: clocks of pods differ."""

ROTATE_FILE: Final = "ca/rotate"
"""Its existence asks for a new root."""

COMPACT_FACTOR: Final = 4
"""The ledger's file is rewritten when it has this many lines per living certificate."""


@dataclass(frozen=True, slots=True)
class Svid:
    """A certificate that was just made."""

    certificate: bytes
    """DER."""
    serial: str
    expires: int
    """Unix seconds."""


class Ca:
    """The authority of one trust domain."""

    def __init__(self, state: StateDirectory, trust_domain: str, profile: str) -> None:
        """Loads the roots and the ledger. Raises `StateError`; makes nothing yet."""
        self._state = state
        self._trust_domain = trust_domain
        self._profile = profile
        self._roots = _load_roots(state)
        self._authorities = {root.name: self._load(root) for root in self._roots}
        self._lines = 0
        self._ledger = Ledger(self._load_ledger())

    def advance(self, now: int, svid_ttl: int) -> bool:
        """Makes, promotes and drops roots as `rotation` says; returns whether any of them changed.

        Raises `StateError`.
        """
        wanted = self._state.read(ROTATE_FILE) is not None
        advice = rotation.advance(self._roots, now, svid_ttl, wanted=wanted)
        roots = advice.roots
        if advice.make is not None:
            roots = (*roots, self._make(advice.make, now))
        if wanted:
            self._state.remove(ROTATE_FILE)
        if roots == self._roots:
            return False
        # The list is written last when a root is added and first when one goes: what it names
        # always exists.
        self._state.write("ca/roots.json", msgspec.json.encode(roots))
        self._roots = roots
        for name in advice.drop:
            self._authorities.pop(name, None)
            self._state.remove(f"ca/{name}.key")
            self._state.remove(f"ca/{name}.crt")
        for root in roots:
            until = datetime.fromtimestamp(root.expires, UTC).date()
            log.info("root %s is %s, valid until %s", root.name, root.phase, until)
        return True

    def sign(
        self, csr: bytes, uid: str, spiffe_id: str, ttl: int, now: int, *, chain: str = ""
    ) -> Svid:
        """An SVID for the keys in `csr` (DER), valid for `ttl` seconds.

        The caller has attested that the requester is `spiffe_id`. It continues `chain`, or without
        one begins its own, which revokes what the workload had. Raises `ValueError` for a CSR
        that proves nothing, `StateError` when the ledger can not be written.
        """
        authority = self._authorities[self._signing().name]
        root = authority.certificate
        # Within the root's own life: a leaf that begins before or ends after it is never valid.
        expires = min(now + ttl, root.not_after)
        begins = max(now - SKEW, root.not_before)
        certificate = authority.issue(csr, spiffe_id, begins, expires)
        serial = parse_certificate(certificate).serial
        self._remember(
            Issued(
                serial=serial,
                uid=uid,
                spiffe_id=spiffe_id,
                issued=now,
                expires=expires,
                chain=chain,
            )
        )
        return Svid(certificate, serial, expires)

    def trust(self, revocations: Iterable[Revocation], now: float) -> TrustEntry:
        """Whom the mesh trusts: the signing root first."""
        order = sorted(self._roots, key=lambda root: root.phase is not Phase.SIGNING)
        return TrustEntry(
            roots=tuple(self._authorities[root.name].root for root in order),
            revoked=self._ledger.revoked(revocations, now),
        )

    def tidy(self, now: float) -> None:
        """Forgets expired certificates, and shortens the ledger's file where that pays."""
        self._ledger.prune(now)
        entries = self._ledger.entries
        if self._lines > COMPACT_FACTOR * max(len(entries), 16):
            self._state.write("issued.jsonl", b"".join(map(_line, entries)))
            self._lines = len(entries)

    def find(self, serial: str) -> Issued | None:
        """What is known of a certificate that has not expired."""
        return self._ledger.find(serial)

    @property
    def roots(self) -> tuple[Root, ...]:
        """The roots and their phases."""
        return self._roots

    @property
    def issued(self) -> tuple[Issued, ...]:
        """Certificates that have not expired, oldest first."""
        return self._ledger.entries

    def _signing(self) -> Root:
        return next(root for root in self._roots if root.phase is Phase.SIGNING)

    def _make(self, phase: Phase, now: int) -> Root:
        name = secrets.token_hex(8)
        expires = now - SKEW + rotation.ROOT_LIFE
        authority = CertificateAuthority.create(
            self._trust_domain, now - SKEW, expires, self._profile
        )
        self._state.write(f"ca/{name}.key", authority.key.to_bytes())
        self._state.write(f"ca/{name}.crt", pem.encode(authority.root))
        self._authorities[name] = authority
        log.info("made root %s for %s, %s", name, self._trust_domain, self._profile)
        return Root(name=name, phase=phase, since=now, expires=expires)

    def _load(self, root: Root) -> CertificateAuthority:
        key = self._state.read(f"ca/{root.name}.key")
        certificate = self._state.read(f"ca/{root.name}.crt")
        if key is None or certificate is None:
            raise StateError(
                f"{self._state.path}/ca/{root.name}.key or .crt is missing, and roots.json names "
                "it; restore the state directory from a backup, or begin a new one and have every "
                "workload join again"
            )
        try:
            authority = CertificateAuthority.from_parts(
                HybridKey.from_bytes(key), pem.certificates(certificate.decode("ascii"))[0]
            )
        except ValueError as error:
            raise StateError(
                f"{self._state.path}/ca/{root.name}: {error}; restore it from a backup"
            ) from error
        self._check(authority.certificate)
        return authority

    def _check(self, root: Certificate) -> None:
        if root.spiffe_id != f"spiffe://{self._trust_domain}":
            raise StateError(
                f"the roots in {self._state.path} are of {root.spiffe_id}, the mesh is "
                f"spiffe://{self._trust_domain}; a new trust domain needs a new --state"
            )

    def _load_ledger(self) -> list[Issued]:
        lines = (self._state.read("issued.jsonl") or b"").splitlines()
        self._lines = len(lines)
        entries: list[Issued] = []
        for number, line in enumerate(lines, 1):
            try:
                entries.append(msgspec.json.decode(line, type=Issued))
            except msgspec.DecodeError as error:
                # Only a crash in the middle of an append leaves such a line.
                log.warning("issued.jsonl line %d is unreadable and skipped: %s", number, error)
        return entries

    def _remember(self, entry: Issued) -> None:
        self._state.append("issued.jsonl", _line(entry))
        self._lines += 1
        self._ledger.add(entry)


def _load_roots(state: StateDirectory) -> tuple[Root, ...]:
    found = state.read("ca/roots.json")
    if found is None:
        return ()
    try:
        return msgspec.json.decode(found, type=tuple[Root, ...])
    except msgspec.DecodeError as error:
        raise StateError(
            f"{state.path}/ca/roots.json: {error}; restore it from a backup"
        ) from error


def _line(entry: Issued) -> bytes:
    return msgspec.json.encode(entry) + b"\n"


def bundle(trust_domain: str, trust: TrustEntry) -> bytes:
    """The file that lets a sidecar trust the control process at its first dial."""
    head = f"# Roots of the trust domain {trust_domain}, written by stoq-control\n".encode()
    return head + b"".join(map(pem.encode, trust.roots))

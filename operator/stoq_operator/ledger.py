"""Which certificates are out, and which of them are revoked. Pure.

The certificates of a workload form chains: one that is signed over a connection which presents a
certificate continues that one's chain, as every renewal does. A newcomer without certificate begins
a chain and ends the one before: of each workload one chain is alive. So a sidecar's connections
outlive its renewals, and a stolen join token cannot stand beside the pod's own without showing.
"""

from collections.abc import Iterable

import msgspec

from stoq.records.revocation import Revocation


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """One certificate that was given out."""

    serial: str
    """Lower-case hexadecimal."""
    uid: str
    """The workload it is for."""
    spiffe_id: str
    issued: int
    """Unix seconds."""
    expires: int
    """Unix seconds."""
    chain: str = ""
    """Serial number of the chain's first certificate; empty: this one is the first."""

    @property
    def of_chain(self) -> str:
        """Names the chain."""
        return self.chain or self.serial


class Ledger:
    """All certificates that have not expired, oldest first."""

    def __init__(self, issued: Iterable[Issued] = ()) -> None:
        self._issued: dict[str, Issued] = {}
        self._living: dict[str, str] = {}
        for entry in issued:
            self.add(entry)

    def add(self, entry: Issued) -> None:
        """Remembers a certificate; to be called before it is handed out."""
        self._issued[entry.serial] = entry
        if not entry.chain:
            self._living[entry.uid] = entry.serial
        else:
            # What began the chain may have expired and be forgotten.
            self._living.setdefault(entry.uid, entry.chain)

    def find(self, serial: str) -> Issued | None:
        """The certificate with that serial number, if it has not expired."""
        return self._issued.get(serial)

    def prune(self, now: float) -> int:
        """Forgets what has expired; returns how many certificates that were."""
        gone = [serial for serial, entry in self._issued.items() if entry.expires <= now]
        for serial in gone:
            del self._issued[serial]
        uids = {entry.uid for entry in self._issued.values()}
        self._living = {uid: chain for uid, chain in self._living.items() if uid in uids}
        return len(gone)

    @property
    def entries(self) -> tuple[Issued, ...]:
        """Everything remembered, oldest first."""
        return tuple(self._issued.values())

    def revoked(self, revocations: Iterable[Revocation], now: float) -> tuple[str, ...]:
        """Serial numbers that no one may trust any more, sorted.

        A serial that is revoked by name stays listed while its record exists, also when it is not
        one of ours.
        """
        serials: set[str] = set()
        identities: set[str] = set()
        for revocation in revocations:
            if revocation.spec.serial is not None:
                serials.add(revocation.spec.serial.lstrip("0"))
            elif revocation.spec.spiffe_id is not None:
                identities.add(revocation.spec.spiffe_id)
        found = set()
        for entry in self._issued.values():
            if entry.expires <= now:
                continue
            named = entry.serial.lstrip("0") in serials
            serials.discard(entry.serial.lstrip("0"))
            superseded = self._living[entry.uid] != entry.of_chain
            if named or superseded or entry.spiffe_id in identities:
                found.add(entry.serial)
        found.update(_whole_bytes(serials))
        return tuple(sorted(found))


def named_serials(revocations: Iterable[Revocation]) -> tuple[str, ...]:
    """The serial numbers that records revoke by name, sorted."""
    named = {item.spec.serial.lstrip("0") for item in revocations if item.spec.serial is not None}
    return tuple(sorted(_whole_bytes(named)))


def _whole_bytes(serials: Iterable[str]) -> Iterable[str]:
    """An odd number of digits is no hexadecimal for bytes, and no digit is no serial number."""
    return (serial.zfill(len(serial) + len(serial) % 2) for serial in serials if serial)


def barred(revocations: Iterable[Revocation]) -> frozenset[str]:
    """SPIFFE ids that get no certificate."""
    return frozenset(
        revocation.spec.spiffe_id for revocation in revocations if revocation.spec.spiffe_id
    )

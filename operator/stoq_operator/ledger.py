"""Which certificates are out, and which of them are revoked. Pure.

A workload has at most `MAX_LIVE` certificates that are valid at one time: the newest, and the one
before it, whose connections go on until it expires. A third one revokes the oldest, so a stolen
join token can not add an identity beside the pod's own without showing.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from stoq.records.revocation import Revocation

MAX_LIVE: Final = 2
"""Valid certificates of one workload at one time."""


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


class Ledger:
    """All certificates that have not expired, oldest first."""

    def __init__(self, issued: Iterable[Issued] = ()) -> None:
        self._issued = {entry.serial: entry for entry in issued}

    def add(self, entry: Issued) -> None:
        """Remembers a certificate; to be called before it is handed out."""
        self._issued[entry.serial] = entry

    def prune(self, now: float) -> int:
        """Forgets what has expired; returns how many certificates that were."""
        gone = [serial for serial, entry in self._issued.items() if entry.expires <= now]
        for serial in gone:
            del self._issued[serial]
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
        by_workload: dict[str, list[Issued]] = {}
        found = set()
        for entry in self._issued.values():
            if entry.expires <= now:
                continue
            by_workload.setdefault(entry.uid, []).append(entry)
            if entry.spiffe_id in identities or entry.serial.lstrip("0") in serials:
                found.add(entry.serial)
                serials.discard(entry.serial.lstrip("0"))
        for entries in by_workload.values():
            found.update(entry.serial for entry in entries[:-MAX_LIVE])
        # An odd number of digits is no hexadecimal for bytes, and no digit is no serial number.
        found.update(serial.zfill(len(serial) + len(serial) % 2) for serial in serials if serial)
        return tuple(sorted(found))


def barred(revocations: Iterable[Revocation]) -> frozenset[str]:
    """SPIFFE ids that get no certificate."""
    return frozenset(
        revocation.spec.spiffe_id for revocation in revocations if revocation.spec.spiffe_id
    )

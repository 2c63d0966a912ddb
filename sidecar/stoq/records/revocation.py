"""Revocation: a certificate, or an identity with all its certificates, is no longer trusted."""

from typing import ClassVar, Final, Self

import msgspec

from stoq.records import checks
from stoq.records.errors import MISSING, RecordError
from stoq.records.meta import Record, Spec

MAX_SERIAL: Final = 20
"""Bytes of a serial number (RFC 5280, section 4.1.2.2)."""


class RevocationSpec(Spec, frozen=True, kw_only=True):
    """Names a serial number or a SPIFFE id: one of the two."""

    serial: str | None = None
    """The certificate, hexadecimal. Its workload may get a new one."""
    spiffe_id: str | None = None
    """The identity: in a cluster all its certificates from before this record was made; in a file,
    which has no such time, all of them, and it gets no new one while the record exists."""
    reason: str = ""
    """For the log and the people who read the record."""

    def checked(self) -> Self:
        """Raises `RecordError`; the serial becomes canonical."""
        if (self.serial is None) == (self.spiffe_id is None):
            value = MISSING if self.serial is None else "given beside spec.spiffeId"
            raise RecordError("spec.serial", value, "give either serial or spiffeId")
        if self.spiffe_id is not None:
            checks.spiffe_id("spec.spiffeId", self.spiffe_id)
            return self
        serial = checks.hexadecimal("spec.serial", self.serial or "", low=1, high=MAX_SERIAL)
        return msgspec.structs.replace(self, serial=serial)


class Revocation(Record, frozen=True, kw_only=True):
    """Holds for the whole mesh, for as long as it exists."""

    KIND: ClassVar[str] = "Revocation"
    NAMESPACED: ClassVar[bool] = False

    spec: RevocationSpec

    @property
    def since(self) -> int:
        """When it was written, Unix seconds; 0 in a file, which has no such time."""
        written = self.metadata.creation_timestamp
        return checks.timestamp("metadata.creationTimestamp", written) if written else 0

    def check_metadata(self) -> None:
        """As every record's; the time must be one, since certificates are compared with it."""
        super().check_metadata()
        _ = self.since

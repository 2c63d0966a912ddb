"""The head of a stream (docs/wire-format.md, section 5)."""

from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address, ip_address

from stoq_reference.errors import Malformed
from stoq_reference.reader import Reader, varint

VERSION = 1
RESUME = 1
TOKENS = 2
FLOW_ID_LENGTH = 16
MAX_LENGTH = 73
"""Bytes of the longest head."""


class Kind(IntEnum):
    """What a stream carries."""

    TCP = 1
    API = 2
    FRAMES = 3
    CONTROL = 4
    UDP = 5
    LANE = 6


@dataclass(frozen=True)
class Address:
    """An address and port of an application."""

    host: IPv4Address | IPv6Address
    port: int

    @classmethod
    def of(cls, host: str, port: int) -> "Address":
        """From its text."""
        return cls(ip_address(host), port)

    def encode(self) -> bytes:
        """7 or 19 bytes."""
        return bytes([self.host.version]) + self.port.to_bytes(2, "big") + self.host.packed


NOWHERE = Address(IPv6Address(0), 0)
"""For streams whose addresses mean nothing."""


@dataclass(frozen=True)
class Head:
    """What the opener of a stream says first."""

    kind: Kind
    flow_id: bytes
    source: Address = NOWHERE
    destination: Address = NOWHERE
    resume: bool = False
    tokens: bool = False
    """Both directions are tokens and what they cover (T2)."""
    sent: int = 0
    received: int = 0

    def encode(self) -> bytes:
        """The head's bytes."""
        return (
            bytes([VERSION, self.kind, RESUME * self.resume | TOKENS * self.tokens])
            + self.flow_id
            + varint(self.sent)
            + varint(self.received)
            + self.source.encode()
            + self.destination.encode()
        )


def decode(data: bytes, *, tokens: bool = False) -> tuple[Head, int]:
    """The head at the front of `data`, and its length. `tokens`: stream tokens are in use, and the
    head of a TCP flow may say that they follow (T2).

    Raises Short while bytes are missing, and Malformed where S1 has `bad_head`.
    """
    reader = Reader(data, "stream head")
    if (version := reader.integer(1)) != VERSION:
        raise Malformed(f"stream head of version {version}: only {VERSION} is known")
    kind = reader.integer(1)
    if kind not in list(Kind):
        raise Malformed(f"stream of kind {kind}: no such kind")
    known = RESUME | TOKENS if tokens and kind == Kind.TCP else RESUME
    if (flags := reader.integer(1)) & ~known:
        raise Malformed(f"stream head with flags {flags:#x}: only {known:#x} is defined here")
    head = Head(
        kind=Kind(kind),
        resume=bool(flags & RESUME),
        tokens=bool(flags & TOKENS),
        flow_id=reader.take(FLOW_ID_LENGTH),
        sent=reader.varint(),
        received=reader.varint(),
        source=_address(reader),
        destination=_address(reader),
    )
    return head, reader.position


def _address(reader: Reader) -> Address:
    family = reader.integer(1)
    if family not in (4, 6):
        raise Malformed(f"address of family {family}: 4 or 6")
    port = reader.integer(2)
    if family == 4:
        return Address(IPv4Address(reader.take(4)), port)
    return Address(IPv6Address(reader.take(16)), port)

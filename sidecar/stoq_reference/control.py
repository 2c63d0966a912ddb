"""The message of a control stream (docs/wire-format.md, section 8)."""

from dataclasses import dataclass
from hashlib import sha256

from stoq_reference.errors import Malformed
from stoq_reference.reader import Reader

TYPE = 1
MAX_LEAF = 8192
MAX_SIGNATURE = 2048
MAX_LENGTH = 10255
"""Bytes of the longest message (R6)."""

EXPORTER_LABEL = b"EXPORTER-STOQ-reauthentication"
LABEL = b"STOQ re-authentication v1\0"


@dataclass(frozen=True)
class Reauthentication:
    """A new certificate and the proof of its keys."""

    counter: int
    scheme: int
    leaf: bytes
    signature: bytes

    def encode(self) -> bytes:
        """The message's bytes."""
        return (
            bytes([TYPE])
            + self.counter.to_bytes(8, "big")
            + self.scheme.to_bytes(2, "big")
            + len(self.leaf).to_bytes(2, "big")
            + self.leaf
            + len(self.signature).to_bytes(2, "big")
            + self.signature
        )


def decode(message: bytes) -> Reauthentication:
    """The message that a control stream carried. Raises Malformed (R6: `protocol`)."""
    if len(message) > MAX_LENGTH:
        raise Malformed(f"control message of {len(message)} bytes: at most {MAX_LENGTH}")
    reader = Reader(message, "control message")
    if (type_ := reader.integer(1)) != TYPE:
        raise Malformed(f"control message of type {type_}: only {TYPE} is defined")
    if (counter := reader.integer(8)) == 0:
        raise Malformed("control message with counter 0: at least 1")
    scheme = reader.integer(2)
    leaf = _counted(reader, MAX_LEAF, "leaf")
    signature = _counted(reader, MAX_SIGNATURE, "signature")
    reader.end()
    return Reauthentication(counter, scheme, leaf, signature)


def _counted(reader: Reader, most: int, what: str) -> bytes:
    length = reader.integer(2)
    if not 1 <= length <= most:
        raise Malformed(f"control message with a {what} of {length} bytes: 1 to {most}")
    return reader.take(length)


def signed(*, dialled: bool, counter: int, exporter: bytes, leaf: bytes) -> bytes:
    """The 99 bytes that are signed; `dialled`: the sender did."""
    role = bytes([0 if dialled else 1])
    return LABEL + role + counter.to_bytes(8, "big") + exporter + sha256(leaf).digest()

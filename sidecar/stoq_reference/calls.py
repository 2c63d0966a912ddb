"""Frames of an API call (docs/wire-format.md, section 7)."""

from dataclasses import dataclass
from enum import IntEnum

from stoq_reference.errors import Malformed
from stoq_reference.reader import Reader, Short

PREFIX = 4
MAX_CONTROL = 8192
"""Bytes of the longest header or status."""


class FrameKind(IntEnum):
    """What a frame's body is."""

    MESSAGE = 0
    HEADER = 1
    STATUS = 2


@dataclass(frozen=True)
class Frame:
    """One frame."""

    kind: FrameKind
    body: bytes

    def encode(self) -> bytes:
        """The frame's bytes."""
        return bytes([self.kind]) + len(self.body).to_bytes(3, "big") + self.body


def decode(data: bytes, limit: int) -> tuple[Frame, int] | None:
    """The frame at the front of `data` and its length; None while bytes are missing.

    Raises Malformed for a kind that is not defined, and for a length over `limit` before the body
    has come (A1).
    """
    reader = Reader(data, "API frame")
    try:
        kind, length = reader.integer(1), reader.integer(3)
    except Short:
        return None
    if kind not in list(FrameKind):
        raise Malformed(f"API frame of kind {kind}: no such kind")
    most = limit if kind == FrameKind.MESSAGE else min(limit, MAX_CONTROL)
    if length > most:
        raise Malformed(f"API frame of {length} bytes: at most {most}")
    if length > reader.left:
        return None
    return Frame(FrameKind(kind), reader.take(length)), reader.position

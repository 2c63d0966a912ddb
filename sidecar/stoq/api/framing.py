"""Frames of an API call: bytes in, frames out, no I/O (docs/wire-format.md, section 7).

```
byte   0       1 .. 3            4 ..
      [kind]  [length, big end] [body: length bytes]
```
"""

from enum import IntEnum
from typing import Final, NamedTuple

from stoq.api.errors import Malformed

PREFIX_LENGTH: Final = 4
"""Bytes before the body: kind and length."""

MAX_BODY: Final = (1 << 24) - 1
"""Longest body the prefix can say, in bytes. Receivers set lower limits."""

MAX_CONTROL_BODY: Final = 8192
"""Longest header or status a receiver takes, in bytes."""


class Kind(IntEnum):
    """What a frame's body is."""

    MESSAGE = 0
    """A request or a response in the call's codec."""
    HEADER = 1
    """The caller's first frame, msgpack: method, codec, deadline, version."""
    STATUS = 2
    """The server's first frame; once more as the last one when a stream fails half-way."""


_KINDS: Final = tuple(Kind)


class Frame(NamedTuple):
    """One whole frame."""

    kind: Kind
    body: bytes


LONG: Final = 65_536
"""Bytes from which on a body is not copied to be beside others."""


def pieces(*frames: tuple[Kind, bytes]) -> list[bytes]:
    """The bytes of all frames in order, in one piece but for long bodies, which stay as they are.

    Raises `Malformed` when a body is longer than `MAX_BODY`.
    """
    found: list[bytes] = []
    short: list[bytes] = []
    for kind, body in frames:
        short.append(_prefix(kind, body))
        if len(body) < LONG:
            short.append(body)
        else:
            found += (b"".join(short), body)
            short = []
    return [*found, b"".join(short)] if short or not found else found


def encode(kind: Kind, body: bytes) -> bytes:
    """The frame's bytes. Raises `Malformed` when the body is longer than `MAX_BODY`."""
    return _prefix(kind, body) + body


def _prefix(kind: Kind, body: bytes) -> bytes:
    if len(body) > MAX_BODY:
        raise Malformed(
            f"a message of {len(body)} bytes does not fit a frame: the limit is {MAX_BODY}; "
            "split it over several messages of a stream"
        )
    # The kind is the highest of the four bytes.
    return (kind << 24 | len(body)).to_bytes(PREFIX_LENGTH, "big")


class Decoder:
    """Collects bytes and hands out whole frames.

    A length beyond the limit raises as soon as the prefix is read, so at most `limit` bytes and
    one read are ever held.
    """

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int) -> None:
        """`limit`: longest message body accepted, in bytes."""
        self._limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Adds bytes as they came from the stream, cut anywhere."""
        self._buffer += data

    def next(self) -> Frame | None:
        """The next whole frame, or `None` while bytes are missing.

        Raises `Malformed` for an unknown kind or a body beyond the limit; the decoder is of no
        use after that.
        """
        if len(self._buffer) < PREFIX_LENGTH:
            return None
        prefix = int.from_bytes(self._buffer[:PREFIX_LENGTH], "big")
        kind, length = _kind(prefix >> 24), prefix & MAX_BODY
        limit = self._limit if kind is Kind.MESSAGE else min(self._limit, MAX_CONTROL_BODY)
        if length > limit:
            raise Malformed(
                f"a {kind.name.lower()} of {length} bytes is over the limit of {limit} bytes"
            )
        end = PREFIX_LENGTH + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[PREFIX_LENGTH:end])
        del self._buffer[:end]
        return Frame(kind, body)

    @property
    def pending(self) -> int:
        """Bytes held that are no whole frame yet; not 0 at the end of a stream means truncation."""
        return len(self._buffer)


def _kind(value: int) -> Kind:
    if value >= len(_KINDS):
        raise Malformed(f"{value:#04x} is no kind of frame (known: 0, 1, 2)")
    return _KINDS[value]

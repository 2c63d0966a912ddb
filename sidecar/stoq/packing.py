"""Values of which thousands of receivers get the same bytes: msgpack, compressed. Pure.

The registry's entries repeat the same words, so zlib makes them about seven times shorter. None of
them is a secret that a length could tell, and whoever receives them has authenticated the registry;
what a packed value may become is bounded all the same.
"""

import zlib
from typing import Final, TypeVar

import msgspec

T = TypeVar("T")

LEVEL: Final = 6
"""Of zlib. Level 1 takes half the time, which is spent once; each receiver would get a fifth more
bytes for it."""

LIMIT: Final = 1 << 24
"""Bytes that a packed value may become: as many as a message that is not packed may have."""


def pack(value: object) -> bytes:
    """The bytes of a msgspec struct."""
    return zlib.compress(msgspec.msgpack.encode(value), LEVEL)


def unpack(packed: bytes, type_: type[T], *, limit: int = LIMIT) -> T:
    """The value in `packed`. Raises ValueError for bytes that are no such value, are cut off, or
    become more than `limit` bytes.
    """
    inflating = zlib.decompressobj()
    try:
        plain = inflating.decompress(packed, limit + 1)
    except zlib.error as error:
        raise ValueError(f"{len(packed)} bytes are no zlib stream: {error}") from None
    if len(plain) > limit:
        raise ValueError(f"{len(packed)} packed bytes become more than {limit}, the limit")
    if not inflating.eof:
        raise ValueError(f"{len(packed)} packed bytes end too early")
    try:
        return msgspec.msgpack.decode(plain, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"the bytes are no {type_.__name__}: {error}") from None

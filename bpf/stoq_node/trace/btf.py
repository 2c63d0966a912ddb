"""Where members are in structures of the running kernel, from its BTF (Linux's
Documentation/bpf/btf.rst). Pure.
"""

import struct
from collections.abc import Iterable
from typing import Final

_MAGIC: Final = 0xEB9F
_HEADER: Final = struct.Struct("=HBBIIIII")
_TYPE: Final = struct.Struct("=III")
_MEMBER: Final = struct.Struct("=III")

_STRUCT, _UNION = 4, 5
# Kind -> bytes after its head: fixed ones, and those of each of its parts.
_MORE: Final = {
    1: (4, 0),
    3: (12, 0),
    _STRUCT: (0, 12),
    _UNION: (0, 12),
    6: (0, 8),
    13: (0, 8),
    14: (4, 0),
    15: (0, 12),
    17: (4, 0),
    19: (0, 12),
}


class LayoutError(ValueError):
    """The kernel does not say where a member is; the text names it."""


class Btf:
    """The types of `data`, of which the structures `names` can be asked for.

    Raises `LayoutError` when these are not BTF of this machine's byte order.
    """

    def __init__(self, data: bytes, names: Iterable[str]) -> None:
        try:
            magic, _, _, length, types, size, strings, _ = _HEADER.unpack_from(data)
        except struct.error as error:
            raise LayoutError(f"{len(data)} bytes are no BTF") from error
        if magic != _MAGIC:
            raise LayoutError(f"begins with {magic:#06x}, which is not {_MAGIC:#06x}: no BTF")
        self._data = data
        self._strings = length + strings
        # By number of the type, from 1; type 0 is void.
        self._at = [0]
        self._structures: dict[str, int] = {}
        wanted = frozenset(names)
        at, end = length + types, length + types + size
        while at < end:
            name, info, _ = _TYPE.unpack_from(data, at)
            kind, parts = info >> 24 & 0x1F, info & 0xFFFF
            if kind == _STRUCT and name and (text := self._text(name)) in wanted:
                self._structures.setdefault(text, len(self._at))
            self._at.append(at)
            fixed, each = _MORE.get(kind, (0, 0))
            at += _TYPE.size + fixed + each * parts

    def offset(self, structure: str, member: str) -> int:
        """Bytes from the begin of `structure` to `member`, also one of an unnamed part of it."""
        number = self._structures.get(structure)
        if number is None:
            raise LayoutError(f"this kernel has no struct {structure}")
        bits = self._find(number, member)
        if bits is None:
            raise LayoutError(f"struct {structure} of this kernel has no member {member}")
        return bits // 8

    def _find(self, number: int, member: str) -> int | None:
        at = self._at[number]
        _, info, _ = _TYPE.unpack_from(self._data, at)
        if info >> 24 & 0x1F not in (_STRUCT, _UNION):
            return None
        packed = info >> 31
        members = at + _TYPE.size
        for place in range(members, members + (info & 0xFFFF) * _MEMBER.size, _MEMBER.size):
            name, kind, where = _MEMBER.unpack_from(self._data, place)
            # With the flag of bit fields the upper byte is the size of one.
            bits: int = where & 0xFFFFFF if packed else where
            if name:
                if self._text(name) == member:
                    return bits
            elif (inner := self._find(kind, member)) is not None:
                return bits + inner
        return None

    def _text(self, offset: int) -> str:
        begin = self._strings + offset
        return self._data[begin : self._data.index(b"\0", begin)].decode()

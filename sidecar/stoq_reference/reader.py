"""Bytes, read from the front; and QUIC's variable-length integers (RFC 9000, section 16)."""

from stoq_reference.errors import Malformed

MAX_VARINT = (1 << 62) - 1
"""The greatest integer a varint can say."""


def varint(value: int) -> bytes:
    """The shortest encoding of `value`. Raises ValueError beyond `MAX_VARINT`."""
    for prefix, size in enumerate((1, 2, 4, 8)):
        if 0 <= value < 1 << (8 * size - 2):
            return (value | prefix << (8 * size - 2)).to_bytes(size, "big")
    raise ValueError(f"{value} is no varint: 0 to {MAX_VARINT}")


class Short(Malformed):
    """There are fewer bytes than the element needs; with more of them it may be right."""


class Reader:
    """A position in bytes that only moves on."""

    def __init__(self, data: bytes, element: str) -> None:
        """`element` is what is read, for errors."""
        self._data = data
        self._element = element
        self.position = 0

    @property
    def left(self) -> int:
        """Bytes not yet read."""
        return len(self._data) - self.position

    def take(self, count: int) -> bytes:
        """The next `count` bytes. Raises `Short`."""
        if count > self.left:
            raise Short(f"{self._element}: {count} bytes expected, {self.left} there")
        start, self.position = self.position, self.position + count
        return self._data[start : self.position]

    def integer(self, size: int) -> int:
        """A big-endian integer of `size` bytes."""
        return int.from_bytes(self.take(size), "big")

    def varint(self) -> int:
        """A varint; any of its lengths is taken, as RFC 9000 has it for everything but types."""
        first = self.integer(1)
        value = first & 0x3F
        for byte in self.take((1 << (first >> 6)) - 1):
            value = value << 8 | byte
        return value

    def end(self) -> None:
        """Nothing may follow."""
        if self.left:
            raise Malformed(f"{self._element}: {self.left} bytes too many")

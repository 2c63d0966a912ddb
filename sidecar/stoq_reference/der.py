"""Just enough DER to take a certificate apart without writing it anew (X.690)."""

from dataclasses import dataclass

from stoq_reference.errors import Malformed
from stoq_reference.reader import Reader

INTEGER = 0x02
SEQUENCE = 0x30
OCTET_STRING = 0x04
BIT_STRING = 0x03
OBJECT_IDENTIFIER = 0x06
EXPLICIT_3 = 0xA3


@dataclass(frozen=True)
class Element:
    """One value with its tag, and how it was written."""

    tag: int
    body: bytes
    encoded: bytes

    def children(self) -> list["Element"]:
        """The elements in the body, in order."""
        return elements(self.body)


def elements(data: bytes) -> list[Element]:
    """All elements of `data`. Raises Malformed."""
    reader = Reader(data, "DER")
    found = []
    while reader.left:
        start = reader.position
        tag = reader.integer(1)
        length = _length(reader)
        body = reader.take(length)
        found.append(Element(tag, body, data[start : reader.position]))
    return found


def only(data: bytes, tag: int) -> Element:
    """The single element of `data`. Raises Malformed if its tag is another or more follows."""
    found = elements(data)
    if len(found) != 1 or found[0].tag != tag:
        raise Malformed(f"DER: one element with tag {tag:#x} expected")
    return found[0]


def _length(reader: Reader) -> int:
    first = reader.integer(1)
    if first < 0x80:
        return first
    size = first & 0x7F
    length = reader.integer(size)
    if not 1 <= size <= 3 or length < 0x80 or length.bit_length() <= 8 * (size - 1):
        raise Malformed(f"DER: a length in {size} bytes that is not the shortest")
    return length


def encode(tag: int, body: bytes) -> bytes:
    """An element's bytes."""
    length = len(body)
    if length < 0x80:
        return bytes([tag, length]) + body
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + body


def bit_string(element: Element) -> bytes:
    """The bytes of a BIT STRING without unused bits."""
    if element.tag != BIT_STRING or not element.body.startswith(b"\0"):
        raise Malformed("DER: a BIT STRING of whole bytes expected")
    return element.body[1:]

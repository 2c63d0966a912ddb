"""Fields that frames have in common (docs/wire-format.md, section 11, E7)."""

from ipaddress import IPv4Address, IPv6Address

from stoq_reference.errors import Malformed
from stoq_reference.head import Address
from stoq_reference.reader import Reader, varint

MAX_IDENTITY = 2048
NAME_LENGTH = 16


def counted(data: bytes) -> bytes:
    """Bytes with their length before them."""
    return varint(len(data)) + data


def bounded(what: str, value: int, least: int, most: int) -> int:
    """A value within its bounds. Raises Malformed."""
    if not least <= value <= most:
        raise Malformed(f"{what} is {value}: {least} to {most}")
    return value


def form_of(reader: Reader, least: int, most: int) -> int:
    """The form of a frame."""
    return bounded("form of a frame", reader.integer(1), least, most)


def identity(reader: Reader) -> str:
    """A SPIFFE id."""
    name = reader.take(bounded("length of an identity", reader.varint(), 1, MAX_IDENTITY))
    if any(not 0x21 <= byte <= 0x7E for byte in name):
        raise Malformed(f"identity {name!r} has characters that no SPIFFE id has")
    return name.decode("ascii")


def address(reader: Reader) -> Address:
    """As in section 5."""
    family = reader.integer(1)
    if family not in (4, 6):
        raise Malformed(f"address family {family}: 4 or 6")
    port = reader.integer(2)
    host = IPv4Address(reader.take(4)) if family == 4 else IPv6Address(reader.take(16))
    return Address(host, port)

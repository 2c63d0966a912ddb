"""Questions about routes, links and neighbours as the kernel reads and answers them, rtnetlink(7).
Pure.
"""

import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from stoq.capture.plan import Address

# linux/netlink.h, linux/rtnetlink.h: kinds of messages and their flags.
ERROR: Final = 2
DONE: Final = 3
_NEW_LINK, _GET_LINK, _SET_LINK = 16, 18, 19
_NEW_ADDRESS, _GET_ADDRESS = 20, 22
_NEW_ROUTE, _GET_ROUTE = 24, 26
_NEW_NEIGHBOUR, _GET_NEIGHBOUR = 28, 30
_NEW_NAMESPACE, _GET_NAMESPACE = 88, 90
_REQUEST, _ACK, _DUMP, _EXCLUSIVE, _CREATE = 0x1, 0x4, 0x300, 0x200, 0x400

# linux/socket.h; the kernel keeps what bridges have learnt as neighbours of this family.
_AF_INET, _AF_INET6, _AF_BRIDGE = 2, 10, 7

_UNICAST: Final = 1
"""A route to somebody else, RTN_UNICAST."""

_USE: Final = 1
"""NTF_USE: the kernel is to find out the neighbour's link-layer address."""

_UP: Final = 1
"""IFF_UP: the link is in use."""

_ALIAS: Final = 20
"""IFLA_IFALIAS: what somebody calls a link."""

_TYPE_MASK: Final = 0x3FFF
"""Of an attribute's type; what is above are flags."""

_NO_DETECTION: Final = 2
"""IFA_F_NODAD: an address is there at once, for nobody else can have it."""

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_LINK: Final = struct.Struct("=BxHiII")
_ADDRESS: Final = struct.Struct("=BBBBI")
_ROUTE: Final = struct.Struct("=BBBBBBBBI")
_NEIGHBOUR: Final = struct.Struct("=BxxxiHBB")


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface."""

    index: int
    name: str
    kind: str
    """`veth`, `bridge`; empty for hardware."""
    bridge: int
    """The index of the one it is a port of; 0 for none."""
    across: bool
    """Its other end is in another network namespace."""
    namespace: int = -1
    """That namespace's number, by which this one knows it; -1 for none."""
    alias: str = ""
    """What somebody calls it beside its name."""


@dataclass(frozen=True, slots=True)
class Route:
    """How packets to an address leave."""

    index: int
    """Of the interface."""
    direct: bool
    """The address itself is there, not a router towards it."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Who is behind an interface."""

    index: int
    address: Address | None
    """None where a bridge learnt it: those know no addresses of IP."""
    hardware: bytes
    bridge: int
    """The one that learnt it; 0 for none."""


def links_wanted() -> bytes:
    """Asks for all links."""
    return _message(_GET_LINK, _REQUEST | _DUMP, _LINK.pack(0, 0, 0, 0, 0))


def link_set(index: int, *, up: bool, alias: str) -> bytes:
    """Takes a link up or down, and calls it `alias`."""
    body = _LINK.pack(0, 0, index, _UP if up else 0, _UP)
    # An alias of no bytes is none.
    return _message(_SET_LINK, _REQUEST | _ACK, body + attribute(_ALIAS, alias.encode()))


def veth(name: str, namespace: int) -> bytes:
    """Makes a pair of links of that name, one end here, the other in the network namespace that is
    open as `namespace`.
    """
    end = _LINK.pack(0, 0, 0, 0, 0)
    # IFLA_IFNAME and IFLA_NET_NS_FD; IFLA_LINKINFO with its kind, and with VETH_INFO_PEER as data.
    called = attribute(3, name.encode() + b"\0")
    there = _together(called, attribute(28, namespace.to_bytes(4, sys.byteorder)))
    about = _together(attribute(1, b"veth\0"), attribute(2, attribute(1, end + there)))
    flags = _REQUEST | _ACK | _CREATE | _EXCLUSIVE
    return _message(_NEW_LINK, flags, end + _together(called, attribute(18, about)))


def address_added(index: int, address: Address) -> bytes:
    """Gives an interface an address, with a /64 or a /24 behind it."""
    family, bits = (_AF_INET, 24) if address.version == 4 else (_AF_INET6, 64)
    body = _ADDRESS.pack(family, bits, _NO_DETECTION, 0, index)
    told = _together(attribute(2, address.packed), attribute(1, address.packed))
    return _message(_NEW_ADDRESS, _REQUEST | _ACK | _CREATE | _EXCLUSIVE, body + told)


def addresses_wanted() -> bytes:
    """Asks for all addresses of this network namespace."""
    return _message(_GET_ADDRESS, _REQUEST | _DUMP, _ADDRESS.pack(0, 0, 0, 0, 0))


def route_wanted(address: Address) -> bytes:
    """Asks for the route to `address`."""
    family, bits = (_AF_INET, 32) if address.version == 4 else (_AF_INET6, 128)
    body = _ROUTE.pack(family, bits, 0, 0, 0, 0, 0, 0, 0) + attribute(1, address.packed)
    return _message(_GET_ROUTE, _REQUEST, body)


def neighbours_wanted(*, bridges: bool) -> bytes:
    """Asks for all neighbours, or for what all bridges have learnt."""
    body = _NEIGHBOUR.pack(_AF_BRIDGE if bridges else 0, 0, 0, 0, 0)
    return _message(_GET_NEIGHBOUR, _REQUEST | _DUMP, body)


def neighbour_sought(address: Address, index: int) -> bytes:
    """Has the kernel look for `address` behind interface `index`, as if it had a packet for it."""
    family = _AF_INET if address.version == 4 else _AF_INET6
    body = _NEIGHBOUR.pack(family, index, 0, _USE, 0) + attribute(1, address.packed)
    return _message(_NEW_NEIGHBOUR, _REQUEST | _CREATE | _ACK, body)


def namespace_wanted(descriptor: int) -> bytes:
    """Asks for the number of the network namespace that is open as `descriptor`."""
    # struct rtgenmsg, then NETNSA_FD.
    body = bytes(4) + attribute(3, descriptor.to_bytes(4, sys.byteorder))
    return _message(_GET_NAMESPACE, _REQUEST, body)


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Kind and content of each message of a datagram. Raises OSError when the kernel says no."""
    while len(data) >= _HEADER.size:
        length, kind, _, _, _ = _HEADER.unpack_from(data)
        if not _HEADER.size <= length <= len(data):
            return
        content = data[_HEADER.size : length]
        if kind == ERROR and (number := -int.from_bytes(content[:4], "little", signed=True)):
            raise OSError(number, os.strerror(number))
        yield kind, content
        data = data[_aligned(length) :]


def link(kind: int, content: bytes) -> Link | None:
    """The link of a message; None if it is about something else."""
    if kind != _NEW_LINK:
        return None
    _, _, index, _, _ = _LINK.unpack_from(content)
    found = attributes(content[_LINK.size :])
    about = attributes(found.get(18, b""))
    return Link(
        index=index,
        name=_text(found.get(3, b"")),
        kind=_text(about.get(1, b"")),
        bridge=_number(found.get(10, b"")),
        across=37 in found,
        namespace=_signed(found.get(37, b"")),
        alias=_text(found.get(_ALIAS, b"")),
    )


def address(kind: int, content: bytes) -> tuple[int, Address] | None:
    """The index of an interface and an address that it has; None if a message is about something
    else.
    """
    if kind != _NEW_ADDRESS:
        return None
    found = attributes(content[_ADDRESS.size :])
    # Of a link between two points the first is the other end's (IFA_ADDRESS, IFA_LOCAL).
    own = found.get(2) or found.get(1) or b""
    index = int(_ADDRESS.unpack_from(content)[4])
    return (index, ip_address(own)) if len(own) in {4, 16} else None


def namespace(kind: int, content: bytes) -> int:
    """The number of a message; -1 if the namespace has none here: no link leads there."""
    if kind != _NEW_NAMESPACE:
        return -1
    return _signed(attributes(content[4:]).get(1, b""))


def route(kind: int, content: bytes) -> Route | None:
    """The route of a message; None if it leads nowhere."""
    if kind != _NEW_ROUTE:
        return None
    found = attributes(content[_ROUTE.size :])
    if _ROUTE.unpack_from(content)[7] != _UNICAST or 4 not in found:
        return None
    # A gateway of the same family, or of another (RTA_VIA).
    return Route(_number(found[4]), direct=not {5, 18} & found.keys())


def neighbour(kind: int, content: bytes) -> Neighbour | None:
    """The neighbour of a message; None if nobody knows where it is."""
    if kind != _NEW_NEIGHBOUR:
        return None
    _, index, _, _, _ = _NEIGHBOUR.unpack_from(content)
    found = attributes(content[_NEIGHBOUR.size :])
    if 2 not in found:
        return None
    address = ip_address(found[1]) if len(found.get(1, b"")) in {4, 16} else None
    return Neighbour(index, address, found[2], _number(found.get(9, b"")))


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body


def request(kind: int, flags: int, body: bytes) -> bytes:
    """A message that asks the kernel for something."""
    return _message(kind, _REQUEST | flags, body)


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, without what follows it up to the next multiple of 4."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value


def _together(*several: bytes) -> bytes:
    return b"".join(each.ljust(_aligned(len(each)), b"\0") for each in several)


def attributes(data: bytes) -> dict[int, bytes]:
    """Attributes by their kind; of one that is there twice the last."""
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= length <= len(data):
            break
        found[kind & _TYPE_MASK] = data[_ATTRIBUTE.size : length]
        data = data[_aligned(length) :]
    return found


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _number(value: bytes) -> int:
    return int.from_bytes(value[:4], "little")


def _signed(value: bytes) -> int:
    return int.from_bytes(value[:4], sys.byteorder, signed=True) if len(value) == 4 else -1


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")

"""Bytes by which the kernel is asked which connections have a mark, and told to end one. Pure.

ctnetlink (linux/netfilter/nfnetlink_conntrack.h) and sock_diag(7).
"""

import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from stoq.capture.plan import Address
from stoq_node.netlink import attribute, attributes, request

NETFILTER: Final = 12
SOCK_DIAG: Final = 4
"""Protocols of netlink(7) for the two; Python's socket module does not name them."""

_DUMP, _ACK = 0x300, 0x4
_TCP: Final = 6

_GET_CONNECTION: Final = 0x0101
"""NFNL_SUBSYS_CTNETLINK and IPCTNL_MSG_CT_GET; answers are IPCTNL_MSG_CT_NEW."""
_CONNECTION: Final = 0x0100

# Attributes of a connection, of its tuple, of addresses and of ports. Numbers are in network order.
_ORIGINAL, _MARK, _MARK_MASK = 1, 8, 21
_ADDRESSES, _PORTS = 1, 2
_SOURCES, _DESTINATIONS = (1, 3), (2, 4)
_PROTOCOL, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3

_GET_SOCKET, _DESTROY = 20, 21
"""SOCK_DIAG_BY_FAMILY and SOCK_DESTROY."""
_ALL_STATES: Final = 0xFFFFFFFF
_NO_COOKIE: Final = b"\xff" * 8
_TIME_WAIT, _LISTEN = 6, 10
_COOKIE: Final = slice(44, 52)
"""Of struct inet_diag_msg; its second byte is the state."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A TCP connection, from the side that opened it."""

    source: Address
    source_port: int
    destination: Address
    destination_port: int

    @property
    def back(self) -> "Flow":
        """The same, from the other side."""
        return Flow(self.destination, self.destination_port, self.source, self.source_port)


def marked_wanted(family: int, mark: int) -> bytes:
    """Asks for all connections of a family that have the mark."""
    chosen = attribute(_MARK, mark.to_bytes(4, "big"))
    chosen += attribute(_MARK_MASK, b"\xff" * 4)
    # struct nfgenmsg: family, version, resource.
    return request(_GET_CONNECTION, _DUMP, struct.pack("=BBH", family, 0, 0) + chosen)


def marked(kind: int, content: bytes, mark: int) -> Flow | None:
    """The TCP connection of an answer; None if it is none, or has another mark: kernels before 5.9
    do not choose.
    """
    if kind != _CONNECTION:
        return None
    found = attributes(content[4:])
    original = attributes(found.get(_ORIGINAL, b""))
    addresses, ports = (attributes(original.get(part, b"")) for part in (_ADDRESSES, _PORTS))
    ends = [
        next((addresses[kind] for kind in kinds if len(addresses.get(kind, b"")) in {4, 16}), b"")
        for kinds in (_SOURCES, _DESTINATIONS)
    ]
    if _number(found.get(_MARK, b"")) != mark or _number(ports.get(_PROTOCOL, b"")) != _TCP:
        return None
    if not all(ends):
        return None
    return Flow(
        ip_address(ends[0]),
        _number(ports.get(_SOURCE_PORT, b"")),
        ip_address(ends[1]),
        _number(ports.get(_DESTINATION_PORT, b"")),
    )


def socket_wanted(own: Flow) -> bytes:
    """Asks for the socket whose own end is the source. Where the connection has none any more the
    kernel shows one that listens at that end.
    """
    return _about(_GET_SOCKET, 0, own, _NO_COOKIE)


def cookie(kind: int, content: bytes) -> bytes | None:
    """By what the kernel knows the socket of an answer; None if nobody speaks over it: it listens,
    or only waits for its time to be over.
    """
    if kind != _GET_SOCKET or len(content) < _COOKIE.stop or content[1] in {_TIME_WAIT, _LISTEN}:
        return None
    return content[_COOKIE]


def ended(own: Flow, cookie: bytes) -> bytes:
    """Ends the socket of that cookie, whose own end is the source: its program is told at once, as
    by a reset. Without the cookie it could be one that listens.
    """
    return _about(_DESTROY, _ACK, own, cookie)


def _about(kind: int, flags: int, own: Flow, cookie: bytes) -> bytes:
    family = socket.AF_INET if own.source.version == 4 else socket.AF_INET6
    # struct inet_diag_req_v2 with its struct inet_diag_sockid.
    body = struct.pack("=BBBBI", family, _TCP, 0, 0, _ALL_STATES)
    body += struct.pack("!HH", own.source_port, own.destination_port)
    body += own.source.packed.ljust(16, b"\0") + own.destination.packed.ljust(16, b"\0")
    return request(kind, flags, body + bytes(4) + cookie)


def _number(value: bytes) -> int:
    return int.from_bytes(value, "big")

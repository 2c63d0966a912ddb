"""Routes and routing rules in the kernel's own words (rtnetlink(7)): no program is needed, and who
may not change them may still read them.

Both kinds of message have the same shape: a head of 12 bytes (struct rtmsg, struct fib_rule_hdr),
then attributes. All functions work on the network namespace of the calling thread.
"""

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

TIMEOUT: Final = 10.0
"""Seconds that an answer may take; the kernel answers within the call, but for a lock that a busy
node holds."""

# <linux/rtnetlink.h>, <linux/netlink.h>
NEW_ROUTE, DELETE_ROUTE, GET_ROUTE = 24, 25, 26
NEW_RULE, DELETE_RULE, GET_RULE = 32, 33, 34
_ERROR, _DONE = 2, 3
_REQUEST, _ACKNOWLEDGE, _DUMP = 0x1, 0x4, 0x300
CREATE: Final = 0x400
EXCLUSIVE: Final = 0x200

_MESSAGE: Final = struct.Struct("=IHHII")  # struct nlmsghdr
_HEAD: Final = struct.Struct("=BBBBBBBBI")
_ATTRIBUTE: Final = struct.Struct("=HH")  # struct rtattr
_BUFFER: Final = 1 << 17  # the kernel's largest message of a dump is 32 KiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A route or a rule. `kind` is the route's type or the rule's action, `attributes` are the
    kernel's numbers of 32 bits each, those of another size left out. The numbers mean different
    things for routes and for rules.
    """

    family: int
    prefix: int = 0
    kind: int
    protocol: int = 0
    scope: int = 0
    attributes: dict[int, int] = field(default_factory=dict)


def change(message: int, entry: Entry, flags: int = 0) -> None:
    """Has the kernel do `message`. Raises OSError with the kernel's reason."""
    for _ in _asked(message, _REQUEST | _ACKNOWLEDGE | flags, entry):
        pass


def listed(message: int, family: int) -> list[Entry]:
    """All entries of a family. Takes no capability. Raises OSError."""
    return list(_asked(message, _REQUEST | _DUMP, Entry(family=family, kind=0)))


def encode(message: int, flags: int, entry: Entry) -> bytes:
    """One request, numbered 1. Pure."""
    head = (entry.family, entry.prefix, 0, 0, 0, entry.protocol, entry.scope, entry.kind, 0)
    body = _HEAD.pack(*head)
    for number, value in entry.attributes.items():
        body += _ATTRIBUTE.pack(_ATTRIBUTE.size + 4, number) + struct.pack("=I", value)
    return _MESSAGE.pack(_MESSAGE.size + len(body), message, flags, 1, 0) + body


def decode(datagram: bytes) -> Iterator[Entry | None]:
    """The entries of an answer, None where it ends. Pure.

    Raises OSError when the kernel says no, ValueError when these are not its words.
    """
    while datagram:
        if len(datagram) < _MESSAGE.size:
            raise ValueError(f"{len(datagram)} bytes after the last message of rtnetlink")
        length, kind, _, _, _ = _MESSAGE.unpack_from(datagram)
        body = datagram[_MESSAGE.size : length]
        if len(body) != length - _MESSAGE.size or len(body) < 4:
            raise ValueError(f"a message of rtnetlink says {length} bytes, which it has not")
        if kind in (_ERROR, _DONE):
            (code,) = struct.unpack_from("=i", body)
            if code:
                raise OSError(-code, os.strerror(-code))
            yield None
        elif len(body) < _HEAD.size:
            raise ValueError(f"a message of rtnetlink of kind {kind} has {len(body)} bytes")
        else:
            yield _entry(body)
        datagram = datagram[(length + 3) & ~3 :]


def _entry(body: bytes) -> Entry:
    family, prefix, _, _, _, protocol, scope, kind, _ = _HEAD.unpack_from(body)
    attributes: dict[int, int] = {}
    rest = body[_HEAD.size :]
    while len(rest) >= _ATTRIBUTE.size:
        length, number = _ATTRIBUTE.unpack_from(rest)
        if not _ATTRIBUTE.size <= length <= len(rest):
            raise ValueError(f"attribute {number} of rtnetlink says {length} bytes")
        if length == _ATTRIBUTE.size + 4:
            (attributes[number],) = struct.unpack_from("=I", rest, _ATTRIBUTE.size)
        rest = rest[(length + 3) & ~3 :]
    return Entry(
        family=family,
        prefix=prefix,
        kind=kind,
        protocol=protocol,
        scope=scope,
        attributes=attributes,
    )


def _asked(message: int, flags: int, entry: Entry) -> Iterator[Entry]:
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(TIMEOUT)
        kernel.send(encode(message, flags, entry))
        while True:
            for answer in decode(kernel.recv(_BUFFER)):
                if answer is None:
                    return
                yield answer

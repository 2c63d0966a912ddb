"""The network namespaces of this machine: which is behind a link, and who is in one."""

import os
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

NAMED: Final = Path("/run/netns")
"""Where iproute2 and container runtimes keep those that have a name."""

TIMEOUT: Final = 5.0
"""Seconds that the kernel may take for an answer."""

# linux/netlink.h, linux/rtnetlink.h, linux/net_namespace.h, linux/if_link.h
_ERROR: Final = 2
_GET_LINK, _GET_NSID = 18, 90
_REQUEST: Final = 1
_FD, _NSID = 3, 1
_LINK_NETNSID: Final = 37
_HEADER: Final = struct.Struct("=IHHII")
_LINK: Final = struct.Struct("=BxHiII")
_FAMILY: Final = struct.Struct("=B3x")
_ATTRIBUTE: Final = struct.Struct("=HH")


def own() -> int:
    """The one of this process. Namespaces are numbered by their inode."""
    return Path("/proc/self/ns/net").stat().st_ino


def number(name: str) -> int:
    """The namespace of a name (`ip netns list`), a path (/proc/7/ns/net) or a number.

    Raises OSError when there is none.
    """
    if name.isascii() and name.isdigit():
        return int(name)
    return (Path(name) if "/" in name else NAMED / name).stat().st_ino


def paths() -> dict[int, str]:
    """A path of each namespace that has a name or a process."""
    found: dict[int, str] = {}
    for process in _processes():
        path = f"/proc/{process}/ns/net"
        try:
            found.setdefault(Path(path).stat().st_ino, path)
        except OSError:  # gone meanwhile
            continue
    if NAMED.is_dir():
        for named in NAMED.iterdir():
            try:
                found.setdefault(named.stat().st_ino, str(named))
            except OSError:
                continue
    return found


def processes(namespace: int) -> Iterator[int]:
    """Who is in it."""
    for process in _processes():
        try:
            if Path(f"/proc/{process}/ns/net").stat().st_ino == namespace:
                yield process
        except OSError:
            continue


def behind(indexes: Iterable[int], known: dict[int, str]) -> dict[int, int]:
    """Namespace by index of a link of this namespace whose other end is in it; `known` are `paths`.
    Links that are gone, or have no other end elsewhere, are left out.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.settimeout(TIMEOUT)
        by_id: dict[int, int] = {}
        for namespace, path in known.items():
            if (identity := _identity(kernel, path)) is not None:
                by_id[identity] = namespace
        found = {}
        for index in indexes:
            answer = _ask(kernel, _GET_LINK, _LINK.pack(0, 0, index, 0, 0))
            identity = _signed(answer[_LINK.size :], _LINK_NETNSID)
            if identity is not None and identity in by_id:
                found[index] = by_id[identity]
        return found


def _identity(kernel: socket.socket, path: str) -> int | None:
    """The number by which this namespace knows another one, if it does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        attribute = _ATTRIBUTE.pack(8, _FD) + struct.pack("=I", descriptor)
        answer = _ask(kernel, _GET_NSID, _FAMILY.pack(0) + attribute)
    finally:
        os.close(descriptor)
    identity = _signed(answer[_FAMILY.size :], _NSID)
    return None if identity is None or identity < 0 else identity


def _ask(kernel: socket.socket, kind: int, body: bytes) -> bytes:
    """What follows the head of the answer; nothing when the kernel says no."""
    kernel.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST, 1, 0) + body)
    answer = kernel.recv(65536)
    length, said, _, _, _ = _HEADER.unpack_from(answer)
    return b"" if said == _ERROR else answer[_HEADER.size : length]


def _signed(attributes: bytes, wanted: int) -> int | None:
    while len(attributes) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(attributes)
        if length < _ATTRIBUTE.size:
            return None
        if kind == wanted and length == _ATTRIBUTE.size + 4:
            return int.from_bytes(attributes[_ATTRIBUTE.size : length], "little", signed=True)
        attributes = attributes[(length + 3) & ~3 :]
    return None


def _processes() -> Iterator[int]:
    return (int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit())

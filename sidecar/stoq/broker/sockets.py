"""Opens the sockets that a sidecar needs, in the network namespace of the calling thread."""

import errno
import socket
from dataclasses import dataclass
from typing import Final

from stoq import constants
from stoq.broker.protocol import Role, SocketInfo
from stoq.capture.udp import UDP_EMIT_MARK, UDP_INJECT_MARK

IPV6_TRANSPARENT: Final = 75  # <linux/in6.h>; Python's socket module does not name it
IP_TRANSPARENT: Final = 19  # <linux/in.h>
IPV6_RECVORIGDSTADDR: Final = 74  # <linux/in6.h>
IP_RECVORIGDSTADDR: Final = 20  # <linux/in.h>
SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_RCVMARK = 32, 33, 75  # <asm-generic/socket.h>

UDP_BUFFER: Final = 4 << 20
"""Bytes that captured datagrams may take while the sidecar is busy: more than the kernel's default,
since all applications share it."""

BACKLOG: Final = 4096
"""Connections that may wait while the sidecar restarts; the kernel caps it at
net.core.somaxconn (4096 by default)."""


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """A socket together with what the receiver is told about it."""

    info: SocketInfo
    socket: socket.socket


def open_listeners() -> list[OpenSocket]:
    """The two TCP listeners that capture redirects to, transparent where the kernel permits it.

    Raises OSError naming the port.
    """
    return [
        _listener(Role.OUTBOUND, constants.OUTBOUND_PORT),
        _listener(Role.INBOUND, constants.INBOUND_PORT),
    ]


def open_stoq(workers: int) -> list[OpenSocket]:
    """One UDP socket per worker on the STOQ port, in one SO_REUSEPORT group.

    They are opened together because the kernel admits only sockets of one user to a group.
    Raises OSError naming the port.
    """
    opened: list[OpenSocket] = []
    try:
        # One by one, so that those already open are known when a later one fails.
        for worker in range(workers):
            opened += [_stoq(worker)]
    except OSError:
        close_all(opened)
        raise
    return opened


def open_transparent() -> list[OpenSocket]:
    """A transparent IPv4 listener on loopback: what it accepts may be dissolved and take any
    address, which the sidecar could not ask for itself. None where the kernel does not permit it.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen(BACKLOG)
    except PermissionError:
        listener.close()
        return []
    except OSError:
        listener.close()
        raise
    port = listener.getsockname()[1]
    return [OpenSocket(SocketInfo(Role.TRANSPARENT, port, transparent=True), listener)]


def open_udp(workers: int) -> list[OpenSocket]:
    """What captured UDP takes: a transparent socket per worker, at which datagrams arrive with
    their original destination, and raw sockets to put whole packets into the pod and out of it.

    Raises OSError.
    """
    opened: list[OpenSocket] = []
    try:
        for worker in range(workers):
            opened += [_capture(worker)]
        for role, mark in ((Role.INJECT, UDP_INJECT_MARK), (Role.EMIT, UDP_EMIT_MARK)):
            for family in (socket.AF_INET6, socket.AF_INET):
                opened += [_raw(role, family, mark)]
    except OSError:
        close_all(opened)
        raise
    return opened


def close_all(sockets: list[OpenSocket]) -> None:
    """Closes our copies; those that were passed on stay open."""
    for item in sockets:
        item.socket.close()


def _listener(role: Role, port: int) -> OpenSocket:
    listener = _dual_stack(socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        transparent = _make_transparent(listener)
        _bind(listener, port, "tcp")
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return OpenSocket(SocketInfo(role, port, transparent=transparent), listener)


def _stoq(worker: int) -> OpenSocket:
    opened = _dual_stack(socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        _bind(opened, constants.STOQ_PORT, "udp")
    except OSError:
        opened.close()
        raise
    return OpenSocket(SocketInfo(Role.STOQ, constants.STOQ_PORT, worker), opened)


def _capture(worker: int) -> OpenSocket:
    opened = _dual_stack(socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
        opened.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
        opened.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, 1)
        opened.setsockopt(socket.IPPROTO_IP, IP_RECVORIGDSTADDR, 1)
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, UDP_BUFFER)
        _tell_marks(opened)
        _bind(opened, constants.OUTBOUND_PORT, "udp")
    except OSError:
        opened.close()
        raise
    return OpenSocket(
        SocketInfo(Role.UDP, constants.OUTBOUND_PORT, worker, transparent=True), opened
    )


def _tell_marks(opened: socket.socket) -> None:
    """By its mark the sidecar knows what has Don't Fragment. Kernels before 5.19 do not know the
    option; the sidecar says so in its log.
    """
    try:
        opened.setsockopt(socket.SOL_SOCKET, SO_RCVMARK, 1)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            raise


def _raw(role: Role, family: int, mark: int) -> OpenSocket:
    """With IPPROTO_RAW the header is part of what is sent, in both families. Neither the device nor
    the mark can be changed without a capability, so the sidecar can use it for its purpose only.
    """
    try:
        opened = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_RAW)
    except PermissionError as error:
        raise OSError(
            error.errno,
            "captured UDP takes raw sockets, and so CAP_NET_RAW for the broker (in Kubernetes "
            "capture.udp=true of the chart)",
        ) from error
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        opened.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, UDP_BUFFER)
        if role is Role.INJECT:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    except OSError:
        opened.close()
        raise
    return OpenSocket(SocketInfo(role, 0), opened)


def _dual_stack(kind: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET6, kind | socket.SOCK_NONBLOCK)
    opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return opened


def _make_transparent(listener: socket.socket) -> bool:
    try:
        listener.setsockopt(socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
        listener.setsockopt(socket.IPPROTO_IP, IP_TRANSPARENT, 1)
    except PermissionError:
        return False  # CAP_NET_RAW or CAP_NET_ADMIN is missing; capture works without
    return True


def _bind(opened: socket.socket, port: int, protocol: str) -> None:
    try:
        opened.bind(("::", port))
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot bind {protocol} port {port} in the pod: {error.strerror}; the port belongs "
            "to STOQ, so no container of the pod may use it",
        ) from error

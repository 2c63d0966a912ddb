"""One SOCK_SEQPACKET channel between broker and sidecar: descriptors and peer credentials."""

import array
import os
import socket
import struct
from dataclasses import dataclass
from typing import Final

from stoq.broker.protocol import MAX_MESSAGE, MAX_QUEUES, MAX_WORKERS, Code, ProtocolError

MAX_DESCRIPTORS: Final = 2 * MAX_WORKERS + 7 + 2 * MAX_QUEUES + 2
"""STOQ and UDP sockets of every worker, two listeners, the transparent one, four raw ones; sockets
and memories of AF_XDP, and their program."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who is at the other end (SO_PEERCRED), as the kernel saw it at connect or listen. A `pid`
    of 0 means a process outside our PID namespace.
    """

    pid: int
    uid: int
    gid: int


def credentials(channel: socket.socket) -> Credentials:
    """The peer's credentials."""
    layout = struct.Struct("iII")  # struct ucred
    data = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, layout.size)
    return Credentials(*layout.unpack(data))


def send(channel: socket.socket, message: bytes, descriptors: list[int]) -> None:
    """Sends one message, with descriptors if there are any. Raises OSError."""
    ancillary = []
    if descriptors:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
    channel.sendmsg([message], ancillary)


def receive(channel: socket.socket) -> tuple[bytes, list[int]]:
    """One message with its descriptors, which the caller owns from here on; empty bytes when the
    peer has closed.

    Raises ProtocolError when message or descriptors were cut off (none is kept then), OSError.
    """
    room = socket.CMSG_SPACE(MAX_DESCRIPTORS * array.array("i").itemsize)
    message, ancillary, flags, _ = channel.recvmsg(MAX_MESSAGE, room)
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close(list(descriptors))
        raise ProtocolError(
            Code.LIMIT, f"message over {MAX_MESSAGE} bytes or {MAX_DESCRIPTORS} descriptors"
        )
    return message, list(descriptors)


def close(descriptors: list[int]) -> None:
    """Closes descriptors that nobody wants."""
    for descriptor in descriptors:
        os.close(descriptor)

"""Sockets in a pod, as a given user, without starting a process for each.

A socket belongs to the network namespace and the user of the thread that made it, and keeps both
wherever it is used later; nftables' `skuid` and SO_PEERCRED see that user.
"""

import ctypes
import encodings.idna  # noqa: F401  (loaded now: later the thread may not read our files)
import platform
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import TypeVar

from stoq.capture.netns import run_in

T = TypeVar("T")

APPLICATION_UID = 1000
SIDECAR_UID = 14008
SETRESUID = {"x86_64": 117, "aarch64": 147}  # <asm/unistd.h>
SO_ORIGINAL_DST = 80  # <linux/netfilter_ipv4.h>; the same number for IPv6


def in_pod(netns: str, function: Callable[[], T], uid: int = APPLICATION_UID) -> T:
    """Calls `function` in the namespace of that name, as `uid`."""

    def as_user() -> T:
        # The system call changes this thread alone (the function of the C library all of them),
        # and the thread ends with the call.
        if ctypes.CDLL(None).syscall(SETRESUID[platform.machine()], -1, uid, -1) != 0:
            raise PermissionError(f"cannot become uid {uid}: these tests need root")
        return function()

    return run_in(f"/run/netns/{netns}", as_user)


def connect(
    netns: str, address: object, port: int, uid: int = APPLICATION_UID, timeout: float = 15.0
) -> socket.socket:
    """A TCP connection from inside the pod."""
    return in_pod(netns, lambda: socket.create_connection((str(address), port), timeout), uid)


def listen(netns: str, port: int, host: str = "::") -> socket.socket:
    """A TCP listener inside the pod, on both families."""

    def opened() -> socket.socket:
        listener = socket.socket(socket.AF_INET6)
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(16)
        return listener

    return in_pod(netns, opened, uid=0)  # ports below 1024 too


def original_destination(connection: socket.socket) -> tuple[str, int]:
    """Where the peer of a redirected connection wanted to go."""
    if connection.getsockname()[0].startswith("::ffff:"):
        found = connection.getsockopt(socket.IPPROTO_IP, SO_ORIGINAL_DST, 16)
        port, address4 = struct.unpack("!2xH4s8x", found)
        return str(IPv4Address(address4)), port
    found = connection.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
    port, address6 = struct.unpack("!2xH4x16s4x", found)
    return str(IPv6Address(address6)), port


class Responder:
    """Accepts connections and tells each its name, and for a redirected one where it wanted to
    go: `name address port`. Stands for an application, or for a sidecar's listener.
    """

    def __init__(self, netns: str, name: str, port: int, host: str = "::") -> None:
        self._name = name
        self._listener = listen(netns, port, host)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    try:
                        address, port = original_destination(connection)
                    except OSError:
                        address, port = "direct", 0
                    connection.sendall(f"{self._name} {address} {port}".encode())

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def __enter__(self) -> "Responder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ask(netns: str, address: object, port: int, uid: int = APPLICATION_UID) -> str:
    """Who answers at that address, in the words of `Responder`."""
    with connect(netns, address, port, uid) as connection:
        return connection.recv(200).decode()

"""An application that sends all it can, and one that reads all it gets, in two pods."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

from benchlib.errors import BenchError
from benchlib.network import Side
from stoq.capture.netns import run_in

BLOCK = 256 * 1024

PATIENCE = 20.0
"""Seconds until the first bytes must have arrived."""


@contextlib.contextmanager
def receiver(side: Side, port: int) -> Iterator[Callable[[], int]]:
    """An application that reads all it gets; tells how many bytes that was."""
    count = 0
    listener = run_in(
        f"/run/netns/{side.pod.netns}",
        partial(socket.create_server, ("::", port), family=socket.AF_INET6),
    )

    def receive() -> None:
        nonlocal count
        buffer = bytearray(BLOCK)
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection:
                    while length := connection.recv_into(buffer):
                        count += length

    thread = threading.Thread(target=receive, daemon=True)
    thread.start()
    try:
        yield lambda: count
    finally:
        listener.close()


@contextlib.contextmanager
def sender(
    side: Side, target: tuple[str, int], received: Callable[[], int], congestion: str | None = None
) -> Iterator[None]:
    """An application that writes without end, with the kernel's congestion control of that name;
    ready once bytes have arrived. Raises BenchError when none do, or when the kernel has no such
    control.
    """
    connection = run_in(f"/run/netns/{side.pod.netns}", partial(_connect, target, congestion))
    connection.settimeout(None)

    def send() -> None:
        block = bytes(BLOCK)
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(block)

    connection.sendall(b"hello")
    deadline = time.monotonic() + PATIENCE
    while not received():
        if time.monotonic() > deadline:
            raise BenchError(f"nothing arrived within {PATIENCE:.0f} s")
        time.sleep(0.01)
    threading.Thread(target=send, daemon=True).start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def _connect(target: tuple[str, int], congestion: str | None) -> socket.socket:
    connection = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    try:
        if congestion is not None:
            try:
                option = congestion.encode()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, option)
            except FileNotFoundError as error:
                raise BenchError(
                    f"the kernel has no TCP congestion control {congestion!r}: modprobe "
                    f"tcp_{congestion}"
                ) from error
        connection.settimeout(PATIENCE)
        connection.connect(target)
    except BaseException:
        connection.close()
        raise
    return connection

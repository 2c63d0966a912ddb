"""A program in a pod that never gives up, whatever dies around it.

    python -m lab.trying mesh PORT ADDRESS       asks a server that sends back what it gets
    python -m lab.trying clear PORT ADDRESS...   sends in the clear, past capture

`mesh` is any application: capture takes its connections to the sidecar, and it asks for another
one when one ends. `clear` has the sidecar's user, whose packets capture leaves alone: it opens TCP
connections to the port and sends datagrams to another one. Both print, some times a second, how
often that has come to something and how often not: a JSON list of two numbers.
"""

import encodings.idna  # noqa: F401  (loaded now: later the process may not read our files)
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from lab import installation

APPLICATION_UID: Final = 1000

REPORT_SECONDS: Final = 0.1
ASKING_SECONDS: Final = 0.002
"""Between an answer and the next question."""
CLEAR_SECONDS: Final = 0.02
"""Between two attempts: each leaves the pod's connection tracking an entry for minutes."""
PATIENCE: Final = 1.0
"""Seconds for an answer, and for a connection."""

QUESTION: Final = bytes(1024)
SECRET: Final = b"what must not be seen outside of the pod"
DATAGRAM_PORT: Final = 7777


class Asking:
    """One connection after another, one question after another."""

    def __init__(self, address: str, port: int) -> None:
        self._target = (address, port)
        self._connection: socket.socket | None = None

    def once(self) -> tuple[int, int]:
        """Answers, and questions without one."""
        try:
            if self._connection is None:
                self._connection = socket.create_connection(self._target, PATIENCE)
            self._ask(self._connection)
        except OSError:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            return 0, 1
        return 1, 0

    def _ask(self, connection: socket.socket) -> None:
        connection.sendall(QUESTION)
        missing = len(QUESTION)
        while missing:
            piece = connection.recv(missing)
            if not piece:
                raise ConnectionError("the connection ended")
            missing -= len(piece)


class Clear:
    """Two packets for each address, neither of which waits for anything."""

    def __init__(self, addresses: Sequence[str], port: int) -> None:
        self._port = port
        self._addresses = [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, address)
            for address in addresses
        ]
        self._datagrams = {
            family: socket.socket(family, socket.SOCK_DGRAM) for family, _ in self._addresses
        }

    def once(self) -> tuple[int, int]:
        """Packets that the pod's own stack took, and those that it did not."""
        taken = [
            send(family, address)
            for family, address in self._addresses
            for send in (self._segment, self._datagram)
        ]
        return taken.count(True), taken.count(False)

    def _segment(self, family: socket.AddressFamily, address: str) -> bool:
        with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as attempt:
            # Should it be let in: gone at once, with nothing that the other side would repeat.
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            try:
                attempt.connect((address, self._port))
            except BlockingIOError:
                return True
            except OSError:
                return False
            return True

    def _datagram(self, family: socket.AddressFamily, address: str) -> bool:
        try:
            self._datagrams[family].sendto(SECRET, (address, DATAGRAM_PORT))
        except OSError:
            return False
        return True


def try_on(once: Callable[[], tuple[int, int]], pause: float) -> None:
    """For ever; the pause, in seconds, is between two times."""
    good = bad = 0
    due = time.monotonic()
    while True:
        did, failed = once()
        good, bad = good + did, bad + failed
        if time.monotonic() >= due:
            print(json.dumps([good, bad]), flush=True)
            due = time.monotonic() + REPORT_SECONDS
        time.sleep(pause)


def main(kind: str, port: str, *addresses: str) -> None:
    """What the arguments say."""
    os.setgroups([])
    uid = APPLICATION_UID if kind == "mesh" else installation.SIDECAR_UID
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if kind == "mesh":
        try_on(Asking(addresses[0], int(port)).once, ASKING_SECONDS)
    else:
        try_on(Clear(addresses, int(port)).once, CLEAR_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])

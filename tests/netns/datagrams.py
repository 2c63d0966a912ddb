"""Applications that speak UDP, as sockets of this process in a pod."""

import socket
import threading
from contextlib import suppress
from types import TracebackType

from netns.sockets import in_pod


def udp(netns: str, port: int = 0, family: int = socket.AF_INET6) -> socket.socket:
    """A UDP socket inside the pod, of an application's user."""

    def opened() -> socket.socket:
        made = socket.socket(family, socket.SOCK_DGRAM)
        made.bind(("::" if family == socket.AF_INET6 else "0.0.0.0", port))
        made.settimeout(5)
        return made

    return in_pod(netns, opened)


class UdpEcho:
    """Sends each datagram back, and remembers who sent it."""

    def __init__(self, netns: str, port: int, family: int = socket.AF_INET6) -> None:
        self.peers: list[tuple[str, int]] = []
        self._socket = udp(netns, port, family)
        self._socket.settimeout(0.2)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._over.is_set():
            with suppress(TimeoutError):
                data, peer = self._socket.recvfrom(65_536)
                self.peers.append((str(peer[0]), int(peer[1])))
                self._socket.sendto(data, peer)

    def __enter__(self) -> "UdpEcho":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._socket.close()


TRIES = 10
"""How often a datagram may be lost on a machine whose CPUs are busy."""


def answered(
    asking: socket.socket, address: object, port: int, payload: bytes = b"ask", tries: int = 1
) -> bool:
    """Whether the payload comes back from where it was sent."""
    for _ in range(tries):
        asking.sendto(payload, (str(address), port))
        with suppress(TimeoutError):
            while True:
                data, peer = asking.recvfrom(65_536)
                # Something else is the late answer to what was asked before.
                if data == payload and (peer[0], peer[1]) == (str(address), port):
                    return True
    return False


def answered_in_turn(asking: socket.socket, payload: bytes, tries: int = 1) -> bool:
    """The same by a connected socket, which hears its peer alone."""
    for _ in range(tries):
        asking.send(payload)
        with suppress(TimeoutError):
            while True:
                if asking.recv(65_536) == payload:
                    return True
    return False

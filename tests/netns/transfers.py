"""An application that moves bytes while its connection of the mesh adapts."""

import hashlib
import socket
import threading
from typing import Any, cast

from netns.meshes import PORT, Running
from netns.sockets import listen


class Transfer:
    """Sends over one connection until it is ended, and checks what comes back."""

    def __init__(self, mesh: Running) -> None:
        self._connection = mesh.dial("client", "server", PORT)
        self._connection.settimeout(30)
        self._ended = threading.Event()
        self._sent, self._received = hashlib.sha256(), hashlib.sha256()
        self.bytes = [0, 0]
        self._threads = [threading.Thread(target=one) for one in (self._send, self._receive)]
        for thread in self._threads:
            thread.start()

    def _send(self) -> None:
        number = 0
        while not self._ended.is_set():
            block = number.to_bytes(8) * 2048
            self._connection.sendall(block)
            self._sent.update(block)
            self.bytes[0] += len(block)
            number += 1
        self._connection.shutdown(1)

    def _arriving(self) -> socket.socket:
        return self._connection

    def _receive(self) -> None:
        with self._arriving() as arriving:
            while block := arriving.recv(1 << 16):
                self._received.update(block)
                self.bytes[1] += len(block)

    def end(self) -> bool:
        """Whether everything arrived as it was sent."""
        self._ended.set()
        for thread in self._threads:
            thread.join(30)
        self._connection.close()
        return self._sent.digest() == self._received.digest() and self.bytes[0] == self.bytes[1]


class Upload(Transfer):
    """The same one way: the path there is the limit, and not what comes back."""

    def __init__(self, mesh: Running) -> None:
        self._listener = listen(mesh.pod("server").netns, PORT)
        super().__init__(mesh)

    def _arriving(self) -> socket.socket:
        with self._listener:
            accepted, _ = self._listener.accept()
        return accepted


def adaptation(mesh: Running) -> dict[str, Any]:
    (found,) = [
        c["adaptation"]
        for c in mesh.admin("client", "/connections")
        if c["spiffe_id"] == "spiffe://stoq.test/ns/demo/sa/server"
    ]
    return cast("dict[str, Any]", found)

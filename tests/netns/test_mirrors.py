"""A record is mirrored: its shadow hears what clients say, and nobody notices."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from signal import SIGKILL

import pytest

from lab import mirrors
from lab.mirrors import RECORD, SHADOW, WHOLE, Mirrored
from netns.meshes import PORT, Echo, Running, echoed, eventually, running
from netns.sockets import connect, listen


class Listener(Echo):
    """A shadow's application: keeps what each connection says to its end, and answers."""

    def __init__(self, mesh: Running) -> None:
        self.heard: list[bytes] = []
        super().__init__(mesh.pod("shadow"))

    def _echo(self, connection: socket.socket) -> None:
        said = b""
        with connection, suppress(OSError):
            connection.sendall(b"nobody hears this")
            while data := connection.recv(65536):
                said += data
                connection.sendall(data)
            self.heard.append(said)


@pytest.fixture(scope="module")
def mesh() -> Iterator[Running]:
    with running("client", "server", "shadow") as made:
        yield made


@pytest.fixture(scope="module")
def mirrored(mesh: Running) -> Mirrored:
    return Mirrored(mesh.mesh, mesh.pod("server"), mesh.pod("shadow"), PORT)


def mirror(mesh: Running, mirrored: Mirrored, share: int) -> None:
    mirrored.share(mesh.pod("client"), share)


def dial(mesh: Running, mirrored: Mirrored) -> socket.socket:
    client = mesh.pod("client")
    return connect(client.netns, mirrored.address(client), mirrors.PORT)


def say(mesh: Running, mirrored: Mirrored, messages: list[bytes]) -> None:
    """Each on a connection of its own; each has its own echo, and nothing else."""
    for message in messages:
        with dial(mesh, mirrored) as connection:
            assert echoed(connection, message)
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(1) == b""


def copies(mesh: Running, outcome: str, pod: str = "client") -> float:
    return mesh.metric(pod, f"stoq_mirrors_{outcome}_total")


def since(count: Callable[[], float]) -> Callable[[], float]:
    """How much it has grown since now."""
    before = count()
    return lambda: count() - before


def test_a_shadow_hears_its_share_of_what_is_said_to_a_record(
    mesh: Running, mirrored: Mirrored
) -> None:
    messages = [f"message {number}".encode() for number in range(60)]
    with Echo(mesh.pod("server")) as server, Listener(mesh) as shadow:
        mirror(mesh, mirrored, WHOLE // 2)
        say(mesh, mirrored, messages)
        assert server.accepted == 60
        assert eventually(lambda: mesh.metric("client", "stoq_mirrors") == 0)
        heard = len(shadow.heard)
        assert 10 < heard < 50
        assert set(shadow.heard) < set(messages), "whole, and not all of them"
        assert len(set(shadow.heard)) == heard, "each once"
        assert copies(mesh, "sent") == heard == copies(mesh, "received", "shadow")
        assert copies(mesh, "failed") + copies(mesh, "skipped") + copies(mesh, "dropped") == 0
        mirror(mesh, mirrored, 0)
        say(mesh, mirrored, messages[:10])
        assert len(shadow.heard) == heard


def test_a_policy_has_pods_send_copies_until_it_is_taken_away(
    mesh: Running, mirrored: Mirrored
) -> None:
    with Echo(mesh.pod("server")), Listener(mesh) as shadow:
        spec = {"mirrors": [{"of": RECORD, "to": SHADOW, "share": WHOLE}]}
        policy = mesh.mesh.write("TransportPolicy", "copy", spec)
        mirrored.wait_until_told(mesh.pod("client"), WHOLE)
        say(mesh, mirrored, [b"one", b"two"])
        assert eventually(lambda: sorted(shadow.heard) == [b"one", b"two"])
        policy.unlink()
        mirrored.wait_until_told(mesh.pod("client"), 0)
        say(mesh, mirrored, [b"three"])
        assert len(shadow.heard) == 2


def test_a_shadow_that_does_not_read_loses_its_copy_and_the_client_nothing(
    mesh: Running, mirrored: Mirrored
) -> None:
    dropped = since(lambda: copies(mesh, "dropped"))
    mirror(mesh, mirrored, WHOLE)
    deaf = listen(mesh.pod("shadow").netns, PORT)
    with deaf, Echo(mesh.pod("server")), dial(mesh, mirrored) as connection:
        connection.settimeout(30)
        said = b"x" * 40_000_000
        writer = threading.Thread(target=connection.sendall, args=(said,))
        writer.start()
        received = 0
        while received < len(said):
            received += len(connection.recv(1 << 20))
        writer.join()
        assert eventually(lambda: dropped() == 1)


def test_a_shadow_that_dies_is_left_alone_and_the_client_notices_nothing(
    mesh: Running, mirrored: Mirrored
) -> None:
    mirror(mesh, mirrored, WHOLE)
    with Echo(mesh.pod("server")) as server:
        failed = since(lambda: copies(mesh, "failed"))
        skipped = since(lambda: copies(mesh, "skipped"))
        mesh.mesh.sidecars["shadow"].stop(number=SIGKILL)
        for _ in range(20):
            began = time.monotonic()
            say(mesh, mirrored, [b"nobody else hears this"])
            assert time.monotonic() - began < 5, "as long as the shadow is dialled for"
        assert server.accepted == 20
        assert eventually(lambda: failed() > 0)

        def left_alone() -> bool:
            # For a second at first, and longer after each copy that is begun behind it.
            say(mesh, mirrored, [b"nor this"])
            return skipped() > 0

        assert eventually(left_alone)

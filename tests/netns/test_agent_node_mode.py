"""Capture mode `node`: the control process plays the broker."""

import threading
from collections.abc import Iterator
from signal import SIGKILL

import pytest

from lab.mesh import MeshSettings
from netns.meshes import PORT, Echo, Running, echoed, eventually, running
from netns.sockets import connect


@pytest.fixture
def mesh() -> Iterator[Running]:
    settings = MeshSettings(capture="node")
    with running("client", "server", settings=settings) as made, Echo(made.pod("server")):
        yield made


def test_a_sidecar_without_any_privilege_carries_traffic(mesh: Running) -> None:
    assert mesh.reaches("client", "server")
    peers = {c["spiffe_id"] for c in mesh.admin("client", "/connections")}
    assert "spiffe://stoq.test/ns/demo/sa/server" in peers


def test_connections_made_while_the_sidecar_restarts_are_served_by_its_successor(
    mesh: Running,
) -> None:
    client, server = mesh.pod("client"), mesh.pod("server")
    mesh.mesh.sidecars["client"].stop(number=SIGKILL)
    with connect(client.netns, server.ipv6, PORT) as waiting:
        outcome: list[bool] = []
        waiting.settimeout(30)

        def ask() -> None:
            waiting.sendall(b"patience")
            outcome.append(waiting.recv(100) == b"patience")

        asking = threading.Thread(target=ask)
        asking.start()
        mesh.mesh.start_sidecar(client)
        mesh.mesh.wait_ready([client])
        asking.join()
    assert outcome == [True]


def test_a_captured_server_whose_sidecar_restarts_is_reached_again(mesh: Running) -> None:
    with mesh.dial("client", "server") as connection:
        assert echoed(connection)
        mesh.mesh.sidecars["server"].stop(number=SIGKILL)
        mesh.mesh.start_sidecar(mesh.pod("server"))
        mesh.mesh.wait_ready([mesh.pod("server")])
        # The successor does not know the old connection and says so: a reset, not silence.
        connection.settimeout(30)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            for _ in range(50):
                connection.sendall(b"to nobody")
                if connection.recv(100) == b"":
                    raise ConnectionResetError
    assert eventually(lambda: mesh.reaches("client", "server"))

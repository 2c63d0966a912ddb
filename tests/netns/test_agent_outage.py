"""The control plane dies and comes back; sidecars die and come back."""

from signal import SIGKILL, SIGTERM

import pytest

from lab.mesh import MeshSettings
from netns.meshes import Echo, echoed, eventually, running
from netns.witness import Witness
from support.patience import PATIENCE, quickly


def test_known_peers_go_on_without_the_control_plane_and_changes_follow_its_return() -> None:
    with (
        running("client", "server") as mesh,
        Echo(mesh.pod("server")),
        mesh.dial("client", "server") as connection,
    ):
        assert echoed(connection)
        assert mesh.mesh.control is not None
        mesh.mesh.control.stop(number=SIGKILL)
        # A killed process says no goodbye: the stream ends with the connection's silence.
        assert echoed(connection), "an existing connection"
        assert mesh.reaches("client", "server"), "a new connection"
        mesh.mesh.start_control()
        assert eventually(lambda: mesh.metric("client", "stoq_registry_stale") == 0)
        assert echoed(connection), "an existing connection, later"


def test_a_registry_that_ends_is_noticed_at_once_and_its_state_kept() -> None:
    with running("client", "server") as mesh, Echo(mesh.pod("server")):
        assert mesh.mesh.control is not None
        mesh.mesh.control.stop(number=SIGTERM)
        assert eventually(lambda: mesh.metric("client", "stoq_registry_stale") == 1)
        assert mesh.metric("client", "stoq_ready") == 1
        assert mesh.reaches("client", "server")


def test_a_killed_sidecar_stops_its_pod_and_leaks_nothing() -> None:
    secret = b"bytes of an application whose sidecar was killed"
    with running("client", "server") as mesh, Echo(mesh.pod("server")):
        with mesh.dial("client", "server") as connection:
            assert echoed(connection)
            with Witness(mesh.pod("client").netns) as witness:
                mesh.mesh.sidecars["client"].stop(number=SIGKILL)
                assert not echoed(connection, secret)
                assert not mesh.reaches("client", "server")
                seen = witness.packets(0.3)
        assert not [p for p in seen if secret in p.data]
        assert not [p for p in seen if p.protocol == 6]
        mesh.mesh.start_sidecar(mesh.pod("client"))
        mesh.mesh.wait_ready([mesh.pod("client")])
        # The server's sidecar may wait for the dead connection's silence; ours dials anew.
        assert eventually(lambda: mesh.reaches("client", "server"))


@pytest.mark.alone
@pytest.mark.parametrize("idle", [True, False])
def test_sigterm_ends_within_two_seconds(idle: bool) -> None:
    with running("client", "server") as mesh, Echo(mesh.pod("server")):
        for attempt in quickly(1.5 if idle else 3.0):
            if attempt.number:
                mesh.mesh.start_sidecar(mesh.pod("client"))
                mesh.mesh.wait_ready([mesh.pod("client")])
            assert eventually(lambda: mesh.reaches("client", "server"))
            with mesh.dial("client", "server") as connection:
                assert echoed(connection)
                if idle:
                    connection.close()
                    assert eventually(lambda: mesh.metric("client", "stoq_tcp_sockets_open") == 0)
                with attempt:
                    assert mesh.mesh.sidecars["client"].stop(timeout=PATIENCE) == 0


def test_drain_lets_open_connections_finish_and_takes_no_new_ones() -> None:
    settings = MeshSettings(environment={"STOQ_SHUTDOWN_DRAIN_SECONDS": "20"})
    with running("client", "server", settings=settings) as mesh, Echo(mesh.pod("server")):
        with mesh.dial("client", "server") as connection:
            assert echoed(connection)
            url = "http://[::1]:14000/drain"
            assert mesh.page("client", url, "-X", "POST") == (202, "draining\n")
            assert mesh.page("client", "http://[::1]:14020/healthz/ready")[0] == 503
            assert not mesh.reaches("client", "server")
            assert echoed(connection, b"still here")
        assert eventually(lambda: not mesh.mesh.sidecars["client"].running())

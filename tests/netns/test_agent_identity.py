"""Who a pod is, to the rest of the mesh: renewal, and identities that do not fit."""

import time
from signal import SIGHUP

from lab.mesh import MeshSettings
from netns.meshes import PORT, Echo, Running, echoed, eventually, running
from netns.witness import Witness


def expiry(mesh: Running, pod: str) -> float:
    return mesh.metric(pod, "stoq_identity_cert_expiration_timestamp_seconds")


def test_an_svid_is_renewed_at_half_its_life_and_connections_stay() -> None:
    settings = MeshSettings(svid_ttl_seconds=20)
    with running("client", "server", settings=settings) as mesh, Echo(mesh.pod("server")) as server:
        first = expiry(mesh, "client")
        with mesh.dial("client", "server") as connection:
            assert echoed(connection)
            assert eventually(lambda: expiry(mesh, "client") > first)
            assert eventually(lambda: expiry(mesh, "server") > first)
            assert echoed(connection, b"over the same connection")
        assert server.accepted == 1
        assert mesh.metric("client", "stoq_identity_cert_refreshes_total", result="error") == 0


def test_a_transfer_outlives_the_svids_it_began_with() -> None:
    # Half of it is there for a renewal on a busy machine.
    settings = MeshSettings(svid_ttl_seconds=20)
    pods = ("client", "server")
    with running(*pods, settings=settings) as mesh, Echo(mesh.pod("server")) as server:
        first = max(expiry(mesh, pod) for pod in pods)
        with mesh.dial("client", "server") as connection:
            rounds = 0

            def goes_on_until_the_first_are_over() -> bool:
                nonlocal rounds
                assert echoed(connection, b"x" * 50_000), f"broken after {rounds} rounds"
                rounds += 1
                accepted = "stoq_reauthentications_accepted_total"
                renewed = all(mesh.metric(pod, accepted) >= 3 for pod in pods)
                return renewed and time.time() > first + 1

            assert eventually(goes_on_until_the_first_are_over), f"{rounds} rounds"
        assert server.accepted == 1
        for pod in pods:
            assert mesh.metric(pod, "stoq_reauthentications_refused_total") == 0
            assert mesh.metric(pod, "stoq_connections_closed_total", code="expired") == 0


def test_hangup_reloads_and_renews() -> None:
    with running("client") as mesh:
        first = mesh.admin("client", "/config")["identity"]["renewals"]
        mesh.mesh.sidecars["client"].signal(SIGHUP)
        renewed = lambda: mesh.admin("client", "/config")["identity"]["renewals"] > first  # noqa: E731
        assert eventually(renewed)
        assert "reloaded" in mesh.mesh.sidecars["client"].tail()


def test_a_pod_at_an_address_that_the_registry_binds_to_another_is_refused() -> None:
    with running("client", "server", "thief") as mesh, Echo(mesh.pod("thief")):
        assert mesh.reaches("client", "thief")
        # From now on the registry says that the server lives where the thief answers. The thief's
        # certificate is valid, of the mesh, and not the server's.
        thief = mesh.pod("thief")
        mesh.mesh.write("Workload", "thief", spec(mesh, "thief", str(mesh.pod("server").ipv4)))
        mesh.mesh.write("Workload", "server", spec(mesh, "server", str(thief.ipv6)))
        # Between the two the address was nobody's, and could be reached without the mesh.
        refused = lambda: mesh.metric("client", "stoq_handshakes_failed_total") >= 1  # noqa: E731
        assert eventually(lambda: not mesh.reaches("client", "thief") and refused())
        with Witness(thief.netns) as witness:
            assert not mesh.reaches("client", "thief")
            time.sleep(0.2)
            assert not [p for p in witness.tcp() if PORT in (p.source_port, p.destination_port)]


def test_a_wrong_token_gets_no_identity_and_the_reason_is_shown() -> None:
    with running("client") as mesh:
        token = mesh.state.folder / "pods" / "client" / "token"
        mesh.mesh.sidecars["client"].stop()
        token.write_text("somebody else's")
        mesh.mesh.start_sidecar(mesh.pod("client"))
        ready = "http://[::1]:14020/healthz/ready"
        refused = "refuses this pod (demo/client as spiffe://stoq.test/ns/demo/sa/client)"

        def blocked() -> bool:
            try:
                status, body = mesh.page("client", ready)
            except Exception:
                return False
            return status == 503 and refused in body

        assert eventually(blocked)


def spec(mesh: Running, name: str, address: str) -> dict[str, object]:
    return {"addresses": [address], "serviceAccount": name}

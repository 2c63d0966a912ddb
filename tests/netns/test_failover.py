"""A service of three endpoints, one of which is killed: its clients do not notice."""

import socket
import time
from collections.abc import Iterator
from signal import SIGKILL

import pytest

from netns.meshes import PORT, Echo, Running, echoed, eventually, running
from netns.sockets import connect

SERVERS = ("one", "two", "three")

pytestmark = pytest.mark.timeout(300)
"""An endpoint that fails again while its clients are slow is ejected for twice as long."""

EJECTED = 100.0
"""Seconds that it takes to be used again, at most: longer than it is ejected after a few times."""


class Greeter(Echo):
    """Speaks first, as mail and database servers do."""

    def _echo(self, connection: socket.socket) -> None:
        connection.sendall(b"welcome")
        super()._echo(connection)


@pytest.fixture(scope="module")
def mesh() -> Iterator[Running]:
    with running("client", *SERVERS) as made:
        endpoints = [{"address": str(made.pod(name).ipv6)} for name in SERVERS]
        spec = {"ports": [{"port": 80, "targetPort": PORT}], "endpoints": endpoints}
        made.mesh.write("ServiceRecord", "echo", spec)
        assert eventually(lambda: bool(made.mesh.vips(made.pod("client"), "echo")))
        yield made


def calls(mesh: Running, count: int) -> int:
    """How many of `count` new connections to the service work."""
    (address,) = mesh.mesh.vips(mesh.pod("client"), "echo")
    worked = 0
    for _ in range(count):
        with connect(mesh.pod("client").netns, address, 80) as connection:
            worked += echoed(connection)
    return worked


def metric(mesh: Running, name: str) -> float:
    return mesh.counted("client", name, destination_service_name="echo")


def test_an_application_that_dies_is_ejected_unnoticed_and_comes_back(mesh: Running) -> None:
    one, two, three = (Echo(mesh.pod(name)) for name in SERVERS)
    with one, two:
        with three:
            assert calls(mesh, 60) == 60
            assert all(server.accepted > 5 for server in (one, two, three))

        def after_a_call(name: str) -> float:
            assert calls(mesh, 1) == 1, "one of three is gone"
            return metric(mesh, name)

        assert eventually(lambda: after_a_call("stoq_endpoint_ejections_total") > 0)
        assert metric(mesh, "stoq_endpoint_ejections_total") == 1
        assert metric(mesh, "stoq_endpoint_failovers_total") == 3
        # Seconds later its first time may be over.
        assert eventually(lambda: after_a_call("stoq_endpoints_ejected") == 1)
        assert calls(mesh, 60) == 60, "one of three is gone"
        ejections = metric(mesh, "stoq_endpoint_ejections_total")
        failovers = metric(mesh, "stoq_endpoint_failovers_total")
        assert failovers == ejections + 2, "three to the first, and one to each later one"
        with Echo(mesh.pod("three")) as again:

            def is_used() -> bool:
                assert calls(mesh, 5) == 5
                return again.accepted > 0

            assert eventually(is_used, EJECTED), "it is used again when its time is over"
            assert eventually(lambda: metric(mesh, "stoq_endpoints_ejected") == 0)


def test_a_pod_that_dies_whole_is_ejected_unnoticed_and_comes_back(mesh: Running) -> None:
    (address,) = mesh.mesh.vips(mesh.pod("client"), "echo")

    def greeted() -> bool:
        with connect(mesh.pod("client").netns, address, 80) as connection:
            connection.settimeout(30)
            return connection.recv(100) == b"welcome"

    one, two, three = (Greeter(mesh.pod(name)) for name in SERVERS)
    with one, two, three:
        assert all(greeted() for _ in range(30))
        assert three.accepted > 0, "there is a connection to its sidecar"
        mesh.mesh.sidecars["three"].stop(number=SIGKILL)
        time.sleep(1.5)  # what was heard a moment ago is not suspected
        failed_over = metric(mesh, "stoq_endpoint_failovers_total")

        def ejected() -> bool:
            assert greeted()
            return metric(mesh, "stoq_endpoints_ejected") == 1

        assert eventually(ejected)
        assert metric(mesh, "stoq_endpoint_failovers_total") > failed_over
        assert all(greeted() for _ in range(30))
        mesh.mesh.start_sidecar(mesh.pod("three"))
        mesh.mesh.wait_ready([mesh.pod("three")])
        before = three.accepted
        assert eventually(lambda: greeted() and three.accepted > before, EJECTED)
        assert eventually(lambda: metric(mesh, "stoq_endpoints_ejected") == 0)

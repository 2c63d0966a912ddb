"""Probes from the node into a strict pod whose own settings declare the ports."""

from collections.abc import Iterator

import pytest

from lab.mesh import MeshSettings
from netns.meshes import PORT, Echo, Running, echoed, running
from netns.sockets import connect

OTHER_PORT = 8081
CLOSED_PORT = 8082


@pytest.fixture(scope="module", params=["init", "node"])
def mesh(request: pytest.FixtureRequest) -> Iterator[Running]:
    """With stoq-init declared ports are let through by the kernel; elsewhere the engine does it."""
    declared = {"STOQ_CAPTURE_PROBE_PORTS": f"{PORT},{CLOSED_PORT}"}
    settings = MeshSettings(inbound="strict", capture=request.param, environment=declared)
    with (
        running("server", settings=settings) as made,
        Echo(made.pod("server")),
        Echo(made.pod("server"), OTHER_PORT),
    ):
        yield made


def reached(made: Running, source: str, address: object, port: int) -> bool:
    try:
        with connect(source, address, port) as connection:
            return echoed(connection)
    except OSError:
        return False


@pytest.mark.parametrize("family", ["ipv6", "ipv4"])
def test_the_gateway_reaches_a_declared_port_and_no_other(mesh: Running, family: str) -> None:
    address = getattr(mesh.pod("server"), family)
    before = mesh.metric("server", "stoq_plaintext_probes_total")
    assert reached(mesh, mesh.layout.fabric, address, PORT)
    counted = mesh.metric("server", "stoq_plaintext_probes_total") - before
    assert counted == (mesh.mesh.settings.capture == "node")
    assert not reached(mesh, mesh.layout.fabric, address, OTHER_PORT)


@pytest.mark.parametrize("mesh", ["init"], indirect=True)
@pytest.mark.parametrize("family", ["ipv6", "ipv4"])
def test_the_gateway_sees_that_nobody_listens_on_a_declared_port(
    mesh: Running, family: str
) -> None:
    with pytest.raises(ConnectionRefusedError):
        connect(mesh.layout.fabric, getattr(mesh.pod("server"), family), CLOSED_PORT)


def test_a_pod_without_a_sidecar_reaches_neither(mesh: Running) -> None:
    for port in (PORT, OTHER_PORT):
        assert not reached(mesh, mesh.pod("outside").netns, mesh.pod("server").ipv6, port)

"""Probes from the node into a strict pod whose own settings declare the ports."""

from collections.abc import Iterator

import pytest

from lab.mesh import MeshSettings
from netns.meshes import PORT, Echo, Running, echoed, running
from netns.sockets import connect

OTHER_PORT = 8081


@pytest.fixture(scope="module")
def mesh() -> Iterator[Running]:
    settings = MeshSettings(inbound="strict", environment={"STOQ_CAPTURE_PROBE_PORTS": str(PORT)})
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
    assert mesh.metric("server", "stoq_plaintext_probes_total") == before + 1
    assert not reached(mesh, mesh.layout.fabric, address, OTHER_PORT)


def test_a_pod_without_a_sidecar_reaches_neither(mesh: Running) -> None:
    for port in (PORT, OTHER_PORT):
        assert not reached(mesh, mesh.pod("outside").netns, mesh.pod("server").ipv6, port)

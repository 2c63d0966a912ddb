"""The applications' UDP in capture mode `node`: by address, by Service and by record."""

from collections.abc import Iterator

import pytest

from cluster.access import Cluster, stoqctl
from cluster.capturing import RESTRICTED
from cluster.datagrams import PORT, PYTHON, asked, echo, speaking
from cluster.mesh import Mesh, checked, eventually
from cluster.pods import service
from cluster.test_mesh_records import record
from cluster.witness import Witness

pytestmark = pytest.mark.timeout(900)

ELSEWHERE = 9100


@pytest.fixture(scope="module")
def bank(capturing: Mesh) -> Iterator[Cluster]:
    """Pods on two nodes; `far` lets in nobody from outside the mesh, `plain` captures no UDP."""
    with capturing.namespace(RESTRICTED) as found:
        first, second = found.nodes()[:2]
        ports = [{"name": "udp", "port": ELSEWHERE, "targetPort": PORT, "protocol": "UDP"}]
        found.apply(
            speaking("client", node=first),
            echo("near", first),
            echo("far", second, inbound="strict"),
            echo("plain", second, capture_udp="off"),
            service("far", ports=[*ports, {"name": "tcp", "port": ELSEWHERE, "targetPort": 8080}]),
            record("echo", ports=ports, selector={"matchLabels": {"app": "far"}}),
        )
        found.ready("client", "near", "far", "plain")
        yield found


def test_datagrams_of_any_size_go_encrypted_from_the_clients_own_address(
    bank: Cluster, witness: Witness
) -> None:
    own = bank.addresses("client")
    for name in ("near", "far"):
        for address in bank.addresses(name):
            for size in (0, 16, 1400, 20_000):
                assert asked(bank, "client", address, size=size) in own, (name, address, size)
    assert set(bank.addresses("client") + bank.addresses("far")) <= witness.meshed()
    assert witness.plaintext() == {}


def test_udp_ports_of_services_and_records_lead_to_their_endpoints(
    bank: Cluster, witness: Witness
) -> None:
    own = bank.addresses("client")
    (address,) = bank.get("service", "far")["spec"]["clusterIPs"][:1]
    vip = eventually(lambda: str(bank.get("stoqsr", "echo")["status"]["vip"]))
    for host in (address, vip, "far", f"echo.{bank.namespace}.stoq"):
        assert eventually(lambda host=host: asked(bank, "client", host, ELSEWHERE)) in own, host
    assert witness.plaintext() == {}


def test_names_are_still_resolved_by_the_sidecar(bank: Cluster) -> None:
    ask = "import socket; print('Address', socket.getaddrinfo('kubernetes.default.svc', 443))"
    assert "Address" in eventually(lambda: bank.execute("client", PYTHON, "-c", ask))


def test_a_meshed_pod_that_captures_no_udp_is_not_reached_in_the_clear(
    bank: Cluster, witness: Witness
) -> None:
    assert asked(bank, "client", bank.addresses("plain")[0], tries=2) == ""
    assert witness.plaintext() == {}


def test_a_strict_pod_hears_nobody_from_outside_the_mesh(capturing: Mesh, bank: Cluster) -> None:
    with capturing.namespace(enrolled=False) as outside:
        outside.apply(speaking("stranger"))
        outside.ready("stranger")
        near, far = bank.addresses("near")[0], bank.addresses("far")[0]
        assert asked(outside, "stranger", near) in outside.addresses("stranger")
        assert asked(outside, "stranger", far, tries=2) == ""


def test_stoqctl_says_that_udp_is_captured_and_for_whom_it_is_not(
    capturing: Mesh, bank: Cluster
) -> None:
    assert f"{bank.namespace}/plain" in checked(capturing.cluster, "-n", bank.namespace)
    _, said = stoqctl(capturing.cluster, "status", f"{bank.namespace}/plain")
    assert "not captured" in said

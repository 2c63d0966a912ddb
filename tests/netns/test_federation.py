"""Two meshes with a trust domain, a registry and a gateway each, joined by the gateways."""

from collections.abc import Iterator

import pytest

from lab.mesh import Mesh, MeshSettings
from netns.meshes import PORT, Echo, Running, echoed, eventually, running
from netns.sockets import connect
from netns.test_hops import apart, vips

PODS = ("near", "far", "server", "abroad")
"""Of which `far`, `server` and the control process `abroad` are the other mesh's."""

GATEWAYS = ("near", "far")
ROUTES = "stoq_routes_opened_total"


@pytest.fixture(scope="module")
def meshes() -> Iterator[tuple[Running, Mesh]]:
    here = MeshSettings(trust_domain="one.test")
    with running("client", settings=here, prepare=apart, also=PODS) as made:
        near, far, server, abroad = map(made.pod, PODS)
        one = made.mesh
        two = Mesh(made.state, abroad, MeshSettings(trust_domain="two.test"), "two")
        two.start_control()
        one.enrol(near)
        for pod in (far, server):
            two.enrol(pod)
        trust(one, two)
        trust(two, one)
        behind = {"spiffeId": two.spiffe_id(far), "networks": [f"{server.ipv6}/128"]}
        passes = {
            "next": two.spiffe_id(far),
            "from": "spiffe://one.test",
            "to": "spiffe://two.test",
        }
        one.write(
            "HopGateway",
            "near",
            {"spiffeId": one.spiffe_id(near), "forwards": [passes]},
            namespaced=False,
        )
        elsewhere = behind | {"endpoints": [{"address": str(far.ipv6)}]}
        one.write("HopGateway", "far", elsewhere, namespaced=False)
        ends = {
            "from": one.spiffe_id(near),
            "origin": one.spiffe_id(made.pod("client")),
            "to": two.spiffe_id(server),
        }
        two.write("HopGateway", "far", behind | {"forwards": [ends]}, namespaced=False)
        one.write(
            "ServiceRecord",
            "far",
            {
                "ports": [{"port": 80, "targetPort": PORT}],
                "endpoints": [{"address": str(server.ipv6)}],
                "spiffeIds": [two.spiffe_id(server)],
                "hops": [{"gateways": ["near", "far"]}],
            },
        )
        one.start_gateway(near)
        two.start_gateway(far)
        two.start_sidecar(server)
        one.wait_ready([near])
        two.wait_ready([far, server])
        assert eventually(lambda: bool(vips(made)))
        yield made, two


def trust(mesh: Mesh, other: Mesh) -> None:
    """Tells a mesh the roots of the other one."""
    bundle = {"trustDomain": other.settings.trust_domain, "bundle": other.bundle.read_text()}
    mesh.configure(federated=[bundle])


def test_the_ends_prove_themselves_over_both_gateways_and_no_longer_once_trust_is_gone(
    meshes: tuple[Running, Mesh],
) -> None:
    mesh, two = meshes
    client, server = mesh.pod("client"), mesh.pod("server")
    (vip,) = vips(mesh)
    with Echo(server), connect(client.netns, vip, 80) as connection:
        assert echoed(connection, b"from one mesh to the other" * 1000)
        found = [one["spiffe_id"] for one in mesh.admin("server", "/connections")]
        assert mesh.mesh.spiffe_id(client) in found
        opened = [mesh.metric(gateway, ROUTES) for gateway in GATEWAYS]
        # More than one where a busy machine was late with the first handshake over both.
        assert all(count >= 1 for count in opened)
        with connect(client.netns, vip, 80) as another:
            assert echoed(another)
        shared = [mesh.metric(gateway, ROUTES) for gateway in GATEWAYS]
        assert shared == opened, "they share a route"
        two.configure()
        assert eventually(lambda: not echoed(connection))

"""Two pods without a route to each other, and a gateway that both can reach."""

from collections.abc import Iterator

import pytest

from lab import netns
from lab.command import CommandError
from netns.meshes import PORT, Echo, Running, echoed, eventually, running
from netns.sockets import connect

ENDS_OF_A_LEG = ("client", "gateway")


def apart(mesh: Running) -> None:
    """The node's bridge carries nothing between client and server; all else it does."""
    for name in ("client", "server"):
        port = mesh.pod(name).port
        netns.run_in(mesh.layout.fabric, ["bridge", "link", "set", "dev", port, "isolated", "on"])


@pytest.fixture(scope="module")
def mesh() -> Iterator[Running]:
    with running("client", "server", prepare=apart, also=("gateway",)) as made:
        gateway, server = made.pod("gateway"), made.pod("server")
        identity = made.mesh.spiffe_id(gateway)
        made.mesh.enrol(gateway)
        made.mesh.start_gateway(gateway)
        made.mesh.write(
            "HopGateway",
            "between",
            {
                "spiffeId": identity,
                "networks": [f"{server.ipv6}/128"],
                "forwards": [{"from": "*", "to": made.mesh.spiffe_id(server)}],
            },
            namespaced=False,
        )
        made.mesh.write(
            "ServiceRecord",
            "far",
            {
                "ports": [{"port": 80, "targetPort": PORT}],
                "endpoints": [{"address": str(server.ipv6)}],
                "hops": [{"gateways": ["between"]}],
            },
        )
        made.mesh.wait_ready([gateway])
        assert eventually(lambda: bool(vips(made)))
        yield made


def vips(mesh: Running) -> list[str]:
    services = mesh.admin("client", "/config")["registry"]["services"]
    return [vip for key in services if key.endswith("/far") for vip in services[key]["vips"]]


def test_a_record_is_reached_over_the_gateway_alone_and_the_ends_know_each_other(
    mesh: Running,
) -> None:
    client, server = mesh.pod("client"), mesh.pod("server")
    with pytest.raises(CommandError):
        netns.run_in(client.netns, ["ping", "-6", "-c1", "-W1", str(server.ipv6)])
    (vip,) = vips(mesh)
    with Echo(server) as echo, connect(client.netns, vip, 80) as connection:
        assert echoed(connection, b"over the gateway" * 10_000)
        assert echo.accepted == 1
        found = [one["spiffe_id"] for one in mesh.admin("server", "/connections")]
        assert mesh.mesh.spiffe_id(client) in found
        assert mesh.reaches("client", "server"), "its own address leads over the gateway too"
    assert mesh.metric("gateway", "stoq_routes_opened_total") >= 1
    assert mesh.metric("gateway", "stoq_hop_bytes_total") > 300_000
    assert mesh.metric("client", "stoq_routes_opened_total") == 0


def test_packets_go_beside_the_tunnel_both_ways_and_arrive_whole(mesh: Running) -> None:
    (vip,) = vips(mesh)

    def beside() -> list[float]:
        return [mesh.metric(name, "stoq_hop_forwarded_packets_total") for name in ENDS_OF_A_LEG]

    def given_up() -> float:
        return mesh.metric("client", "stoq_hop_forwarded_given_up_total")

    with Echo(mesh.pod("server")), connect(mesh.pod("client").netns, vip, 80) as connection:

        def undoubted() -> bool:
            """Who is not answered for a second, as on a busy machine, gives up and begins anew."""
            doubts, went = given_up(), beside()
            assert echoed(connection, b"beside the tunnel" * 10_000)
            grown = [now > before for now, before in zip(beside(), went, strict=True)]
            return all(grown) and given_up() == doubts

        assert eventually(undoubted)


def test_nothing_is_captured_or_answered_at_the_gateway(mesh: Running) -> None:
    gateway = mesh.pod("gateway")
    for port in (14001, 14006, 14053):
        with pytest.raises(ConnectionRefusedError):
            connect(mesh.pod("outside").netns, gateway.ipv6, port)


def test_rules_that_change_end_what_they_no_longer_let_pass(mesh: Running) -> None:
    server = mesh.pod("server")
    (vip,) = vips(mesh)
    with Echo(server), connect(mesh.pod("client").netns, vip, 80) as connection:
        assert echoed(connection)
        spec = {
            "spiffeId": mesh.mesh.spiffe_id(mesh.pod("gateway")),
            "networks": [str(server.ipv6)],
        }
        mesh.mesh.write("HopGateway", "between", spec, namespaced=False)
        assert eventually(lambda: not echoed(connection))
        assert not mesh.reaches("client", "server")
    assert mesh.metric("gateway", "stoq_routes_refused_total") >= 1

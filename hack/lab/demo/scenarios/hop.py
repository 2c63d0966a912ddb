"""Two pods without a route to each other, and a gateway between them that cannot read a byte."""

from contextlib import suppress
from typing import Final

from lab import apps, netns
from lab.command import CommandError
from lab.demo import files, traffic
from lab.demo.report import Check, Table, size
from lab.demo.scenario import Scenario
from lab.demo.stage import Stage
from lab.mesh import Mesh, MeshSettings
from lab.plan import Pod

FILES: Final = (1_000_000, 20_000_000)
"""Bytes: one that fits into the window of a new connection, and one that does not."""

PACKETS: Final = "stoq_hop_packets_total"
BYTES: Final = "stoq_hop_bytes_total"
ROUTES: Final = "stoq_routes_opened_total"
STREAMED: Final = "stoq_hop_streamed_packets_total"


def play(stage: Stage) -> None:
    """Everything, in the order in which it happens."""
    client, server, gateway = map(stage.pod, ("client", "server", "gateway"))
    stage.build()
    stage.progress("parting client and server: the bridge carries nothing between them")
    for pod in (client, server):
        isolate = ["bridge", "link", "set", "dev", pod.port, "isolated", "on"]
        netns.run_in(stage.plan.fabric, isolate)
    settings = MeshSettings(inbound="strict", outbound="meshOnly")
    mesh = stage.start_mesh([server, client], settings)
    mesh.enrol(gateway)
    _lead(mesh, gateway, server)
    stage.progress("starting the gateway")
    mesh.start_gateway(gateway)
    mesh.wait_ready([gateway])
    stage.check(parted_check(_pinged(client, server), _pinged(gateway, server)))
    folder = stage.state.folder / "files"
    folder.mkdir()
    apps.nginx(stage.state, server, folder)
    small, large = (
        files.marked(folder, str(length), length, stage.marker.encode()) for length in FILES
    )
    stage.check(traffic.fetch(client, server, small))
    stage.search()
    # Of so many bytes the witness would miss some: of the large one it takes what is not STOQ.
    stage.check(traffic.fetch(client, server, large))
    stage.count()
    counted = {name: mesh.total(gateway, name) for name in (ROUTES, PACKETS, BYTES, STREAMED)}
    stage.check(carried_check(counted, sum(FILES)))
    rows = [[name, f"{value:.0f}"] for name, value in counted.items()]
    stage.tables.append(Table("What the gateway has counted", ("metric", "value"), rows))
    stage.evidence(mesh, [server, client, gateway])
    url = f"http://[{server.ipv6}]:{apps.HTTP_PORT}/{FILES[0]}"
    stage.hints += [
        f"ip netns exec {client.netns} curl -o /dev/null -w '%{{speed_download}}\\n' {url}",
        f"ip netns exec {client.netns} ping -c1 {server.ipv6}   # no route",
    ]


def _lead(mesh: Mesh, gateway: Pod, server: Pod) -> None:
    """Writes what leads over the gateway: who it is, what is behind it, and what is reached so."""
    between = {
        "spiffeId": mesh.spiffe_id(gateway),
        "networks": [f"{server.ipv6}/128"],
        "forwards": [{"from": "*", "to": mesh.spiffe_id(server)}],
    }
    mesh.write("HopGateway", "between", between, namespaced=False)
    far = {
        "ports": [{"port": apps.HTTP_PORT}],
        "endpoints": [{"address": str(server.ipv6)}],
        "hops": [{"gateways": ["between"]}],
    }
    mesh.write("ServiceRecord", "far", far)


def _pinged(source: Pod, destination: Pod) -> bool:
    with suppress(CommandError):
        netns.run_in(source.netns, ["ping", "-6", "-c1", "-W1", str(destination.ipv6)])
        return True
    return False


def parted_check(directly: bool, beside: bool) -> Check:  # noqa: FBT001 - two answers of ping
    """The client cannot reach the server by itself, and the gateway can."""
    reached = {True: "answers", False: "does not answer"}
    detail = f"the server {reached[directly]} the client, and {reached[beside]} the gateway"
    return Check("no route", not directly and beside, detail)


def carried_check(counted: dict[str, float], least: int) -> Check:
    """All of it has gone over the gateway."""
    routes, carried = counted[ROUTES], counted[BYTES]
    detail = f"{routes:.0f} routes, {size(carried)} in {counted[PACKETS]:.0f} packets"
    return Check("over the gateway", routes > 0 and carried > least, detail)


SCENARIO: Final = Scenario(
    summary="curl to a pod that has no route to it, over a gateway that cannot read it",
    pods=("client", "server", "gateway", "control"),
    play=play,
    programs=("bridge", "nginx", "ping", "ss"),
)

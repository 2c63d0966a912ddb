"""Ours: the real sidecars with the real control process, started as hack/demo starts them."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from benchlib.candidates.base import Bench, Candidate, HandshakeLoad, IdlePeers, Route
from benchlib.network import Network, Side
from benchlib.settings import SCENARIOS
from lab.mesh import Mesh, MeshSettings
from lab.process import Process

STOQ_PORT = 14008


class Stoq(Candidate, HandshakeLoad, IdlePeers):
    """Transparent: the client dials the application's own address."""

    name: ClassVar[str] = "stoq"
    title: ClassVar[str] = "**STOQ**"
    scenarios: ClassVar[frozenset[str]] = frozenset(SCENARIOS)
    lanes: ClassVar[int] = 1  # connections of an object
    environment: ClassVar[Mapping[str, str]] = {}  # settings of the sidecars

    @contextlib.contextmanager
    def route(self, bench: Bench, port: int) -> Iterator[Route]:
        """Control process, then both sidecars; all end with the namespaces."""
        network = bench.network
        # UDP is captured by the broker's sockets alone.
        capture = "node" if bench.settings.scenario == "udp" else "init"
        settings = MeshSettings(capture=capture, environment=self.environment)
        _, relays = started(network, settings)
        yield Route(network.server.address, port, relays)

    def handshake_command(self, bench: Bench, *, resumed: bool) -> Sequence[str]:
        """The engine's own session under quinn's driver, with a certificate of the mesh."""
        command = ["--seconds", str(bench.settings.seconds), *(["--resumed"] if resumed else [])]
        return [*_load(bench, "handshake"), *command]

    def idle_command(self, bench: Bench, count: int) -> Sequence[str]:
        """The same, holding what it opened."""
        return [*_load(bench, "idle"), "--connections", str(count)]


class StoqReserve(Stoq):
    """With room for a token in every packet, and no frame in it.

    Both ends keep 25 zero bytes, seal them, and see that they are zero. Packets take no frame but a
    token, so there is none without a hash to measure.
    """

    name: ClassVar[str] = "stoq-reserve"
    title: ClassVar[str] = "STOQ, empty packet reserve"
    scenarios: ClassVar[frozenset[str]] = frozenset({"tokens"})
    environment: ClassVar[Mapping[str, str]] = {"STOQ_FRAMES_PACKET_RESERVE": "25"}


class StoqTokens(Stoq):
    """With a token in every packet."""

    name: ClassVar[str] = "stoq-tokens"
    title: ClassVar[str] = "STOQ, packet tokens"
    scenarios: ClassVar[frozenset[str]] = frozenset({"tokens"})
    environment: ClassVar[Mapping[str, str]] = {"STOQ_FRAMES_TOKENS": "packet"}


class StoqHop(Stoq):
    """Over a gateway, to which both have a path of the same MTU."""

    name: ClassVar[str] = "stoq-hop"
    title: ClassVar[str] = "STOQ, over a gateway, in the tunnel"
    scenarios: ClassVar[frozenset[str]] = frozenset({"hop"})
    others: ClassVar[tuple[str, ...]] = ("gateway",)
    environment: ClassVar[Mapping[str, str]] = {"STOQ_FRAMES_FORWARDED": "false"}

    @contextlib.contextmanager
    def route(self, bench: Bench, port: int) -> Iterator[Route]:
        """As without, and the server is behind a gateway that lets the client through."""
        network = bench.network
        gateway, server = network.layout.pod("gateway"), network.server.pod
        mesh, relays = started(network, MeshSettings(environment=self.environment))
        mesh.enrol(gateway)
        client = mesh.spiffe_id(network.client.pod)
        between = {
            "spiffeId": mesh.spiffe_id(gateway),
            "networks": [f"{server.ipv6}/128"],
            "forwards": [{"from": client, "to": mesh.spiffe_id(server)}],
        }
        mesh.write("HopGateway", "between", between, namespaced=False)
        behind = {
            "ports": [{"port": port}],
            "endpoints": [{"address": str(server.ipv6)}],
            "hops": [{"gateways": ["between"]}],
        }
        mesh.write("ServiceRecord", "behind", behind)
        relays["gateway"] = mesh.start_gateway(gateway)
        mesh.wait_ready([gateway])
        _led(mesh, network.client)
        yield Route(network.server.address, port, relays)


class StoqForwarded(StoqHop):
    """The same, with packets beside the tunnel."""

    name: ClassVar[str] = "stoq-forwarded"
    title: ClassVar[str] = "STOQ, over a gateway, beside the tunnel"
    environment: ClassVar[Mapping[str, str]] = {}


class StoqTwoLanes(Stoq):
    """Objects over two connections."""

    name: ClassVar[str] = "stoq-2-lanes"
    title: ClassVar[str] = "STOQ, 2 connections"
    scenarios: ClassVar[frozenset[str]] = frozenset({"shards"})
    lanes: ClassVar[int] = 2


class StoqFourLanes(Stoq):
    """Objects over four connections."""

    name: ClassVar[str] = "stoq-4-lanes"
    title: ClassVar[str] = "STOQ, 4 connections"
    scenarios: ClassVar[frozenset[str]] = frozenset({"shards"})
    lanes: ClassVar[int] = 4


def started(network: Network, settings: MeshSettings) -> tuple[Mesh, dict[str, Process]]:
    """Control process and both sidecars, ready."""
    sides = {"client": network.client, "server": network.server}
    mesh = Mesh(network.state, network.control, settings)
    for side in sides.values():
        mesh.enrol(side.pod)
    mesh.start_control()
    relays = {name: _start(mesh, side) for name, side in sides.items()}
    mesh.wait_ready([side.pod for side in sides.values()])
    return mesh, relays


def _led(mesh: Mesh, client: Side) -> None:
    """Waits until the client has been told of the gateway."""
    sidecar = mesh.sidecars[client.pod.name]

    def told() -> bool:
        workloads = mesh.admin(client.pod, "/config")["registry"]["workloads"]
        return any(entry["via"] for entry in workloads.values())

    sidecar.wait_until("told of the gateway", told)


def _load(bench: Bench, command: str) -> list[str]:
    authority = bench.network.state.folder / "control" / "ca"
    roots = json.loads((authority / "roots.json").read_text())
    root = next(root["name"] for root in roots if root["phase"] == "signing")
    return [
        *(bench.tools.peer("stoq-load"), command),
        f"[{bench.network.server.address}]:{STOQ_PORT}",
        *("--mtu", str(bench.settings.mtu)),
        *("--authority-key", str(authority / f"{root}.key")),
        *("--authority-root", str(authority / f"{root}.crt")),
    ]


def _start(mesh: Mesh, side: Side) -> Process:
    """Starts a sidecar on its side's CPU: programs inherit where we may run."""
    everywhere = os.sched_getaffinity(0)
    if side.cpu is not None:
        os.sched_setaffinity(0, {side.cpu})
    try:
        return mesh.start_sidecar(side.pod)
    finally:
        os.sched_setaffinity(0, everywhere)

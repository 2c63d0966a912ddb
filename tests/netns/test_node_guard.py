"""The guard of an uplink: a blast of handshakes nobody means is dropped, a meshed flow goes on."""

import functools
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import netns, plan
from lab.blast import SOURCE_PORT, STOQ, initial
from lab.node import Node
from netns.laboratories import pods
from netns.meshes import Echo, echoed, eventually, running
from netns.sockets import in_pod
from netns.witness import Witness

BLAST = 5000
CEILING = {
    "STOQ_GUARD_MODE": "auto",
    "STOQ_GUARD_CEILING_PER_SECOND": "20",
    "STOQ_GUARD_CEILING_BURST": "100",
}


def initials(node: Node, *verdicts: str) -> float:
    return sum(node.metric("stoq_node_guard_packets_total", verdict=one) for one in verdicts)


@pytest.mark.alone
def test_a_spoofed_blast_is_dropped_and_a_meshed_flow_goes_on() -> None:
    with (
        running("client", "server") as mesh,
        Echo(mesh.pod("server")),
        mesh.dial("client", "server") as connection,
    ):
        client, server = mesh.pod("client"), mesh.pod("server")
        node = Node(mesh.layout, mesh.state)
        node.list()
        node.start({"STOQ_GUARD_INTERFACE": client.port, **CEILING})
        labels = {"interface": client.port, "mode": "tc"}
        assert node.metric("stoq_node_guard", **labels) == 1, "no native XDP on a veth"
        assert echoed(connection)
        with Witness(server.netns) as witness:
            node.blast(client, server, BLAST)
            assert echoed(connection, b"x" * 200_000), "the flow that shares the link"
            arrived = [p for p in witness.packets(0.3) if p.source_port == SOURCE_PORT]
        passed = initials(node, "initial")
        assert passed + initials(node, "ceiling", "source_rate") >= BLAST
        # What the ceiling lets pass: a burst, and its rate for as long as the blast took.
        assert 50 <= len(arrived) <= 1000
        assert eventually(lambda: mesh.reaches("client", "server"))


@pytest.fixture
def laboratory() -> Iterator[tuple[plan.Plan, Node]]:
    with pods("outside", ipv4=False) as (layout, state):
        yield layout, Node(layout, state)


def test_the_guard_follows_its_interface_and_goes_when_it_is_off(
    laboratory: tuple[plan.Plan, Node],
) -> None:
    layout, node = laboratory
    outside = layout.pod("outside")
    node.list()
    agent = node.start({"STOQ_GUARD_INTERFACE": outside.port, **CEILING})
    netns.run_in(layout.fabric, ["ip", "link", "delete", outside.port])
    assert eventually(lambda: node.metric("stoq_node_guard", mode="off") == 1)
    far_end = ["peer", "name", "eth0", "netns", outside.netns]
    netns.run_in(layout.fabric, ["ip", "link", "add", outside.port, "type", "veth", *far_end])
    assert eventually(lambda: node.metric("stoq_node_guard", mode="tc") == 1)
    links = node.bpffs / "stoq" / "links"
    agent.stop()
    assert len(list(links.iterdir())) == 1, "it outlives the agent"
    node.start({"STOQ_GUARD_INTERFACE": outside.port, "STOQ_GUARD_MODE": "off"})
    assert eventually(lambda: not list(links.iterdir()))


def test_a_guard_moves_to_where_it_is_wanted_and_the_other_takes_no_memory(
    laboratory: tuple[plan.Plan, Node],
) -> None:
    layout, node = laboratory
    uplink = {"STOQ_GUARD_INTERFACE": layout.pod("outside").port}
    node.list()
    pins = node.bpffs / "stoq"

    def only(program: str) -> bool:
        links = [link.name.partition("@")[0] for link in (pins / "links").iterdir()]
        maps = [folder.name.partition("-")[0] for folder in (pins / "maps").iterdir()]
        return links == [program] and [name for name in maps if "guard" in name] == [program]

    for mode, program in (("generic", "xdp_guard"), ("auto", "tc_guard"), ("generic", "xdp_guard")):
        agent = node.start({**uplink, "STOQ_GUARD_MODE": mode})
        assert eventually(functools.partial(only, program))
        assert len(buckets(agent.pid)) == 1
        agent.stop()


def buckets(pid: int) -> list[str]:
    """Maps by which a guard remembers sources (bpf/include/stoq/guard.h), held by a process."""
    held = [entry.read_text() for entry in Path(f"/proc/{pid}/fdinfo").iterdir()]
    return [one for one in held if "max_entries:\t65536\n" in one and "key_size:\t16\n" in one]


def test_lists_of_sources_are_in_force_and_forgotten_when_they_change(
    laboratory: tuple[plan.Plan, Node],
) -> None:
    layout, node = laboratory
    outside = layout.pod("outside")
    node.list()
    payload = initial(random.Random(2))

    def knock() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as plain:
            plain.sendto(payload, (str(layout.gateway6), STOQ))

    def counted(verdict: str) -> bool:
        return initials(node, verdict) == 1

    network = str(layout.network6)
    for listing, verdict in (("DENY", "denied"), ("ALLOW", "listed"), ("", "initial")):
        lists = {f"STOQ_GUARD_{listing}": network} if listing else {}
        mode = {"STOQ_GUARD_INTERFACE": outside.port, "STOQ_GUARD_MODE": "generic"}
        agent = node.start({**mode, **lists})
        in_pod(outside.netns, knock)
        assert eventually(functools.partial(counted, verdict))
        agent.stop()

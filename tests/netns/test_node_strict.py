"""Strict mode in the kernel of a node: it holds whoever in the pod, or beside it, is alive."""

import socket
from collections.abc import Iterator
from signal import SIGKILL

import pytest

from lab import netns, plan
from lab.node import Node
from netns.laboratories import pods
from netns.meshes import Echo, eventually, running
from netns.sockets import connect, in_pod
from netns.witness import TCP, UDP, Packet, Witness
from stoq.constants import CONTROL_PORT, STOQ_PORT

PORT = 8080
SECRET = b"what must not be seen outside of the pod"


@pytest.fixture
def laboratory() -> Iterator[tuple[plan.Plan, Node]]:
    with pods("pod", "peer") as (layout, state):
        yield layout, Node(layout, state)


def dials(source: plan.Pod, address: object, port: int = PORT) -> bool:
    try:
        with connect(source.netns, address, port, timeout=1.0):
            return True
    except OSError:
        return False


def shout(source: plan.Pod, address: object, port: int, count: int = 5) -> None:
    """Datagrams in the clear."""

    def send() -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as plain:
            for _ in range(count):
                plain.sendto(SECRET, (str(address), port))

    in_pod(source.netns, send)


def in_the_clear(witness: Witness) -> list[Packet]:
    """TCP and UDP that is neither STOQ nor of the control plane: the pod's own sidecar goes on."""
    return [
        packet
        for packet in witness.packets(0.3)
        if packet.protocol in {TCP, UDP}
        and not {packet.source_port, packet.destination_port} & {STOQ_PORT, CONTROL_PORT}
    ]


def uncapture(pod: plan.Pod) -> None:
    """What an application that is root can do: capture is gone, its traffic leaves as it is."""
    netns.run_in(pod.netns, ["nft", "flush", "ruleset"])


def test_nothing_leaves_a_strict_pod_whose_sidecar_and_then_the_agent_were_killed() -> None:
    with (
        running("client", "server") as mesh,
        Echo(mesh.pod("server")),
    ):
        client, server = mesh.pod("client"), mesh.pod("server")
        node = Node(mesh.layout, mesh.state)
        node.strict(client, udp=False)
        agent = node.start()
        assert mesh.reaches("client", "server"), "STOQ passes a strict pod"

        mesh.mesh.sidecars["client"].stop(number=SIGKILL)
        uncapture(client)
        with Witness(server.netns) as witness:
            assert not dials(client, server.ipv6)
            assert not dials(client, server.ipv4)
            shout(client, server.ipv6, 7777)
            assert not in_the_clear(witness)
            first = node.dropped(client)
            assert first >= 7, "two connections and five datagrams at least"

            agent.stop(number=SIGKILL)
            assert not dials(client, server.ipv6)
            shout(client, server.ipv6, 7777)
            assert not in_the_clear(witness)
        node.start()
        assert node.dropped(client) >= first + 6, "the kernel went on counting"


@pytest.mark.parametrize("family", ["ipv6", "ipv4"])
def test_permissive_counts_what_strict_would_drop_and_drops_nothing(
    laboratory: tuple[plan.Plan, Node], family: str
) -> None:
    layout, node = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    node.list(pod)
    node.start()
    with Echo(peer):
        assert eventually(lambda: dials(pod, getattr(peer, family)))
    said = {"pod": "pod", "reason": "plain_tcp", "verdict": "would_drop"}
    assert node.metric("stoq_node_strict_packets_total", direction="from_pod", **said) >= 3
    assert node.dropped(pod) == 0
    counted = node.metric("stoq_node_account_packets_total", pod="pod", **{"class": "tcp"})
    assert counted >= 4


def test_what_a_pod_excludes_passes_and_nothing_beside_it(
    laboratory: tuple[plan.Plan, Node],
) -> None:
    layout, node = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    node.strict(
        pod,
        common=f'nameservers = "{peer.ipv6}"\n',
        exclude_outbound_ports="8080",
        exclude_inbound_ports="8081",
        udp=False,
    )
    node.start()
    with Echo(peer), Echo(peer, 9090), Echo(pod, 8081), Echo(pod, 9091):
        assert eventually(lambda: dials(pod, peer.ipv6, 8080))
        assert not dials(pod, peer.ipv6, 9090)
        assert eventually(lambda: dials(peer, pod.ipv6, 8081))
        assert not dials(peer, pod.ipv6, 9091)
        with Witness(peer.netns) as witness:
            shout(pod, peer.ipv6, 53)
            shout(pod, peer.ipv6, 5353)
            arrived = [p.destination_port for p in witness.packets(0.3) if p.protocol == UDP]
    assert arrived == [53] * 5


def test_only_the_node_itself_probes_a_strict_pod(laboratory: tuple[plan.Plan, Node]) -> None:
    layout, node = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    node.strict(pod, probe_ports="8080")
    node.start()
    with Echo(pod):
        with connect(layout.fabric, pod.ipv6, 8080):
            pass
        assert not dials(peer, pod.ipv6)
    assert node.metric("stoq_node_strict_packets_total", pod="pod", reason="probe") > 0
    assert node.dropped(pod, "to_pod") > 0


def test_a_list_is_followed_and_a_broken_one_changes_nothing(
    laboratory: tuple[plan.Plan, Node],
) -> None:
    layout, node = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    node.strict(pod)
    node.start()
    with Echo(peer):
        assert not dials(pod, peer.ipv6)
        node.pods.write_text("[[pods]]\nname = 1\n")
        assert eventually(lambda: node.metric("stoq_node_pods_stale") == 1)
        assert not dials(pod, peer.ipv6)
        node.list(pod, inbound="permissive", outbound="allow")
        assert eventually(lambda: dials(pod, peer.ipv6))
        node.strict(pod)
        assert eventually(lambda: not dials(pod, peer.ipv6))
        node.list()
        assert eventually(lambda: dials(pod, peer.ipv6)), "no longer of the mesh"
    assert node.metric("stoq_node_pods", state="enforced") == 0

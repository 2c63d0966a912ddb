"""Between the start of a strict pod and the day that its node enforces: the agent learns the pod's
address of the API server, and until then capture is what holds.
"""

import sys
from collections.abc import Iterator

import pytest

from lab import netns, plan
from lab.node import Node
from netns.laboratories import pods
from netns.meshes import PORT, Echo, eventually
from netns.sockets import APPLICATION_UID, SIDECAR_UID, connect
from netns.test_node_cluster import STRICT, Cluster, described
from netns.witness import TCP, Witness

Laboratory = tuple[plan.Plan, Node, Cluster]


@pytest.fixture
def laboratory() -> Iterator[Laboratory]:
    """A strict pod that the API server shows, but not yet with an address; its agent runs, and
    stoq-init has.
    """
    with pods("pod", "peer") as (layout, state):
        node, cluster = Node(layout, state), Cluster(layout, state)
        pod = layout.pod("pod")
        cluster.mesh(**STRICT)
        shown = described(pod)
        cluster.shows({**shown, "status": {"phase": "Pending"}})
        node.start(cluster.environment)
        netns.run_in(pod.netns, [sys.executable, "-m", "stoq_sidecar.init"])
        assert node.metric("stoq_node_pods", state="enforced") == 0
        yield layout, node, cluster


def dials(source: plan.Pod, address: object, uid: int = APPLICATION_UID) -> bool:
    try:
        with connect(source.netns, address, PORT, uid, timeout=1.0):
            return True
    except OSError:
        return False


def enforced(node: Node) -> bool:
    return eventually(lambda: node.metric("stoq_node_pods", state="enforced") == 1)


def test_an_init_container_ahead_of_the_sidecar_sends_and_gets_nothing_in_the_clear(
    laboratory: Laboratory,
) -> None:
    layout, node, cluster = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    with Echo(peer), Echo(pod), Witness(peer.netns) as witness:
        for uid in (APPLICATION_UID, 0):
            for address in peer.addresses:
                assert not dials(pod, address, uid)
        assert not [packet for packet in witness.packets(0.3) if packet.protocol == TCP]
        for address in pod.addresses:
            assert not dials(peer, address), "nor is its server reached"
        assert node.metric("stoq_node_pods", state="enforced") == 0, "capture alone did that"

        cluster.runs(pod)
        assert enforced(node)
        witness.packets()
        for address in peer.addresses:
            assert not dials(pod, address)
        assert not [packet for packet in witness.packets(0.3) if packet.protocol == TCP]


def test_only_who_becomes_the_sidecars_user_leaves_the_pod_until_the_node_enforces(
    laboratory: Laboratory,
) -> None:
    layout, node, cluster = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    with Echo(peer):
        # Admission refuses a container with that user; one that is root may still become it.
        assert eventually(lambda: dials(pod, peer.ipv6, SIDECAR_UID))
        cluster.runs(pod)
        assert enforced(node)
        for address in peer.addresses:
            assert not dials(pod, address, SIDECAR_UID)
    assert node.dropped(pod) > 0

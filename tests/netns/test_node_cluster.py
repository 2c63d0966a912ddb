"""The node agent in a cluster: its pods come from an API server, their links from the kernel."""

from collections.abc import Iterator
from signal import SIGKILL

import pytest

from lab import plan
from lab.cluster import PODS, STRICT, Cluster, described
from lab.node import Node
from netns.hindrances import hindered
from netns.laboratories import pods
from netns.meshes import Echo, eventually
from netns.sockets import connect
from netns.traces import eventually_one, tracing

THREE = "-all,+bpf,+perfmon,+net_admin"
UNDER = ("setpriv", f"--bounding-set={THREE}", f"--inh-caps={THREE}")
"""The capabilities that the chart gives the agent, and no other."""


@pytest.fixture
def laboratory() -> Iterator[tuple[plan.Plan, Node, Cluster]]:
    with pods("pod", "peer") as (layout, state):
        yield layout, Node(layout, state), Cluster(layout, state, "shop")


def dials(source: plan.Pod, target: plan.Pod) -> bool:
    try:
        with connect(source.netns, target.ipv6, 8080, timeout=1.0):
            return True
    except OSError:
        return False


def test_with_three_capabilities_the_agent_finds_enforces_and_reports(
    laboratory: tuple[plan.Plan, Node, Cluster],
) -> None:
    layout, node, cluster = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    cluster.mesh(**STRICT)
    cluster.runs(pod)
    agent = node.start(cluster.environment, under=UNDER)
    assert eventually(lambda: node.metric("stoq_node_pods", state="enforced") == 1)
    with Echo(peer):
        assert not dials(pod, peer)
        assert node.dropped(pod) > 0
        assert eventually(lambda: cluster.condition() == "True")
        assert cluster.said()["strict"] is True

        agent.stop(number=SIGKILL)
        assert not dials(pod, peer)
        node.start(cluster.environment, under=UNDER)
        assert eventually(lambda: node.metric("stoq_node_pods", state="enforced") == 1)
        assert not dials(pod, peer)

        cluster.mesh()
        assert eventually(lambda: dials(pod, peer)), "permissive again, without a restart"


def test_a_successor_opens_no_link_while_it_does_not_know_whose_it_is(
    laboratory: tuple[plan.Plan, Node, Cluster],
) -> None:
    layout, node, cluster = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    cluster.mesh(**STRICT)
    cluster.runs(pod)
    agent = node.start(cluster.environment)
    assert eventually(lambda: node.metric("stoq_node_pods", state="enforced") == 1)
    agent.stop(number=SIGKILL)
    # The same pod, as the API server shows it before the kubelet has told of its addresses.
    (shown,) = cluster.lists[PODS]
    cluster.runs()
    cluster.lists[PODS] = [{**shown, "status": {"phase": "Pending"}}]
    cluster.mesh(**STRICT)
    node.start(cluster.environment)
    assert eventually(lambda: node.metric("stoq_node_pods", state="waiting") == 1)
    with Echo(peer):
        assert not dials(pod, peer)
        cluster.runs()
        assert eventually(lambda: dials(pod, peer)), "nobody's any more"


def test_a_strict_pod_that_is_shut_is_told_with_the_reason_where_one_looks_for_it(
    laboratory: tuple[plan.Plan, Node, Cluster],
) -> None:
    layout, node, cluster = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    hindrance = hindered(layout, node, pod)
    cluster.mesh(**STRICT)
    cluster.runs(pod)
    node.start(cluster.environment, under=UNDER, wait=False)
    with Echo(peer):
        assert eventually(lambda: node.metric("stoq_node_shut_links", how="rules") == 1)
        assert not dials(pod, peer)
        assert eventually(lambda: cluster.condition() == "False")
        (condition, _) = cluster.said()["conditions"]
        assert condition["reason"] == "PodsFailed"
        assert condition["message"].startswith("shop/pod: ")
        assert "its link is shut" in condition["message"]
        assert eventually(lambda: bool(cluster.events()))
        (event,) = cluster.events()
        assert event["reason"] == "NotEnforced"
        assert event["involvedObject"]["name"] == "pod"
        assert hindrance.name in event["message"]

        hindrance.rmdir()
        assert eventually(lambda: cluster.condition() == "True"), "it is tried again"
        assert node.metric("stoq_node_shut_links") == 0
        assert not dials(pod, peer)
        assert node.dropped(pod) > 0


def test_a_trace_knows_the_pods_that_the_agent_knows(
    laboratory: tuple[plan.Plan, Node, Cluster],
) -> None:
    layout, node, cluster = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    cluster.mesh(**STRICT)
    cluster.runs(pod)
    with (
        Echo(peer),
        tracing(layout, node, cluster.state, "--json", **cluster.environment) as trace,
    ):
        assert eventually(lambda: dials(pod, peer) and bool(trace.said("connection")))
        [plain] = eventually_one(trace, "connection", pod="shop/pod", direction="out")
        assert plain["remote"] == f"[{peer.ipv6}]:8080"
        assert (plain["verdict"], plain["strict"]) == ("bypass", True)
        assert trace.end() == 0


def test_without_a_bpffs_the_node_says_why_it_can_do_nothing(
    laboratory: tuple[plan.Plan, Node, Cluster],
) -> None:
    _, node, cluster = laboratory
    done = node.run("run", **cluster.environment, STOQ_KERNEL_PINS="/proc/stoq")
    assert done.returncode == 1
    assert "not on a bpffs" in cluster.said()["reason"]
    assert cluster.condition() == "False"


def test_a_pod_on_the_nodes_network_is_refused_with_the_reason_and_others_are_enforced(
    laboratory: tuple[plan.Plan, Node, Cluster],
) -> None:
    layout, node, cluster = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    cluster.mesh(**STRICT)
    host = described(peer, namespace=cluster.namespace)
    host["spec"]["hostNetwork"] = True
    host["status"]["podIPs"] = [{"ip": str(layout.gateway6)}]
    cluster.shows(described(pod, namespace=cluster.namespace), host)
    node.start(cluster.environment, under=UNDER, wait=False)
    assert eventually(lambda: node.metric("stoq_node_pods", state="failed") == 1)
    assert eventually(lambda: node.metric("stoq_node_pods", state="enforced") == 1)
    with Echo(peer):
        assert not dials(pod, peer)
    assert eventually(lambda: cluster.condition() == "False")
    message = cluster.said()["conditions"][0]["message"]
    assert message.startswith("shop/peer: ")
    assert "hostNetwork: true" in message
    assert eventually(lambda: bool(cluster.events()))
    (event,) = cluster.events()
    assert (event["reason"], event["involvedObject"]["name"]) == ("NotEnforced", "peer")

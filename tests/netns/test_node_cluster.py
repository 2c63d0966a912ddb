"""The node agent in a cluster: its pods come from an API server, their links from the kernel."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL
from typing import Any

import pytest
import yaml

from lab import plan, process
from lab.node import Node
from lab.state import State
from netns.hindrances import hindered
from netns.laboratories import pods
from netns.meshes import Echo, eventually
from netns.sockets import connect
from netns.traces import eventually_one, tracing
from stoq.injection.config import Config
from stoq.injection.decide import Injected, decide
from support import kubeapi
from support.pods import CONFIG, Object, annotated

API_PORT = 6443
MESHES = "/apis/stoq.dev/v1alpha1/meshconfigs"
POLICIES = "/apis/stoq.dev/v1alpha1/transportpolicies"
STRICT = {"inbound": "strict", "outbound": "meshOnly"}

THREE = "-all,+bpf,+perfmon,+net_admin"
UNDER = ("setpriv", f"--bounding-set={THREE}", f"--inh-caps={THREE}")
"""The capabilities that the chart gives the agent, and no other."""


class Cluster:
    """An API server beside the agent, on its node."""

    def __init__(self, layout: plan.Plan, state: State) -> None:
        self.state = state
        self._folder = state.folder
        self.namespace = "shop"
        self.lists: dict[str, list[Any]] = {"/api/v1/pods": [], POLICIES: []}
        self.mesh()
        words = [sys.executable, kubeapi.__file__, str(API_PORT), str(state.folder)]
        process.start(state, "api", words, netns=layout.fabric)
        named = {
            "clusters": {"cluster": {"server": f"http://[::1]:{API_PORT}"}},
            "users": {"user": {"token": "t"}},
            "contexts": {"context": {"cluster": "x", "user": "x"}},
        }
        lists = {kind: [{"name": "x", **item}] for kind, item in named.items()}
        config = state.folder / "kubeconfig"
        config.write_text(yaml.safe_dump({**lists, "current-context": "x"}))
        self.environment = {"KUBECONFIG": str(config), "STOQ_KUBERNETES_NODE": "node-1"}

    def mesh(self, **spec: str) -> None:
        about = {"metadata": {"name": "default"}, "spec": {"trustDomain": "x.test", **spec}}
        self.lists[MESHES] = [about]
        self._write()

    def runs(self, *pods: plan.Pod, config: Config = CONFIG, **annotations: str) -> None:
        self.shows(*(described(pod, config, self.namespace, **annotations) for pod in pods))

    def shows(self, *pods: Object) -> None:
        self.lists["/api/v1/pods"] = list(pods)
        self._write()

    def events(self) -> list[Object]:
        """Those that the agent has written."""
        path = self._folder / "posted-events.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def said(self) -> dict[str, Any]:
        """The status that the agent has written."""
        path = self._folder / "patched-status.json"
        return dict(json.loads(path.read_text())["status"]) if path.exists() else {}

    def condition(self) -> str:
        found = self.said().get("conditions") or [{}]
        return str(found[0].get("status"))

    def _write(self) -> None:
        fresh = Path(self._folder / "lists.new")
        fresh.write_text(json.dumps(self.lists))
        fresh.replace(self._folder / "lists.json")


def described(
    pod: plan.Pod, config: Config = CONFIG, namespace: str = "shop", **annotations: str
) -> Object:
    """A pod of the laboratory as the API server shows it."""
    outcome = decide(annotated(**annotations), namespace, config)
    assert isinstance(outcome, Injected)
    about = {"name": pod.name, "namespace": namespace, "uid": pod.name}
    spec = {**outcome.pod["spec"], "serviceAccountName": pod.name}
    addresses = [{"ip": str(address)} for address in pod.addresses]
    status = {"phase": "Running", "podIPs": addresses}
    return {**outcome.pod, "metadata": about, "spec": spec, "status": status}


@pytest.fixture
def laboratory() -> Iterator[tuple[plan.Plan, Node, Cluster]]:
    with pods("pod", "peer") as (layout, state):
        yield layout, Node(layout, state), Cluster(layout, state)


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
    assert eventually(lambda: node.metric("stoq_node_pods", state="enforced") == 1, 30)
    with Echo(peer):
        assert not dials(pod, peer)
        assert node.dropped(pod) > 0
        assert eventually(lambda: cluster.condition() == "True", 30)
        assert cluster.said()["strict"] is True

        agent.stop(number=SIGKILL)
        assert not dials(pod, peer)
        node.start(cluster.environment, under=UNDER)
        assert eventually(lambda: node.metric("stoq_node_pods", state="enforced") == 1, 30)
        assert not dials(pod, peer)

        cluster.mesh()
        assert eventually(lambda: dials(pod, peer), 30), "permissive again, without a restart"


def test_a_successor_opens_no_link_while_it_does_not_know_whose_it_is(
    laboratory: tuple[plan.Plan, Node, Cluster],
) -> None:
    layout, node, cluster = laboratory
    pod, peer = layout.pod("pod"), layout.pod("peer")
    cluster.mesh(**STRICT)
    cluster.runs(pod)
    agent = node.start(cluster.environment)
    assert eventually(lambda: node.metric("stoq_node_pods", state="enforced") == 1, 30)
    agent.stop(number=SIGKILL)
    # The same pod, as the API server shows it before the kubelet has told of its addresses.
    (shown,) = cluster.lists["/api/v1/pods"]
    cluster.runs()
    cluster.lists["/api/v1/pods"] = [{**shown, "status": {"phase": "Pending"}}]
    cluster.mesh(**STRICT)
    node.start(cluster.environment)
    assert eventually(lambda: node.metric("stoq_node_pods", state="waiting") == 1, 30)
    with Echo(peer):
        assert not dials(pod, peer)
        cluster.runs()
        assert eventually(lambda: dials(pod, peer), 30), "nobody's any more"


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
        assert eventually(lambda: node.metric("stoq_node_shut_links", how="rules") == 1, 30)
        assert not dials(pod, peer)
        assert eventually(lambda: cluster.condition() == "False", 30)
        (condition, _) = cluster.said()["conditions"]
        assert condition["reason"] == "PodsFailed"
        assert condition["message"].startswith("shop/pod: ")
        assert "its link is shut" in condition["message"]
        assert eventually(lambda: bool(cluster.events()), 30)
        (event,) = cluster.events()
        assert event["reason"] == "NotEnforced"
        assert event["involvedObject"]["name"] == "pod"
        assert hindrance.name in event["message"]

        hindrance.rmdir()
        assert eventually(lambda: cluster.condition() == "True", 60), "it is tried again"
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
        assert eventually(lambda: dials(pod, peer) and bool(trace.said("connection")), 30)
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
    host = described(peer)
    host["spec"]["hostNetwork"] = True
    host["status"]["podIPs"] = [{"ip": str(layout.gateway6)}]
    cluster.shows(described(pod), host)
    node.start(cluster.environment, under=UNDER)
    assert eventually(lambda: node.metric("stoq_node_pods", state="failed") == 1, 30)
    assert eventually(lambda: node.metric("stoq_node_pods", state="enforced") == 1, 30)
    with Echo(peer):
        assert not dials(pod, peer)
    assert eventually(lambda: cluster.condition() == "False", 30)
    message = cluster.said()["conditions"][0]["message"]
    assert message.startswith("shop/peer: ")
    assert "hostNetwork: true" in message
    assert eventually(lambda: bool(cluster.events()), 30)
    (event,) = cluster.events()
    assert (event["reason"], event["involvedObject"]["name"]) == ("NotEnforced", "peer")

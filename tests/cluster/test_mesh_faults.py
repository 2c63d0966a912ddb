"""The control plane fails, and traffic between those who know each other goes on."""

import pytest

from cluster.access import Cluster, Failed
from cluster.mesh import Mesh, eventually
from cluster.pods import WAIT, pod, serve, service

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def pair(shop: Cluster) -> Cluster:
    first, second = shop.nodes()[:2]
    shop.apply(pod("client", WAIT, first), pod("web", serve("hello"), second), service("web"))
    shop.ready("client", "web")
    assert shop.fetch("client", "http://web/") == "hello"
    return shop


def test_both_replicas_of_the_operator_are_killed(pair: Cluster, mesh: Mesh) -> None:
    mesh.system.kubectl("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")
    assert pair.fetch("client", "http://web/") == "hello"
    rollout = ["rollout", "status", "deployment/stoq-operator", "--timeout=120s"]
    mesh.system.kubectl(*rollout, timeout=130.0)
    pair.apply(pod("newcomer", WAIT))
    pair.ready("newcomer")
    assert pair.fetch("newcomer", "http://web/") == "hello"


def test_without_the_webhook_no_pod_enters_the_namespace_uncaptured(
    pair: Cluster, mesh: Mesh
) -> None:
    scale = ["scale", "deployment/stoq-operator"]
    mesh.system.kubectl(*scale, "--replicas=0")
    try:
        eventually(lambda: not mesh.system.get("pods")["items"], 60)
        with pytest.raises(Failed, match="stoq"):
            pair.apply(pod("uncaptured", WAIT))
        assert pair.fetch("client", "http://web/") == "hello"
    finally:
        mesh.system.kubectl(*scale, "--replicas=2")
        rollout = ["rollout", "status", "deployment/stoq-operator", "--timeout=120s"]
        mesh.system.kubectl(*rollout, timeout=130.0)

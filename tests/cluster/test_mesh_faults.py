"""The control plane fails, and traffic between those who know each other goes on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cluster.access import Cluster, Failed, hack_cluster, url
from cluster.mesh import Mesh, eventually
from cluster.pods import WAIT, pod, serve, service

pytestmark = pytest.mark.timeout(300)


ASKS = (
    "trap exit TERM; while :; do "
    "if timeout 3 wget -qO- $TARGET >/dev/null; then echo ok; else echo failed; fi; "
    "sleep 0.2; done"
)
"""Says how each of its requests ended."""

OUTAGE_SECONDS = 8.0


@pytest.fixture(scope="module")
def pair(shop: Cluster) -> Cluster:
    first, second = shop.nodes()[:2]
    shop.apply(pod("client", WAIT, first), pod("web", serve("hello"), second), service("web"))
    shop.ready("client", "web")
    assert shop.fetch("client", "http://web/") == "hello"
    # By address: while nothing runs that knows names, nobody should depend on it.
    asks = pod("asks", ["sh", "-c", ASKS], first)
    target = {"name": "TARGET", "value": url(shop.get("service", "web")["spec"]["clusterIP"], 80)}
    asks["spec"]["containers"][0]["env"] = [target]
    shop.apply(asks)
    shop.ready("asks")
    eventually(lambda: "ok" in shop.kubectl("logs", "asks"))
    return shop


@contextmanager
def no_request_fails(cluster: Cluster) -> Iterator[None]:
    before = len(cluster.kubectl("logs", "asks").splitlines())

    def said() -> list[str]:
        return cluster.kubectl("logs", "asks").splitlines()[before:]

    yield
    eventually(lambda: len(said()) > 5)
    assert "failed" not in said()


def test_the_api_server_is_away_for_a_while(pair: Cluster) -> None:
    with no_request_fails(pair):
        hack_cluster("stop", "--name", pair.name, "control/kube-apiserver")
        try:
            time.sleep(OUTAGE_SECONDS)
        finally:
            hack_cluster("up", "--name", pair.name)
        pair.apply(pod("afterwards", WAIT))
        pair.ready("afterwards")
        assert pair.fetch("afterwards", "http://web/") == "hello"


def test_both_replicas_of_the_operator_are_killed(pair: Cluster, mesh: Mesh) -> None:
    with no_request_fails(pair):
        killed = ready(mesh.system)
        assert killed
        kill = ["--all", "--grace-period=0", "--force", "--wait=false"]
        mesh.system.kubectl("delete", "pods", *kill)
        assert pair.fetch("client", "http://web/") == "hello"
        # The status of the rollout is that of the killed ones for a moment.
        eventually(lambda: len(ready(mesh.system) - killed) == len(killed), 120)
    pair.apply(pod("newcomer", WAIT))
    pair.ready("newcomer")
    assert pair.fetch("newcomer", "http://web/") == "hello"


def ready(cluster: Cluster) -> set[str]:
    """The names of the pods that are ready."""
    return {
        item["metadata"]["name"]
        for item in cluster.get("pods")["items"]
        for condition in item["status"].get("conditions", ())
        if (condition["type"], condition["status"]) == ("Ready", "True")
    }


def rolled_out(cluster: Cluster, name: str) -> None:
    rollout = ["rollout", "status", f"deployment/{name}", "--timeout=120s"]
    cluster.kubectl(*rollout, timeout=130.0)


def test_without_the_webhook_no_pod_enters_the_namespace_uncaptured(
    pair: Cluster, mesh: Mesh
) -> None:
    scale = ["scale", "deployment/stoq-operator"]
    mesh.system.kubectl(*scale, "--replicas=0")
    try:
        eventually(lambda: not mesh.system.get("pods")["items"], 60)
        with pytest.raises(Failed, match="stoq"):
            pair.apply(pod("uncaptured", WAIT))
        # The cluster's own pods do not wait for the webhook.
        system = Cluster(pair.name, "kube-system")
        system.kubectl("delete", "pods", "--all")
        rolled_out(system, "coredns")
        assert pair.fetch("client", "http://web/") == "hello"
    finally:
        mesh.system.kubectl(*scale, "--replicas=2")
        rolled_out(mesh.system, "stoq-operator")

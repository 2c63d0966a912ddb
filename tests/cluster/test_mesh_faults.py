"""The control plane fails, and traffic between those who know each other goes on."""

import json
import time

import pytest

from cluster.access import Cluster, Failed, hack_cluster
from cluster.mesh import OPERATOR, Mesh, eventually, rolled_out
from cluster.pods import WAIT, pod
from cluster.traffic import no_request_fails

pytestmark = pytest.mark.timeout(600)


OUTAGE_SECONDS = 8.0


@pytest.mark.parametrize("service", ["kube-apiserver", "etcd"])
def test_a_part_of_the_control_plane_is_away_for_a_while(pair: Cluster, service: str) -> None:
    newcomer = f"after-{service}"
    with no_request_fails(pair):
        hack_cluster("stop", "--name", pair.name, f"control/{service}")
        try:
            time.sleep(OUTAGE_SECONDS)
        finally:
            hack_cluster("up", "--name", pair.name)
        admitted(pair, newcomer)
        pair.ready(newcomer)
        assert pair.fetch(newcomer, "http://web/") == "hello"


def test_both_replicas_of_the_operator_and_all_agents_are_killed(pair: Cluster, mesh: Mesh) -> None:
    with no_request_fails(pair):
        killed = ready(mesh.system)
        assert killed
        kill = ["--all", "--grace-period=0", "--force", "--wait=false"]
        mesh.system.kubectl("delete", "pods", *kill)
        assert pair.fetch("client", "http://web/") == "hello"
        # The status of the rollout is that of the killed ones for a moment.
        eventually(lambda: len(ready(mesh.system) - killed) == len(killed), 240)
    admitted(pair, "newcomer")
    pair.ready("newcomer")
    assert pair.fetch("newcomer", "http://web/") == "hello"


def admitted(cluster: Cluster, name: str) -> None:
    """Makes a pod once it is let in: nodes learn a moment later than we whom to ask."""
    eventually(lambda: cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod(name, WAIT))))


def ready(cluster: Cluster) -> set[str]:
    """The names of the pods that are ready."""
    return {
        item["metadata"]["name"]
        for item in cluster.get("pods")["items"]
        for condition in item["status"].get("conditions", ())
        if (condition["type"], condition["status"]) == ("Ready", "True")
    }


def test_without_the_webhook_no_pod_enters_the_namespace_uncaptured(
    pair: Cluster, mesh: Mesh
) -> None:
    scale = ["scale", "deployment/stoq-operator"]
    mesh.system.kubectl(*scale, "--replicas=0")
    try:
        eventually(lambda: not mesh.system.get("pods", f"--selector={OPERATOR}")["items"], 120)
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
    admitted(pair, "captured")

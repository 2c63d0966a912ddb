"""The control plane fails, and traffic between those who know each other goes on."""

import json
import time

import pytest

from cluster.access import Cluster, Failed, hack_cluster
from cluster.mesh import OPERATOR, Mesh, eventually, rolled_out
from cluster.pods import WAIT, pod
from cluster.processes import Container
from cluster.test_mesh_records import record
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


def test_the_replica_that_leads_is_killed_and_its_work_goes_on(pair: Cluster, mesh: Mesh) -> None:
    leads = eventually(lambda: leader(mesh.system))
    before = restarts(mesh.system, leads)
    with no_request_fails(pair):
        Container(mesh.system, leads, "operator").kill()
        # The other one serves meanwhile, and one of them writes again.
        ports = [{"port": 9293, "targetPort": 8080}]
        pair.apply(record("kept", ports=ports, selector={"matchLabels": {"app": "web"}}))
        admitted(pair, "meanwhile")
        pair.ready("meanwhile")
        assert pair.fetch("meanwhile", "http://web/") == "hello"
        eventually(lambda: pair.get("stoqsr", "kept")["status"]["vip"])
        assert pair.fetch("meanwhile", f"http://kept.{pair.namespace}.stoq:9293/") == "hello"
        eventually(lambda: restarts(mesh.system, leads) > before)
    rolled_out(mesh.system, "stoq-operator")


def leader(cluster: Cluster) -> str:
    """The replica that writes; empty while none is known to."""
    held = str(cluster.get("lease", "stoq-operator")["spec"]["holderIdentity"])
    return held if held in ready(cluster) else ""


def restarts(cluster: Cluster, name: str) -> int:
    """Of the operator in a replica."""
    each = cluster.get("pod", name)["status"]["containerStatuses"]
    return next(int(one["restartCount"]) for one in each if one["name"] == "operator")


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


def test_without_the_webhooks_configuration_the_second_lock_names_pod_and_way_out(
    pair: Cluster, mesh: Mesh
) -> None:
    def outcome(cluster: Cluster, **labels: str) -> str:
        """Of a try to make a pod: how it is refused, or whether it is made as it was written."""
        bare = pod("bare", WAIT)
        bare["metadata"]["labels"] |= {f"stoq.dev/{key}": text for key, text in labels.items()}
        dry = ["create", "--dry-run=server", "-o", "json", "-f", "-"]
        try:
            made = json.loads(cluster.kubectl(*dry, stdin=json.dumps(bare)))
        except Failed as error:
            return str(error)
        return "injected" if "initContainers" in made["spec"] else "as written"

    def refusal() -> str:
        return said if "is to be meshed" in (said := outcome(pair)) else ""

    pair.kubectl("delete", "mutatingwebhookconfiguration", "stoq-injector")
    try:
        said = str(eventually(refusal))
        assert f"pod {pair.namespace}/bare is to be meshed, but stoq-sidecar and stoq-init" in said
        assert "check that MutatingWebhookConfiguration stoq-injector is there" in said
        assert "label the pod stoq.dev/inject=disabled" in said
        assert outcome(pair, inject="disabled") == "as written"
        # Elsewhere it is about those alone that ask to be meshed, and about none of the system's.
        elsewhere = Cluster(pair.name)
        assert "is to be meshed" in outcome(elsewhere, inject="enabled")
        assert outcome(elsewhere) == "as written"
        for system in ("kube-system", mesh.system.namespace):
            assert outcome(Cluster(pair.name, system), inject="enabled") == "as written"
    finally:
        mesh.install()
    admitted(pair, "after-lock")
    assert pair.get("pod", "after-lock")["spec"]["initContainers"][1]["name"] == "stoq-init"

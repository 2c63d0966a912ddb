"""Capture mode `node`: pods without a privileged container, in namespaces that admit no other."""

import dataclasses
import json
import time
from collections.abc import Iterator

import pytest

from cluster.access import Cluster, Failed, url
from cluster.capturing import ON, RESTRICTED
from cluster.mesh import CHART, SYSTEM, Mesh, checked, eventually, sidecar_connections
from cluster.pods import WAIT, pod, serve, service
from cluster.test_node import agents
from cluster.witness import Witness
from stoq.injection.decide import Injected, decide
from support.pods import CONFIG

pytestmark = pytest.mark.timeout(900)

CHURN = 8


@pytest.fixture(scope="module")
def bank(capturing: Mesh) -> Iterator[Cluster]:
    """An enrolled namespace that admits pods of level restricted only, with peers in it."""
    with capturing.namespace(RESTRICTED) as found:
        first, second = found.nodes()[:2]
        found.apply(
            pod("client", WAIT, first),
            pod("web", serve("hello"), second),
            pod("near", serve("next door"), first),
            service("web"),
        )
        found.ready("client", "web", "near")
        yield found


def captured(mesh: Mesh, state: str) -> int:
    """Pods in a state, on the word of all agents."""
    sample = f'stoq_node_capture_pods{{state="{state}"}}'
    found = 0.0
    for name in agents(mesh).values():
        where = f"/api/v1/namespaces/{SYSTEM}/pods/{name}:14022/proxy/metrics"
        for line in mesh.cluster.kubectl("get", "--raw", where).splitlines():
            if line.startswith(sample):
                found += float(line.rpartition(" ")[2])
    return int(found)


def all_are_served(mesh: Mesh, bank: Cluster) -> int:
    """Waits until agents capture in the pods of `bank` and no others; says how many there are."""
    pods = len(bank.get("pods")["items"])
    eventually(lambda: captured(mesh, "served") == pods, 120)
    return pods


def everybody_answers(bank: Cluster) -> None:
    for name, text in (("web", "hello"), ("near", "next door")):
        for address in bank.addresses(name):
            assert bank.fetch("client", url(address)) == text
    assert bank.fetch("client", "http://web/") == "hello"


def test_a_restricted_namespace_is_meshed_without_a_privileged_container(
    capturing: Mesh, bank: Cluster, witness: Witness
) -> None:
    made = bank.get("pod", "client")["spec"]["initContainers"]
    assert [each["name"] for each in made] == ["stoq-sidecar", "stoq-ready"]
    for each in made:
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    everybody_answers(bank)
    account = f"spiffe://cluster.local/ns/{bank.namespace}/sa/default"
    assert account in {found["spiffe_id"] for found in sidecar_connections(bank, "client")}
    assert set(bank.addresses("client") + bank.addresses("web")) <= witness.meshed()
    assert witness.plaintext() == {}
    all_are_served(capturing, bank)
    assert "of any level" in checked(capturing.cluster, "-n", bank.namespace)


def test_while_its_nodes_agent_is_away_a_pod_waits_and_what_runs_goes_on(
    capturing: Mesh, bank: Cluster
) -> None:
    capturing.system.kubectl("delete", "daemonset", "stoq-node")
    eventually(lambda: not agents(capturing), 120)
    everybody_answers(bank)
    bank.apply(pod("late", serve("late"), bank.nodes()[1]))
    said = eventually(lambda: bank.kubectl("logs", "late", "-c", "stoq-sidecar"), 60)
    eventually(lambda: "is the node agent" in bank.kubectl("logs", "late", "-c", "stoq-sidecar"))
    (state,) = bank.get("pod", "late")["status"]["containerStatuses"]
    assert state["state"].keys() == {"waiting"}, said

    capturing.install(CHART, **ON)
    bank.ready("late")
    everybody_answers(bank)
    for address in bank.addresses("late"):
        assert bank.fetch("client", url(address)) == "late"
    all_are_served(capturing, bank)


def test_a_sidecar_that_ends_after_the_agent_was_exchanged_is_served_by_the_new_one(
    capturing: Mesh, bank: Cluster
) -> None:
    capturing.system.kubectl("delete", "pods", "--selector=app.kubernetes.io/component=node")
    eventually(lambda: len(agents(capturing)) == 2, 120)
    all_are_served(capturing, bank)
    everybody_answers(bank)
    bank.kubectl("exec", "client", "-c", "stoq-sidecar", "--", "/opt/stoq/bin/python", "-c",
                 "import os, signal; os.kill(1, signal.SIGTERM)")  # fmt: skip

    def again() -> bool:
        statuses = bank.get("pod", "client")["status"]["initContainerStatuses"]
        (status,) = [each for each in statuses if each["name"] == "stoq-sidecar"]
        return status["restartCount"] > 0 and bool(status["ready"])

    eventually(again, 120)
    everybody_answers(bank)


def test_pods_that_come_and_go_are_captured_and_forgotten(
    capturing: Mesh, bank: Cluster, witness: Witness
) -> None:
    before = all_are_served(capturing, bank)
    names = [f"churn-{number}" for number in range(CHURN)]
    bank.apply(*(pod(name, serve(name)) for name in names))
    # Some go while they are being enrolled.
    gone, stays = names[: CHURN // 2], names[CHURN // 2 :]
    time.sleep(1.0)
    bank.kubectl("delete", "pod", *gone, "--wait=false")
    bank.ready(*stays)
    for name in stays:
        assert bank.fetch("client", url(bank.addresses(name)[0])) == name
    assert eventually(lambda: captured(capturing, "served") == before + len(stays), 120)
    bank.kubectl("delete", "pod", *stays)
    assert eventually(lambda: captured(capturing, "served") == before, 120)
    assert eventually(lambda: captured(capturing, "refused") == 0)
    assert witness.plaintext() == {}


def test_a_pod_whose_exclusions_cannot_be_read_stays_closed_and_an_event_says_why(
    capturing: Mesh,
) -> None:
    image = "localhost/stoq/sidecar:dev"
    config = dataclasses.replace(
        CONFIG, capture="node", sidecar_image=image, init_image=image, pull_policy="Never"
    )
    with capturing.namespace(enrolled=False) as outside:
        made = decide(pod("odd", serve("odd")), outside.namespace, config)
        assert isinstance(made, Injected)
        sidecar, _ = made.pod["spec"]["initContainers"]
        sidecar["env"].append({"name": "STOQ_CAPTURE_EXCLUDE_INBOUND_PORTS", "value": "any"})
        outside.apply(dict(made.pod))

        def events() -> list[str]:
            about = "--field-selector=involvedObject.name=odd,reason=NotCaptured"
            return [item["message"] for item in outside.get("events", about)["items"]]

        (said,) = eventually(events, 120)
        assert "'any'" in said
        (status,) = outside.get("pod", "odd")["status"]["containerStatuses"]
        assert status["state"].keys() == {"waiting"}
        assert eventually(lambda: captured(capturing, "refused") == 1)
        outside.kubectl("delete", "pod", "odd", "--now")
    assert eventually(lambda: captured(capturing, "refused") == 0, 120)


def test_the_second_lock_knows_pods_without_stoq_init(capturing: Mesh, bank: Cluster) -> None:
    bare = json.dumps(pod("bare", WAIT))
    capturing.cluster.kubectl("delete", "mutatingwebhookconfiguration", "stoq-injector")

    def refusal() -> str:
        try:
            bank.kubectl("create", "--dry-run=server", "-f", "-", stdin=bare)
        except Failed as error:
            return str(error)
        return ""

    try:
        assert "stoq-sidecar and stoq-ready are not its first init containers" in eventually(
            refusal
        )
    finally:
        capturing.install(CHART, **ON)
    assert eventually(lambda: not refusal())

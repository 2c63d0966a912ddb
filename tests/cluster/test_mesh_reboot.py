"""A node reboots: every pod on it ends at once, and comes back with another address."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster.access import Cluster, hack_cluster
from cluster.mesh import Mesh, eventually, rolled_out
from cluster.pods import pod, serve, service
from cluster.traffic import asking, no_request_fails
from cluster.witness import Witness

pytestmark = pytest.mark.timeout(600)

BACK_SECONDS = 180.0
"""From the node's being ready again to the first answer of a pod that was on it."""


def test_after_a_reboot_of_a_node_its_pods_are_in_the_mesh_again(
    pair: Cluster, mesh: Mesh, witness: Witness
) -> None:
    first, second = pair.nodes()[:2]
    pair.apply(pod("near", serve("next door"), first), service("near"))
    pair.ready("near")
    pair.apply(asking("stays", pair, "near", first))
    pair.ready("stays")
    eventually(lambda: "ok" in pair.kubectl("logs", "stays"))
    with no_request_fails(pair, "stays"), ThreadPoolExecutor(1) as beside:
        hack_cluster("stop", "--name", pair.name, second)
        up = beside.submit(hack_cluster, "up", "--name", pair.name)
        # Its captures ended with it. From before its first pod there are others.
        witness.watch(second)
        up.result()
        eventually(lambda: pair.fetch("client", "http://web/") == "hello", BACK_SECONDS)
        eventually(lambda: pair.kubectl("logs", "asks", "--tail=1") == "ok\n")
    # Again and again, where the machine is slow.
    again = restarts(pair, "web")
    assert again.keys() == {"main", "stoq-sidecar", "stoq-init"}
    assert min(again.values()) >= 1
    assert set(restarts(pair, "near").values()) == {0}
    rolled_out(mesh.system, "stoq-operator")
    pair.apply(pod("newcomer", serve("new"), second), service("newcomer"))
    pair.ready("newcomer")
    assert pair.fetch("client", "http://newcomer/") == "new"


def restarts(cluster: Cluster, name: str) -> dict[str, int]:
    found = cluster.get("pod", name)["status"]
    each = found["containerStatuses"] + found["initContainerStatuses"]
    return {item["name"]: item["restartCount"] for item in each}

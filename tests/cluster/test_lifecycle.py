"""`hack/cluster` itself: run again, after a fault, and with nothing to do."""

import pytest

from cluster.access import Cluster, Failed, hack_cluster, url
from cluster.pods import WAIT, pod, serve

pytestmark = pytest.mark.timeout(900)


def test_up_again_changes_nothing(running: Cluster) -> None:
    # Those of another test may be ending.
    before = {
        pod["metadata"]["uid"]
        for pod in running.get("pods", "-A")["items"]
        if "deletionTimestamp" not in pod["metadata"]
    }
    hack_cluster("up", "--name", running.name)
    after = {pod["metadata"]["uid"] for pod in running.get("pods", "-A")["items"]}
    assert before <= after


def test_up_with_other_options_is_refused_and_says_how_to_go_on(running: Cluster) -> None:
    with pytest.raises(Failed, match="hack/cluster down"):
        hack_cluster("up", "--name", running.name, "--nodes", "7")


def test_a_stopped_service_stays_down_until_up(running: Cluster) -> None:
    target = "control/kube-scheduler"
    assert f"{target:<32} running" in hack_cluster("status", "--name", running.name)
    hack_cluster("stop", "--name", running.name, target)
    with pytest.raises(Failed, match=f"{target} +down"):
        hack_cluster("status", "--name", running.name)
    hack_cluster("up", "--name", running.name)
    assert f"{target:<32} running" in hack_cluster("status", "--name", running.name)


def test_a_node_that_failed_runs_its_pods_again_after_up(cluster: Cluster) -> None:
    first, last = cluster.nodes()[0], cluster.nodes()[-1]
    cluster.apply(pod("survivor", serve("back"), last), pod("client", WAIT, first))
    cluster.ready("survivor", "client")
    hack_cluster("stop", "--name", cluster.name, last)
    hack_cluster("up", "--name", cluster.name)
    again = "--for=jsonpath={.status.containerStatuses[0].restartCount}=1"
    cluster.kubectl("wait", again, "pod/survivor", "--timeout=180s", timeout=190.0)
    cluster.ready("survivor")
    for address in cluster.addresses("survivor"):
        assert cluster.fetch("client", url(address)) == "back"


def test_down_of_a_cluster_that_is_not_there_is_no_error() -> None:
    hack_cluster("down", "--name", "never-made")

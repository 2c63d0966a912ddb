"""`hack/cluster` itself: run again, after a fault, with other IP versions, and what it leaves."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.access import Cluster, Failed, hack_cluster, url
from cluster.families import FAMILIES, answers_by_every_address
from cluster.pods import WAIT, pod, serve
from clusterlib import modules, record
from clusterlib.plan import Plan

pytestmark = pytest.mark.timeout(900)


@contextmanager
def short_lived(name: str, *options: str) -> Iterator[Cluster]:
    hack_cluster("up", "--name", name, *options)
    try:
        yield Cluster(name)
    finally:
        hack_cluster("down", "--name", name)


def marks(plan: Plan) -> tuple[str, ...]:
    """What names a thing as this cluster's: others may come and go beside it."""
    return (plan.title, f"{plan.host_link} ", *(str(range_[0])[:-1] for range_ in plan.ranges))


def on_the_machine() -> set[str]:
    """Everything that a cluster might leave: namespaces, links, routes, cgroups, mounts, files."""
    listings = ["ip netns list", "ip -o link", "ip route", "ip -6 route", "cat /proc/mounts"]
    lines = {
        f"{command}: {line.split(':')[1] + ' ' if command == 'ip -o link' else line}"
        for command in listings
        for line in subprocess.check_output(command.split(), text=True).splitlines()
    }
    folders = ["/sys/fs/cgroup", "/var/lib", "/run", "/var/log", "/etc/cni"]
    found = [*Path("/sys/fs/cgroup").glob("*/*"), *(Path(f) for f in folders)]
    found += [entry for f in folders if Path(f).is_dir() for entry in Path(f).iterdir()]
    kernel = [Path("/proc/sys/vm/overcommit_memory"), Path("/proc/sys/kernel/panic")]
    return lines | {str(path) for path in found} | {f"{k}: {k.read_text()}" for k in kernel}


@pytest.mark.parametrize(("family", "expected"), FAMILIES)
def test_a_cluster_of_another_family_works_and_leaves_nothing(
    family: str, expected: list[int]
) -> None:
    before = on_the_machine()
    with short_lived(f"t-{family}", "--ip-family", family) as cluster:
        kept = record.find(cluster.name)
        assert kept is not None
        own = marks(modules.plan_of(kept))
        assert any(mark in line for line in on_the_machine() for mark in own)
        answers_by_every_address(cluster, expected, "web.default")
    left = on_the_machine() - before
    assert [line for line in left if any(mark in line for mark in (*own, "kernel"))] == []


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

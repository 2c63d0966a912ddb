"""Clusters of other IP versions, each made for it: bare, with the mesh, and what they leave."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.access import HACK, Cluster, hack_cluster
from cluster.families import (
    FAMILIES,
    answers_by_every_address,
    refuses_ipv4_where_policy_says,
)
from cluster.mesh import Mesh
from cluster.witness import Witness
from clusterlib import modules, record
from clusterlib.plan import Plan

pytestmark = pytest.mark.timeout(900)

IMAGES = HACK.parents[1] / ".stoq" / "images"


@dataclass
class Other:
    """A cluster, the versions of its addresses, and what was on the machine before it."""

    cluster: Cluster
    versions: list[int]
    before: set[str]


@pytest.fixture(scope="module", params=FAMILIES, ids=[family for family, _ in FAMILIES])
def other(request: pytest.FixtureRequest) -> Iterator[Other]:
    family, versions = request.param
    before, name = on_the_machine(), f"t-{family}"
    hack_cluster("up", "--name", name, "--ip-family", family)
    try:
        yield Other(Cluster(name), versions, before)
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


def test_a_cluster_of_another_family_works(other: Other) -> None:
    answers_by_every_address(other.cluster, other.versions, "web.default")


def test_the_mesh_carries_every_ip_version_but_to_pods_that_are_ipv6_only_by_policy(
    other: Other, tmp_path_factory: pytest.TempPathFactory
) -> None:
    hack_cluster("load", "--name", other.cluster.name, *sorted(IMAGES.glob("*.tar")))
    witness = Witness(other.cluster, tmp_path_factory.mktemp("witness"))
    mesh = Mesh(other.cluster)
    with witness.watching():
        mesh.install()
        with mesh.namespace() as shop:
            answers_by_every_address(shop, other.versions, "web")
            if 6 in other.versions:
                refuses_ipv4_where_policy_says(shop)
    assert witness.meshed()
    assert witness.plaintext() == {}


def test_a_cluster_that_is_taken_down_leaves_nothing(other: Other) -> None:
    kept = record.find(other.cluster.name)
    assert kept is not None
    own = marks(modules.plan_of(kept))
    assert any(mark in line for line in on_the_machine() for mark in own)
    hack_cluster("down", "--name", other.cluster.name)
    left = on_the_machine() - other.before
    assert [line for line in left if any(mark in line for mark in (*own, "kernel"))] == []

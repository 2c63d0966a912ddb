"""Fixtures of the ring on a real Kubernetes: the cluster that `hack/cluster up` made.

Tests know a kubeconfig and the verbs of `hack/cluster`, not how the cluster was made. Without a
cluster they fail: none is ever skipped.
"""

import os
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from shutil import move
from uuid import uuid4

import pytest

from cluster.access import HACK, Cluster, hack_cluster
from cluster.operators import CRDS, Operator

SERVERS = ("postgresql", "python3-minimal", "redis-server", "redis-tools")
"""Debian packages of the servers that are run through the mesh."""


@pytest.fixture(scope="session")
def running() -> Cluster:
    """The cluster under test: STOQ_CLUSTER, else `local`."""
    return Cluster(os.environ.get("STOQ_CLUSTER", "local"))


@pytest.fixture(scope="session")
def applications(running: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image with unmodified servers and their clients, on every node: its name.

    Kept in .stoq: Debian is downloaded once, not for every run.
    """
    tag = "localhost/stoq/applications:" + sha256(" ".join(SERVERS).encode()).hexdigest()[:12]
    archive = HACK.parents[1] / ".stoq" / f"applications-{tag.rpartition(':')[2]}.tar"
    if not archive.exists():
        archive.parent.mkdir(exist_ok=True)
        fresh = tmp_path_factory.mktemp("image") / "image.tar"
        hack_cluster("image", tag, fresh, *SERVERS)
        move(fresh, archive)
    hack_cluster("load", "--name", running.name, archive)
    return tag


@pytest.fixture(scope="module")
def cluster(running: Cluster) -> Iterator[Cluster]:
    """The cluster, with a namespace of the module's own as the one that is meant."""
    namespace = f"t-{uuid4().hex[:8]}"
    running.kubectl("create", "namespace", namespace)
    yield Cluster(running.name, namespace)
    running.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="module")
def crds(running: Cluster) -> None:
    running.kubectl("apply", "--server-side", "-f", str(CRDS))
    running.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRDS))


@pytest.fixture
async def operator(
    crds: None, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Operator]:
    monkeypatch.setenv("KUBECONFIG", cluster.environment["KUBECONFIG"])
    async with Operator(cluster.namespace, "first").running() as found:
        yield found

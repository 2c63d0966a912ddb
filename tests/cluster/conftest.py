"""Fixtures of the ring on a real Kubernetes: the cluster that `hack/cluster up` made.

Tests know a kubeconfig and the verbs of `hack/cluster`, not how the cluster was made. Without a
cluster they fail: none is ever skipped.
"""

import os
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from cluster.access import Cluster, hack_cluster
from cluster.applications import TAG, archive
from cluster.capturing import ON
from cluster.mesh import CHART, Mesh, sidecar_account
from cluster.operators import CRDS, Operator
from cluster.traffic import talking
from cluster.witness import Witness

HERE = Path(__file__).parent

TEST_SECONDS = 400
"""Of a test that does not name its own: pods alone may take half of it."""


@pytest.fixture(scope="session")
def running() -> Cluster:
    """The cluster under test: STOQ_CLUSTER, else `local`."""
    return Cluster(os.environ.get("STOQ_CLUSTER", "local"))


@pytest.fixture(scope="session")
def applications(running: Cluster) -> str:
    """An image with unmodified servers and their clients, on every node: its name."""
    hack_cluster("load", "--name", running.name, archive())
    return TAG


@pytest.fixture(scope="module")
def cluster(running: Cluster) -> Iterator[Cluster]:
    """The cluster, with a namespace of the module's own as the one that is meant."""
    namespace = f"t-{uuid4().hex[:8]}"
    running.kubectl("create", "namespace", namespace)
    yield Cluster(running.name, namespace)
    running.kubectl("delete", "namespace", namespace, "--wait=false")


@pytest.fixture(scope="module")
def crds(running: Cluster) -> Iterator[None]:
    """The definitions, without the chart, which takes over none that are there already; those that
    it has left behind are taken from it.
    """
    running.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    running.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRDS))
    yield
    running.kubectl("delete", "-f", str(CRDS), timeout=90.0)


@pytest.fixture
async def operator(
    crds: None, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Operator]:
    monkeypatch.setenv("KUBECONFIG", cluster.environment["KUBECONFIG"])
    async with Operator(cluster.namespace, "first").running() as found:
        yield found


@pytest.fixture(scope="session")
def witness(running: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Witness]:
    """Captures on every node, from before the first pod of the mesh to after the last.

    At the end nothing but STOQ and ICMP may have gone from one pod of the mesh to another.
    """
    witness = Witness(running, tmp_path_factory.mktemp("witness"))
    with witness.watching():
        yield witness
    assert witness.meshed(), "no pod was ever in the mesh: the captures prove nothing"
    assert witness.plaintext() == {}


@pytest.fixture(scope="session")
def mesh(running: Cluster, witness: Witness) -> Iterator[Mesh]:
    """STOQ, installed from the chart with the images of this repository."""
    installed = Mesh(running)
    installed.install()
    yield installed
    installed.uninstall()


@pytest.fixture(scope="session")
def capturing(mesh: Mesh) -> Mesh:
    """The mesh with agents that capture, to the end: its tests come last."""
    mesh.install(CHART, **ON)
    return mesh


@pytest.fixture(scope="module")
def shop(mesh: Mesh) -> Iterator[Cluster]:
    """An enrolled namespace of the module's own."""
    with mesh.namespace() as namespace:
        yield namespace


@pytest.fixture(scope="module")
def pair(shop: Cluster) -> Cluster:
    """The module's namespace with strict peers that talk all the time, and a stranger to them."""
    return talking(shop)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the mesh installed comes last: there must be no second operator beside it. Within
    that comes last what has it installed in another way.
    """
    items.sort(
        key=lambda item: [
            fixture in getattr(item, "fixturenames", ()) for fixture in ("mesh", "capturing")
        ]
    )
    for item in items:
        if item.path.parent == HERE and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure of the mesh comes with what the mesh has to say; its pods are gone soon after."""
    report = yield
    fixtures = getattr(item, "funcargs", {})
    if report.failed and isinstance(fixtures.get("mesh"), Mesh):
        report.sections.append(("the mesh", fixtures["mesh"].account()))
    if report.failed and isinstance(fixtures.get("shop"), Cluster):
        report.sections.append(("the namespace", sidecar_account(fixtures["shop"])))
    return report

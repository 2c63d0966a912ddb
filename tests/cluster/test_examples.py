"""The API server, with the chart installed, takes every example as it stands."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cluster.access import Cluster
from cluster.mesh import Mesh

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMESPACE = "shop"
"""Where the examples are, as in the README."""


@pytest.fixture(scope="module")
def readers(mesh: Mesh) -> Iterator[Cluster]:
    """The namespace that whoever tries the examples has made and enrolled."""
    mesh.cluster.kubectl("create", "namespace", NAMESPACE)
    mesh.cluster.kubectl("label", "namespace", NAMESPACE, "stoq.dev/inject=enabled")
    yield Cluster(mesh.cluster.name, NAMESPACE)
    mesh.cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.mark.parametrize(
    "path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: str(path.relative_to(EXAMPLES))
)
def test_the_example_is_accepted(readers: Cluster, path: Path) -> None:
    said = readers.kubectl("apply", "--dry-run=server", "-f", str(path))
    wanted = [document for document in yaml.safe_load_all(path.read_text()) if document]
    assert said.count("(server dry run)") == len(wanted) > 0

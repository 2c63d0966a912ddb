"""The mesh with node agents that capture."""

from collections.abc import Iterator
from contextlib import contextmanager

from cluster.mesh import CHART, Mesh, eventually
from cluster.test_node import capabilities

ON = {"node.enabled": "true", "capture.mode": "node"}
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


@contextmanager
def by_agents(mesh: Mesh) -> Iterator[Mesh]:
    """Afterwards without them, and without what they leave."""
    mesh.install(CHART, **ON)
    yield mesh
    mesh.install(CHART, **ON, **{"node.guard.mode": "off"})
    eventually(lambda: all(item["status"]["guard"] == "off" for item in capabilities(mesh)), 120)
    mesh.install()

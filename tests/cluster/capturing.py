"""The mesh with node agents that capture."""

from collections.abc import Iterator
from contextlib import contextmanager

from cluster.mesh import CHART, Mesh

ON = {"capture.mode": "node"}
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


@contextmanager
def by_agents(mesh: Mesh) -> Iterator[Mesh]:
    """Afterwards the sidecars capture again."""
    mesh.install(CHART, **ON)
    yield mesh
    mesh.install()

"""A short look at the mesh on clusters of other IP versions, each made for it."""

import pytest

from cluster.access import HACK, Cluster, hack_cluster
from cluster.families import FAMILIES, answers_by_every_address
from cluster.mesh import Mesh
from cluster.witness import Witness

IMAGES = HACK.parents[1] / ".stoq" / "images"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("family", "expected"), FAMILIES)
def test_the_mesh_carries_every_ip_version(
    family: str, expected: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    name = f"m-{family}"
    hack_cluster("up", "--name", name, "--ip-family", family)
    try:
        hack_cluster("load", "--name", name, *sorted(IMAGES.glob("*.tar")))
        cluster = Cluster(name)
        witness = Witness(cluster, tmp_path_factory.mktemp("witness"))
        witness.start()
        mesh = Mesh(cluster)
        mesh.install()
        with mesh.namespace() as shop:
            answers_by_every_address(shop, expected, "web")
        witness.stop()
        assert witness.meshed()
        assert witness.plaintext() == {}
    finally:
        hack_cluster("down", "--name", name)

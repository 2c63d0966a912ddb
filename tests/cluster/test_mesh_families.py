"""A short look at the mesh on clusters of other IP versions, each made for it."""

import pytest

from cluster.access import HACK, Cluster, hack_cluster, url, versions
from cluster.mesh import Mesh
from cluster.pods import WAIT, pod, serve, service
from cluster.witness import Witness

IMAGES = HACK.parents[1] / ".stoq" / "images"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("family", "expected"), [("ipv4", [4]), ("dual", [6, 4])])
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
            first, second = shop.nodes()
            web = service("web")
            if len(expected) > 1:
                web["spec"]["ipFamilyPolicy"] = "RequireDualStack"
            shop.apply(pod("client", WAIT, first), pod("web", serve("hi"), second), web)
            shop.ready("client", "web")
            assert versions(shop.addresses("web")) == expected
            for address in shop.addresses("web"):
                assert shop.fetch("client", url(address)) == "hi"
            for address in shop.get("service", "web")["spec"]["clusterIPs"]:
                assert shop.fetch("client", url(address, 80)) == "hi"
            assert shop.fetch("client", "http://web/") == "hi"
        witness.stop()
        assert witness.meshed()
        assert witness.plaintext() == {}
    finally:
        hack_cluster("down", "--name", name)

"""Without us, workloads run on after a restart."""

import pytest

from cluster.access import Cluster, Failed
from cluster.mesh import Mesh, eventually
from cluster.pods import WAIT, pod, serve, service

pytestmark = pytest.mark.timeout(900)


def test_after_uninstall_and_a_restart_pods_talk_as_before_without_us(
    shop: Cluster, mesh: Mesh
) -> None:
    shop.apply(pod("client", WAIT), pod("web", serve("hello"), restartPolicy="Always"))
    shop.apply(service("web"))
    shop.ready("client", "web")
    assert shop.fetch("client", "http://web/") == "hello"
    mesh.uninstall()
    try:
        shop.kubectl("label", "namespace", shop.namespace, "stoq.dev/inject-")
        shop.kubectl("delete", "pod", "client", "web")
        shop.apply(pod("client", WAIT), pod("web", serve("hello")))
        shop.ready("client", "web")
        assert "initContainers" not in shop.get("pod", "client")["spec"]
        assert shop.fetch("client", "http://web/") == "hello"
        # Records are the user's: they stay for the next installation.
        assert eventually(lambda: shop.kubectl("get", "crd", "servicerecords.stoq.dev"))
        with pytest.raises(Failed, match="not found"):
            shop.kubectl("get", "mutatingwebhookconfiguration", "stoq-injector")
    finally:
        mesh.install()

"""Unmodified programs in an enrolled namespace talk as before, and on the wire it is STOQ."""

import pytest

from cluster.access import Cluster, url
from cluster.mesh import RELEASE, Mesh, sidecar_connections
from cluster.pods import WAIT, pod, serve, service
from cluster.witness import Witness

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def pair(shop: Cluster) -> Cluster:
    """A client on the first node; servers on both, each with a Service, one headless as well."""
    first, second = shop.nodes()[:2]
    headless = service("web", clusterIP="None")
    headless["metadata"]["name"] = "web-pods"
    shop.apply(
        pod("client", WAIT, first),
        pod("web", serve("hello"), second, hostname="web-0", subdomain="web-pods"),
        pod("near", serve("next door"), first),
        service("web"),
        service("near"),
        headless,
    )
    shop.ready("client", "web", "near")
    return shop


def test_pods_get_the_meshs_containers_first(pair: Cluster) -> None:
    containers = pair.get("pod", "client")["spec"]["initContainers"]
    names = [each["name"] for each in containers[:2]]
    assert names == ["stoq-sidecar", "stoq-init"]
    assert containers[0]["restartPolicy"] == "Always"


def test_a_pod_reaches_a_pod_on_another_node_by_address(pair: Cluster) -> None:
    for address in pair.addresses("web"):
        assert pair.fetch("client", url(address)) == "hello"


def test_a_pod_reaches_a_pod_on_its_own_node(pair: Cluster) -> None:
    for address in pair.addresses("near"):
        assert pair.fetch("client", url(address)) == "next door"


def test_a_service_answers_by_name_and_by_cluster_ip(pair: Cluster) -> None:
    assert pair.fetch("client", "http://web/") == "hello"
    for address in pair.get("service", "web")["spec"]["clusterIPs"]:
        assert pair.fetch("client", url(address, 80)) == "hello"


def test_a_headless_service_answers_by_its_own_and_its_pods_name(pair: Cluster) -> None:
    assert pair.fetch("client", "http://web-pods:8080/") == "hello"
    assert pair.fetch("client", f"http://web-0.web-pods.{pair.namespace}:8080/") == "hello"


def test_both_ends_were_authenticated_with_post_quantum_algorithms(pair: Cluster) -> None:
    pair.fetch("client", "http://web/")
    account = f"spiffe://cluster.local/ns/{pair.namespace}/sa/default"
    connections = sidecar_connections(pair, "client")
    assert account in {each["spiffe_id"] for each in connections}
    for each in connections:
        assert each["key_exchange"] == "X25519MLKEM768"
        assert "falcon" in each["signature"].lower()


def test_a_pod_inside_the_mesh_still_reaches_one_outside(
    pair: Cluster, mesh: Mesh, witness: Witness
) -> None:
    with mesh.namespace(enrolled=False) as outside:
        outside.apply(pod("plain", serve("outside")))
        outside.ready("plain")
        address = outside.addresses("plain")[0]
        assert pair.fetch("client", url(address)) == "outside"
        # What the captures would have had to show of a meshed pod as well.
        assert witness.seen(address, 8080) > 0


def test_a_pod_that_opts_out_has_no_sidecar(pair: Cluster) -> None:
    manifest = pod("alone", serve("alone"))
    manifest["metadata"]["labels"]["stoq.dev/inject"] = "disabled"
    pair.apply(manifest)
    pair.ready("alone")
    assert "initContainers" not in pair.get("pod", "alone")["spec"]
    assert pair.fetch("client", url(pair.addresses("alone")[0])) == "alone"


def test_the_charts_own_test_passes(mesh: Mesh) -> None:
    assert "Succeeded" in mesh.helm("test", RELEASE)

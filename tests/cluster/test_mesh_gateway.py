"""A record of another namespace is reached over the chart's gateway."""

from collections.abc import Iterator

import pytest

from cluster.access import Cluster
from cluster.mesh import Mesh, eventually
from cluster.pods import WAIT, pod, serve
from cluster.test_mesh_records import record
from cluster.witness import Witness

pytestmark = pytest.mark.timeout(600)

IDENTITY = "spiffe://cluster.local/ns/stoq-system/sa/stoq-gateway"

CARRIED = (
    "import urllib.request as u;"
    "page = u.urlopen('http://localhost:14020/metrics').read().decode().splitlines();"
    "print([line.split()[1] for line in page if line.startswith('stoq_hop_bytes_total')][0])"
)


@pytest.fixture(scope="module")
def plant(mesh: Mesh, shop: Cluster) -> Iterator[Cluster]:
    """A namespace whose one server is behind the gateway."""
    with mesh.namespace() as found:
        first, second = found.nodes()[:2]
        shop.apply(pod("client", WAIT, node=first))
        found.apply(pod("stock", serve("by gateway"), node=second))
        found.ready("stock")
        shop.ready("client")
        stock = f"spiffe://cluster.local/ns/{found.namespace}/sa/default"
        gateway = {
            "apiVersion": "stoq.dev/v1alpha1",
            "kind": "HopGateway",
            "metadata": {"name": found.namespace},
            "spec": {
                "spiffeId": IDENTITY,
                "networks": found.addresses("stock"),
                "forwards": [{"from": "spiffe://cluster.local", "to": stock}],
            },
        }
        ports = [{"port": 80, "targetPort": 8080}]
        hops = [{"gateways": [found.namespace]}]
        behind = record("stock", ports=ports, selector={"matchLabels": {"app": "stock"}}, hops=hops)
        found.apply(gateway, behind)
        yield found
        found.kubectl("delete", "hopgateway", found.namespace)


def ready(cluster: Cluster, kind: str, name: str) -> bool:
    conditions = cluster.get(kind, name)["status"]["conditions"]
    return {item["type"]: item["status"] for item in conditions}["Ready"] == "True"


def carried(mesh: Mesh) -> float:
    """Bytes that the replicas of the gateway have forwarded."""
    pods = mesh.system.get("pods", "--selector=app.kubernetes.io/component=gateway")["items"]
    python = ["/opt/stoq/bin/python", "-c", CARRIED]
    return sum(
        float(mesh.system.kubectl("exec", item["metadata"]["name"], "--", *python)) for item in pods
    )


def test_a_pod_of_another_namespace_goes_over_the_gateway_and_nothing_is_in_the_clear(
    mesh: Mesh, shop: Cluster, plant: Cluster, witness: Witness
) -> None:
    assert eventually(lambda: ready(plant, "stoqhg", plant.namespace))
    assert eventually(lambda: ready(plant, "stoqsr", "stock"))
    before = carried(mesh)
    assert shop.fetch("client", f"http://stock.{plant.namespace}.stoq/") == "by gateway"
    assert carried(mesh) > before + 10_000, "a handshake alone is more"
    assert witness.plaintext() == {}

"""A record is a name and an address in every meshed pod, a moment after `kubectl apply`."""

import pytest

from cluster.access import Cluster, Failed, answer_addresses, url
from cluster.mesh import eventually
from cluster.pods import WAIT, pod, serve

pytestmark = pytest.mark.timeout(600)


def record(name: str, **spec: object) -> dict[str, object]:
    return {
        "apiVersion": "stoq.dev/v1alpha1",
        "kind": "ServiceRecord",
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.fixture(scope="module")
def named(shop: Cluster) -> Cluster:
    shop.apply(pod("client", WAIT), pod("behind", serve("by record")))
    shop.ready("client", "behind")
    ports = [{"port": 9293, "targetPort": 8080}]
    shop.apply(record("trustchain", ports=ports, selector={"matchLabels": {"app": "behind"}}))
    return shop


def vip(cluster: Cluster) -> str:
    return str(cluster.get("stoqsr", "trustchain")["status"]["vip"])


def test_a_record_has_an_address_of_its_own_that_connects(named: Cluster) -> None:
    address = eventually(lambda: vip(named))
    assert named.fetch("client", url(address, 9293)) == "by record"


def test_a_record_resolves_by_name(named: Cluster) -> None:
    name = f"trustchain.{named.namespace}.stoq"
    found = eventually(lambda: answer_addresses(named.execute("client", "nslookup", name)))
    assert found == [vip(named)]
    assert named.fetch("client", f"http://{name}:9293/") == "by record"


def test_names_of_the_cluster_resolve_as_before(named: Cluster) -> None:
    said = named.execute("client", "nslookup", "kubernetes.default.svc.cluster.local")
    wanted = named.get("service", "kubernetes", "--namespace", "default")["spec"]["clusterIPs"]
    assert answer_addresses(said) == wanted


def test_a_record_that_makes_no_sense_is_refused_with_the_field(named: Cluster) -> None:
    with pytest.raises(Failed, match="ports"):
        named.apply(record("wrong", ports=[{"port": 70000}]))

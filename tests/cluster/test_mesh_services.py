"""Every kind of Service means between meshed pods what it means without us."""

from typing import Any

import pytest

from cluster.access import Cluster, url, versions
from cluster.mesh import Mesh, eventually, sidecar_endpoints
from cluster.pods import WAIT, pod, serve, service

pytestmark = pytest.mark.timeout(600)

TIMES = 12
"""Requests; between two pods all of them go to the same one in 1 of 2,000 cases."""

TWINS = {"one", "two"}


def twin(name: str, port: int, node: str) -> dict[str, Any]:
    """A pod that answers with its name at a port that is called `web`, whatever its number."""
    made = pod(name, serve(name, port), node)
    made["metadata"]["labels"]["role"] = "twin"
    made["spec"]["containers"][0]["ports"] = [{"name": "web", "containerPort": port}]
    return made


def by_name(name: str, **spec: Any) -> dict[str, Any]:
    """A Service for both, at their ports of that name."""
    ports = [{"port": 80, "targetPort": "web"}]
    return service(name, **{"selector": {"role": "twin"}, "ports": ports, **spec})


def endpoints(name: str, address: str) -> dict[str, Any]:
    """What somebody writes by hand for a Service that selects nothing."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": f"{name}-own", "labels": {"kubernetes.io/service-name": name}},
        "addressType": f"IPv{versions([address])[0]}",
        "ports": [{"port": 8080}],
        "endpoints": [{"addresses": [address]}],
    }


@pytest.fixture(scope="module")
def town(shop: Cluster) -> Cluster:
    """A client and one twin on the first node, the other twin on the second."""
    first, second = shop.nodes()[:2]
    shop.apply(
        pod("client", WAIT, first),
        twin("one", 8080, first),
        twin("two", 8081, second),
        by_name("twins"),
        by_name("sticky", sessionAffinity="ClientIP"),
        by_name("near", internalTrafficPolicy="Local"),
    )
    shop.ready("client", "one", "two")
    return shop


def answers(town: Cluster, name: str) -> dict[str, int]:
    """Who answers requests to a Service's address; its name may not be known yet."""
    address = town.get("service", name)["spec"]["clusterIP"]
    return town.answers("client", url(address, 80), TIMES)


def knows_both(town: Cluster, name: str) -> bool:
    return len(sidecar_endpoints(town, "client", name)) == len(TWINS)


def test_a_target_port_by_name_is_another_number_in_each_pod(town: Cluster) -> None:
    eventually(lambda: set(answers(town, "twins")) == TWINS)


def test_with_session_affinity_a_pod_is_answered_by_the_same_one_each_time(town: Cluster) -> None:
    eventually(lambda: knows_both(town, "sticky"))
    found = answers(town, "sticky")
    assert len(found) == 1
    assert set(found) < TWINS


def test_a_service_of_the_node_alone_is_answered_by_its_pods_only(town: Cluster) -> None:
    eventually(lambda: knows_both(town, "near"))
    assert answers(town, "near") == {"one": TIMES}


def test_an_external_name_leads_to_the_service_that_it_names(town: Cluster) -> None:
    target = f"twins.{town.namespace}.svc.cluster.local"
    town.apply(service("alias", type="ExternalName", externalName=target))
    assert town.fetch("client", "http://alias/") in TWINS


def test_endpoints_by_hand_may_be_pods_of_the_mesh_and_strangers(town: Cluster, mesh: Mesh) -> None:
    town.apply(service("by-hand", selector=None), endpoints("by-hand", town.addresses("one")[0]))
    assert town.fetch("client", "http://by-hand/") == "one"
    with mesh.namespace(enrolled=False) as outside:
        outside.apply(pod("plain", serve("outside")))
        outside.ready("plain")
        town.apply(endpoints("by-hand", outside.addresses("plain")[0]))
        eventually(lambda: town.fetch("client", "http://by-hand/") == "outside")


def test_an_endpoint_that_terminates_serves_only_while_there_is_no_other(town: Cluster) -> None:
    # It goes on when it is told to end, as some do that have much to finish.
    stubborn = ["sh", "-c", serve("leaves")[2].replace("'exit 0'", "''")]
    leaves = pod("leaves", stubborn, terminationGracePeriodSeconds=300)
    stays = pod("stays", serve("stays"))
    for each in (leaves, stays):
        each["metadata"]["labels"]["role"] = "queue"
    town.apply(leaves, stays, service("queue", selector={"role": "queue"}))
    town.ready("leaves", "stays")
    eventually(lambda: set(answers(town, "queue")) == {"leaves", "stays"})

    def told() -> bool:
        found = sidecar_endpoints(town, "client", "queue")
        return any(end.get("terminating") for end in found)

    try:
        town.kubectl("delete", "pod", "leaves", "--wait=false")
        eventually(told)
        assert answers(town, "queue") == {"stays": TIMES}
        town.kubectl("delete", "pod", "stays")
        eventually(lambda: answers(town, "queue") == {"leaves": TIMES})
    finally:
        town.kubectl("delete", "pod", "leaves", "--grace-period=0", "--force", "--wait=false")

"""What every cluster has before anybody uses it."""

from cluster.access import Cluster, versions


def test_two_nodes_are_ready(running: Cluster) -> None:
    items = running.get("nodes")["items"]
    ready = {
        item["metadata"]["name"]: condition["status"]
        for item in items
        for condition in item["status"]["conditions"]
        if condition["type"] == "Ready"
    }
    assert len(ready) >= 2
    assert set(ready.values()) == {"True"}


def test_nodes_have_addresses_of_the_clusters_ip_versions_only(running: Cluster) -> None:
    families = running.get("service", "kubernetes")["spec"]["ipFamilies"]
    for node in running.get("nodes")["items"]:
        addresses = [
            entry["address"]
            for entry in node["status"]["addresses"]
            if entry["type"] == "InternalIP"
        ]
        assert {f"IPv{version}" for version in versions(addresses)} >= set(families)
        if families == ["IPv6"]:
            assert versions(addresses) == [6]


def test_every_pod_of_the_system_runs(running: Cluster) -> None:
    pods = running.get("pods", "--namespace", "kube-system")["items"]
    phases = {pod["metadata"]["name"]: pod["status"]["phase"] for pod in pods}
    assert any(name.startswith("coredns-") for name in phases)
    assert set(phases.values()) == {"Running"}

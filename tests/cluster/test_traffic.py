"""Pods talk to each other, to Services and to names; the API server talks to pods."""

import pytest

from cluster.access import Cluster, answer_addresses, url, versions
from cluster.pods import WAIT, pod, serve, service


@pytest.fixture(scope="module")
def pair(cluster: Cluster) -> Cluster:
    """A client on the first node, and on the second a server with a Service and a headless one."""
    first, second = cluster.nodes()[:2]
    headless = service("web", clusterIP="None")
    headless["metadata"]["name"] = "web-pods"
    cluster.apply(
        pod("client", WAIT, first),
        pod("web", serve("hello"), second, hostname="web-0", subdomain="web-pods"),
        service("web"),
        headless,
    )
    cluster.ready("client", "web")
    return cluster


def test_a_pod_reaches_a_pod_on_another_node(pair: Cluster) -> None:
    for address in pair.addresses("web"):
        assert pair.fetch("client", url(address)) == "hello"


def test_addresses_are_of_the_clusters_first_ip_version(pair: Cluster) -> None:
    families = pair.get("service", "kubernetes", "--namespace", "default")["spec"]["ipFamilies"]
    assert f"IPv{versions(pair.addresses('web'))[0]}" == families[0]


def test_dns_resolves_a_service_to_its_cluster_ip(pair: Cluster) -> None:
    said = pair.execute("client", "nslookup", f"web.{pair.namespace}.svc.cluster.local")
    assert answer_addresses(said) == pair.get("service", "web")["spec"]["clusterIPs"]


def test_a_short_name_reaches_a_service_through_kube_proxy(pair: Cluster) -> None:
    assert pair.fetch("client", "http://web/") == "hello"


def test_dns_resolves_a_headless_service_to_its_pods(pair: Cluster) -> None:
    said = pair.execute("client", "nslookup", f"web-pods.{pair.namespace}.svc.cluster.local")
    assert answer_addresses(said) == pair.addresses("web")


def test_dns_resolves_a_pods_own_name_of_a_headless_service(pair: Cluster) -> None:
    name = f"web-0.web-pods.{pair.namespace}.svc.cluster.local"
    assert answer_addresses(pair.execute("client", "nslookup", name)) == pair.addresses("web")


def test_names_outside_the_cluster_do_not_exist_and_say_so_at_once(pair: Cluster) -> None:
    said = pair.execute("client", "sh", "-c", "nslookup example.com; true")
    assert "NXDOMAIN" in said


def test_a_pod_reaches_the_api_server_by_its_service(pair: Cluster) -> None:
    # busybox has no TLS that the API server accepts, which says so in plain HTTP.
    ask = "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 5 nc kubernetes.default.svc 443"
    assert "HTTP request to an HTTPS server" in pair.execute("client", "sh", "-c", ask)


def test_the_api_server_reaches_a_pod_directly(pair: Cluster) -> None:
    """As it must for webhooks."""
    path = f"/api/v1/namespaces/{pair.namespace}/pods/web:8080/proxy/"
    assert pair.kubectl("get", "--raw", path).strip() == "hello"


def test_the_api_server_reaches_a_service(pair: Cluster) -> None:
    path = f"/api/v1/namespaces/{pair.namespace}/services/web:80/proxy/"
    assert pair.kubectl("get", "--raw", path).strip() == "hello"

"""`stoqctl` on a real API server; the sidecar here is a web server on its administration port."""

import json

import pytest

from cluster.access import Cluster, stoqctl
from cluster.pods import IMAGE, WAIT, container, pod

pytestmark = pytest.mark.timeout(900)

CONNECTION = {
    "state": "established", "spiffe_id": "spiffe://cluster.local/ns/shop/sa/db",
    "remote": "[fd00::3]:14008", "key_exchange": "X25519MLKEM768", "profile": "hybrid-1024",
    "signature": "Ed25519+FALCON-1024", "cipher": "AES-256-GCM", "resumed": False,
    "age_seconds": 9.0, "bytes_sent": 1, "bytes_received": 2, "mtu": 1452,
}  # fmt: skip

PAGES = (
    f"mkdir -p /tmp/www; echo '{json.dumps([CONNECTION])}' > /tmp/www/connections; echo up;"
    " exec httpd -f -p 127.0.0.1:14000 -h /tmp/www"
)


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Cluster:
    """A namespace with one pod that has a sidecar, and one that has none."""
    sidecar = container("stoq-sidecar", ["sh", "-c", PAGES], restartPolicy="Always")
    cluster.apply(
        pod("web", WAIT, initContainers=[sidecar], serviceAccountName="default"), pod("bare", WAIT)
    )
    cluster.ready("web", "bare")
    return cluster


def test_connections_of_a_pod_are_read_from_the_loopback_inside_it(shop: Cluster) -> None:
    status, text = stoqctl(shop, "connections", f"{shop.namespace}/web", "--json")
    assert status == 0
    assert json.loads(text)["connections"] == [CONNECTION]


def test_a_pod_without_sidecar_is_explained(shop: Cluster) -> None:
    status, text = stoqctl(shop, "identity", "bare", "-n", shop.namespace)
    assert status == 1
    assert f"the sidecar of {shop.namespace}/bare does not answer" in text


def test_a_pod_that_is_not_there_is_explained(shop: Cluster) -> None:
    status, text = stoqctl(shop, "connections", "none", "-n", shop.namespace)
    assert status == 1
    assert f"cannot forward a port of pod {shop.namespace}/none" in text


def test_the_sidecars_log_is_printed(shop: Cluster) -> None:
    assert stoqctl(shop, "logs", f"{shop.namespace}/web") == (0, "up\n")


def test_a_check_finds_the_pod_without_sidecar(shop: Cluster) -> None:
    status, text = stoqctl(shop, "check", "-n", shop.namespace, "--json")
    assert status == 1
    found = {item["name"]: item for item in json.loads(text)["checks"]}
    assert found["Kubernetes version"]["ok"]
    assert found["pods without sidecar"]["detail"] == f"{shop.namespace}/bare"


def test_an_administrator_may_install(shop: Cluster) -> None:
    _, text = stoqctl(shop, "check", "--pre", "--json")
    found = {item["name"]: item for item in json.loads(text)["checks"]}
    assert found["rights to install"]["ok"]
    assert found["nodes"]["ok"]


def test_a_network_policy_becomes_an_access_policy_that_decides(shop: Cluster) -> None:
    peers = [{"podSelector": {"matchLabels": {"app": "bare"}}}]
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "web"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "web"}},
            "ingress": [{"from": peers, "ports": [{"port": 8080}]}],
        },
    }
    shop.apply(policy)
    try:
        _, text = stoqctl(shop, "policy", "import", "-n", shop.namespace, "--json")
        _, findings = stoqctl(shop, "check", "-n", shop.namespace)
    finally:
        shop.kubectl("delete", "networkpolicy", "web")
    (made,) = json.loads(text)["policies"]
    accounts = [f"{shop.namespace}/default"]
    assert made["spec"]["rules"] == [
        {"from": {"serviceAccounts": accounts}, "ports": [{"port": 8080}]}
    ]
    assert f"{shop.namespace}/web keeps it from {shop.namespace}/web" in findings


def test_a_sidecar_is_changed_in_place_and_the_application_runs_on(shop: Cluster) -> None:
    options = ("upgrade", "-n", shop.namespace, "--json", "--timeout", "90", "--image")
    before = shop.get("pod", "web")["status"]["containerStatuses"][0]["containerID"]
    status, text = stoqctl(shop, *options, "localhost/nowhere:1")
    (changed,) = json.loads(text)["pods"]
    assert status == 1
    assert "ErrImageNeverPull" in changed["outcome"]
    status, text = stoqctl(shop, *options, IMAGE)
    assert (status, json.loads(text)["pods"][0]["outcome"]) == (0, "done")
    after = shop.get("pod", "web")["status"]["containerStatuses"][0]
    assert (after["containerID"], after["restartCount"]) == (before, 0)

"""TransportPolicies decide how traffic travels: crypto profiles, and the modes of single ports."""

import pytest

from cluster.access import Cluster, url
from cluster.mesh import Mesh, eventually, sidecar_connections, sidecar_page
from cluster.pods import WAIT, pod, serve, service, serving
from cluster.test_mesh_policies import policy, refused

pytestmark = pytest.mark.timeout(600)

FALLBACKS = "stoq_crypto_profile_fallbacks_total"
REFUSED = "stoq_crypto_profile_refused_total"

KEYS = "http://keys/"


@pytest.fixture(scope="module")
def keys(shop: Cluster) -> Cluster:
    """`keys`, whose own keys are to be small, and `asker`, whose are as the mesh has them. What a
    workload requires is told by its SPIFFE id: each has one of its own.
    """
    accounts = ("keys", "asker")
    for account in accounts:
        shop.kubectl("create", "serviceaccount", account)
    shop.apply(
        policy("TransportPolicy", "keys", crypto={"profile": "hybrid-512"}),
        pod("keys", serve("kept"), serviceAccountName="keys"),
        pod("asker", WAIT, serviceAccountName="asker"),
        service("keys"),
    )
    shop.ready(*accounts)
    assert profile(shop, "asker") == "hybrid-1024"
    eventually(lambda: profile(shop, "keys") == "hybrid-512")
    return shop


def profile(cluster: Cluster, name: str) -> str:
    """Of the certificate that a pod proves itself with."""
    return str(sidecar_page(cluster, name, "config")["crypto"]["profile"])


def metric(cluster: Cluster, name: str, *pods: str) -> float:
    """The sum of a counter over the sidecars of pods."""
    pages = [
        cluster.kubectl(
            "get",
            "--raw",
            f"/api/v1/namespaces/{cluster.namespace}/pods/{each}:14020/proxy/metrics",
        )
        for each in pods
    ]
    lines = [line for page in pages for line in page.splitlines() if line.startswith(f"{name} ")]
    assert len(lines) == len(pods)
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_a_preferred_crypto_profile_is_used_and_a_peer_of_another_one_is_counted(
    keys: Cluster,
) -> None:
    assert keys.fetch("asker", KEYS) == "kept"
    peer = f"spiffe://cluster.local/ns/{keys.namespace}/sa/keys"
    found = [one for one in sidecar_connections(keys, "asker") if one["spiffe_id"] == peer]
    assert {one["signature"] for one in found} == {"Ed25519+FALCON-512"}
    assert {one["local_signature"] for one in found} == {"Ed25519+FALCON-1024"}
    assert metric(keys, FALLBACKS, "asker", "keys") > 0
    assert metric(keys, REFUSED, "asker", "keys") == 0


def test_a_required_crypto_profile_keeps_out_a_peer_without_it_until_it_has_it(
    keys: Cluster,
) -> None:
    keys.apply(
        policy("TransportPolicy", "keys", crypto={"profile": "hybrid-512", "mode": "require"})
    )
    eventually(lambda: refused(keys, "asker", KEYS))
    assert refused(keys, "asker", KEYS)
    assert eventually(lambda: metric(keys, REFUSED, "asker", "keys")) > 0
    # Neither is cut off from the registry, whose own certificate is of the other profile.
    assert sidecar_page(keys, "keys", "config")["discovery"]["stale"] is False
    keys.apply(policy("TransportPolicy", "asker", crypto={"profile": "hybrid-512"}))
    assert eventually(lambda: keys.fetch("asker", KEYS)) == "kept"
    assert profile(keys, "asker") == "hybrid-512"


def test_a_port_that_is_said_to_be_open_or_shut_is_so_and_the_others_are_as_the_pod(
    shop: Cluster, mesh: Mesh
) -> None:
    pods = {"shut": ("strict", "permissive"), "open": ("permissive", "strict")}
    for name, (inbound, other) in pods.items():
        ports = [{"port": 8081, "inbound": other}]
        shop.apply(
            policy("TransportPolicy", name, inbound=inbound, ports=ports),
            serving(name, 8080, 8081),
        )
    shop.apply(pod("member", WAIT))
    with mesh.namespace(enrolled=False) as outside:
        outside.apply(pod("stranger", WAIT))
        outside.ready("stranger")
        shop.ready(*pods, "member")
        for name, modes in pods.items():
            for port, mode in zip((8080, 8081), modes, strict=True):
                target = url(shop.addresses(name)[0], port)
                assert shop.fetch("member", target) == name
                if mode == "strict":
                    eventually(lambda target=target: refused(outside, "stranger", target))
                else:
                    assert outside.fetch("stranger", target) == name

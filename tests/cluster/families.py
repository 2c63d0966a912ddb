"""What a cluster of any IP version must do: the same for the bare one and for the mesh on it."""

from cluster.access import Cluster, url, versions
from cluster.mesh import eventually
from cluster.pods import WAIT, pod, serve, service
from cluster.test_mesh_policies import policy, refused

FAMILIES = [("ipv4", [4]), ("dual", [6, 4])]
"""Clusters beside the IPv6 one that all other tests have, with the versions of their addresses."""


def answers_by_every_address(cluster: Cluster, expected: list[int], name: str) -> None:
    """A pod on one node reaches one on another by each address, its Service's, and `name`."""
    first, second = cluster.nodes()
    web = service("web")
    if len(expected) > 1:
        web["spec"]["ipFamilyPolicy"] = "RequireDualStack"
    cluster.apply(pod("client", WAIT, first), pod("web", serve("hi"), second), web)
    cluster.ready("client", "web")
    assert versions(cluster.addresses("web")) == expected
    for address in cluster.addresses("web"):
        assert cluster.fetch("client", url(address)) == "hi"
    for address in cluster.get("service", "web")["spec"]["clusterIPs"]:
        assert cluster.fetch("client", url(address, 80)) == "hi"
    assert cluster.fetch("client", f"http://{name}/") == "hi"


def refuses_ipv4_where_policy_says(cluster: Cluster) -> None:
    """A pod that is IPv6-only by policy, and those of `answers_by_every_address`, which are not."""
    cluster.apply(pod("six", serve("six"), cluster.nodes()[0]))
    cluster.ready("six")
    (six6, six4), (web6, web4) = (map(url, cluster.addresses(name)) for name in ("six", "web"))
    assert cluster.fetch("client", six4) == "six"
    assert cluster.fetch("six", web4) == "hi"
    cluster.apply(policy("TransportPolicy", "six", ipv6Only=True))
    eventually(lambda: refused(cluster, "six", web4))
    eventually(lambda: refused(cluster, "client", six4))
    assert cluster.fetch("six", web6) == "hi"
    assert cluster.fetch("client", six6) == "six"
    assert cluster.fetch("client", web4) == "hi"

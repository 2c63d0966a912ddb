"""Node agents: what a strict pod sends in the clear is dropped by its node, whoever is alive."""

from collections.abc import Iterator
from typing import Any

import pytest

from cluster.access import Cluster, Failed, answer_addresses, hack_cluster, url
from cluster.mesh import SYSTEM, Mesh, checked, eventually
from cluster.pods import WAIT, pod, serve

pytestmark = pytest.mark.timeout(900)

AGENTS = "app.kubernetes.io/component=node"
METRIC = "stoq_node_strict_packets_total{"

# What an application that is root can do, done from its node, where the programs for it are: its
# capture is gone and its sidecar dead. The namespace of a pod is known by its address.
_UNMESH = """
for net in /run/netns/* /var/run/netns/*; do
  nsenter --net="$net" ip -o address | grep -qF " $1/" || continue
  nsenter --net="$net" nft flush ruleset
  here=$(stat -Lc %i "$net")
  for process in /proc/[0-9]*; do
    [ "$(stat -Lc %i "$process/ns/net" 2>/dev/null)" = "$here" ] || continue
    tr '\\0' ' ' <"$process/cmdline" | grep -q stoq-sidecar && kill -KILL "${process#/proc/}"
  done
  exit 0
done
echo "no pod has the address $1" >&2
exit 1
"""


@pytest.fixture
def outside(mesh: Mesh) -> Iterator[Cluster]:
    """A namespace without the mesh, with a server on the second node and a client on the first."""
    with mesh.namespace(enrolled=False) as found:
        first, second = found.nodes()[:2]
        found.apply(pod("server", serve("outside"), second), pod("client", WAIT, first))
        found.ready("server", "client")
        yield found


@pytest.fixture
def strict(mesh: Mesh) -> Iterator[Cluster]:
    """An enrolled namespace, strict both ways, with a pod on the first node."""
    with mesh.namespace() as found:
        found.apply(
            {
                "apiVersion": "stoq.dev/v1alpha1",
                "kind": "TransportPolicy",
                "metadata": {"name": "strict"},
                "spec": {"inbound": "strict", "outbound": "meshOnly"},
            }
        )
        found.apply(pod("vault", serve("secret"), found.nodes()[0]))
        found.ready("vault")
        yield found


def capabilities(mesh: Mesh) -> list[dict[str, Any]]:
    """What agents have said; one that is new says it a moment after its object is there."""
    found = mesh.cluster.get("nodecapabilities")["items"]
    return [item for item in found if item.get("status")]


def enforced(item: dict[str, Any]) -> dict[str, Any]:
    return next(dict(one) for one in item["status"]["conditions"] if one["type"] == "Enforced")


def agents(mesh: Mesh) -> dict[str, str]:
    """Names of the agents by node."""
    found = mesh.system.get("pods", f"--selector={AGENTS}")["items"]
    return {item["spec"]["nodeName"]: item["metadata"]["name"] for item in found}


def dropped(mesh: Mesh, cluster: Cluster, name: str) -> float:
    """Packets of a pod that its node dropped, on the word of the node's agent."""
    node = cluster.get("pod", name)["spec"]["nodeName"]
    where = f"/api/v1/namespaces/{SYSTEM}/pods/{agents(mesh)[node]}:14022/proxy/metrics"
    lines = mesh.cluster.kubectl("get", "--raw", where).splitlines()
    about = (f'namespace="{cluster.namespace}"', f'pod="{name}"', 'verdict="dropped"')
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(METRIC) and all(part in line for part in about)
    )


def segments(cluster: Cluster, name: str) -> int:
    """TCP segments that reached a pod, as its own kernel counts them."""
    head, values = [
        line.split()
        for line in cluster.execute(name, "cat", "/proc/net/snmp").splitlines()
        if line.startswith("Tcp:")
    ]
    return int(values[head.index("InSegs")])


def unmesh(cluster: Cluster, name: str) -> None:
    node, (address, *_) = cluster.get("pod", name)["spec"]["nodeName"], cluster.addresses(name)
    hack_cluster("enter", "--name", cluster.name, node, "bash", "-c", _UNMESH, "unmesh", address)


def refused(cluster: Cluster, caller: str, target: str) -> bool:
    try:
        cluster.execute(caller, "timeout", "3", "wget", "-qO-", target)
    except Failed:
        return True
    return False


def nothing_passes(strict: Cluster, outside: Cluster) -> None:
    """Neither from the strict pod nor to it."""
    before = segments(outside, "server")
    for address in outside.addresses("server"):
        assert refused(strict, "vault", url(address))
    for address in strict.addresses("vault"):
        assert refused(outside, "client", url(address))
    assert segments(outside, "server") == before


def test_every_node_says_what_it_can_do(mesh: Mesh) -> None:
    nodes = {item["metadata"]["name"]: item for item in mesh.cluster.get("nodes")["items"]}
    eventually(lambda: len(capabilities(mesh)) == len(agents(mesh)))
    found = {item["metadata"]["name"]: item for item in capabilities(mesh)}
    assert found.keys() == agents(mesh).keys()
    for name, item in found.items():
        (owner,) = item["metadata"]["ownerReferences"]
        assert owner["uid"] == nodes[name]["metadata"]["uid"]
        assert item["status"]["strict"], item["status"]["reason"]
        assert {one["name"] for one in item["status"]["features"] if one["supported"]} >= {
            "pins",
            "strict",
            "account",
        }
    eventually(lambda: all(enforced(item)["status"] == "True" for item in capabilities(mesh)))
    listed = mesh.cluster.kubectl("get", "stoqnc")
    assert all(name in listed for name in found)
    said = checked(mesh.cluster)
    assert "node agents" in said
    assert "enforcement by the kernel" in said


def test_nothing_leaks_from_a_strict_pod_with_its_sidecar_killed_and_the_agent_deleted(
    mesh: Mesh, strict: Cluster, outside: Cluster
) -> None:
    # The witness sees: without strict mode segments arrive and are counted.
    before = segments(outside, "server")
    for address in outside.addresses("server"):
        assert outside.fetch("client", url(address)) == "outside"
    assert segments(outside, "server") > before

    unmesh(strict, "vault")
    nothing_passes(strict, outside)
    first = eventually(lambda: dropped(mesh, strict, "vault"))

    mesh.system.kubectl("delete", "daemonset", "stoq-node")
    eventually(lambda: not agents(mesh), 120)
    unmesh(strict, "vault")
    nothing_passes(strict, outside)

    mesh.install()
    nothing_passes(strict, outside)
    # The kernel went on counting, and the new agent says so once it knows the pod.
    eventually(lambda: dropped(mesh, strict, "vault") > first)


def test_strict_pods_talk_to_each_other_resolve_names_and_are_probed(
    mesh: Mesh, strict: Cluster
) -> None:
    probed = pod("probed", serve("probed"), strict.nodes()[1])
    probed["spec"]["containers"][0]["readinessProbe"] = {
        "httpGet": {"path": "/", "port": 8080},
        "periodSeconds": 1,
    }
    strict.apply(probed)
    strict.ready("probed")
    for address in strict.addresses("probed"):
        assert strict.fetch("vault", url(address)) == "probed"
    name = "kubernetes.default.svc.cluster.local"
    assert answer_addresses(strict.execute("vault", "nslookup", name))
    eventually(lambda: all(enforced(item)["status"] == "True" for item in capabilities(mesh)))

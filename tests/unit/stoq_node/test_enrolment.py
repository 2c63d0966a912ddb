"""What is enforced for a pod is what its sidecar enforces."""

import dataclasses
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from stoq.capture.plan import PortRange
from stoq.records.mesh import MeshConfigSpec
from stoq.records.meta import Metadata, Selector
from stoq.records.policy import PortModes, TransportPolicy, TransportPolicySpec
from stoq_node._kernel import Permission
from stoq_node.enrolment import Meshed, Surround, claimed, enrolled, meshed, nameservers
from stoq_node.permissions import permissions
from stoq_node.pods import Pod
from support.pods import CONFIG, annotated, pod
from unit.stoq_node.cluster import Object, on_node, wishing

MESH = MeshConfigSpec(trust_domain="cluster.local")
CLUSTER_DNS, NODE_DNS = ip_address("10.96.0.10"), ip_address("192.0.2.53")


def policy(name: str, **spec: Any) -> TransportPolicy:
    return TransportPolicy(
        metadata=Metadata(name=name, namespace="shop"), spec=TransportPolicySpec(**spec)
    )


def read(raw: Object) -> Meshed:
    found = meshed(raw)
    assert found is not None
    return found


def enforced(raw: Object, *policies: TransportPolicy, mesh: MeshConfigSpec = MESH) -> Pod:
    around = Surround(
        mesh=mesh,
        policies=policies,
        cluster_nameservers=(CLUSTER_DNS,),
        node_nameservers=(NODE_DNS,),
        api_servers=((ip_address("10.96.0.1"), 443),),
    )
    return enrolled(read(raw), around, "veth1")


def test_a_pod_has_the_modes_of_the_mesh_and_of_the_policies_that_choose_it() -> None:
    web = on_node("web-0", "10.9.0.2")
    assert (enforced(web).inbound, enforced(web).outbound) == ("permissive", "allow")
    strict = MeshConfigSpec(trust_domain="cluster.local", inbound="strict")
    assert enforced(web, mesh=strict).inbound == "strict"
    chosen = policy("b", selector=Selector({"app": "web"}), outbound="meshOnly")
    other = policy("a", selector=Selector({"app": "db"}), inbound="strict")
    found = enforced(web, chosen, other)
    assert (found.inbound, found.outbound) == ("permissive", "meshOnly")


def test_the_pods_own_word_counts_as_it_was_when_the_pod_was_made() -> None:
    strict = MeshConfigSpec(trust_domain="cluster.local", inbound="strict", outbound="meshOnly")
    own = wishing("web-0", inbound="permissive", outbound="allow")
    found = enforced(own, mesh=strict)
    assert (found.inbound, found.outbound) == ("permissive", "allow")
    # Annotated later, when the sidecar had long begun to be strict.
    later = on_node("web-0", annotations={"stoq.dev/inbound": "permissive"})
    assert enforced(later, mesh=strict).inbound == "strict"


def test_ports_that_are_open_in_a_strict_pod_pass() -> None:
    ports = (
        PortModes(port=9090, inbound="permissive"),
        PortModes(port=5432, outbound="allow"),
    )
    chosen = policy("a", inbound="strict", outbound="meshOnly", ports=ports)
    found = enforced(on_node("web-0", "10.9.0.2"), chosen)
    assert found.open_inbound_ports == (PortRange(9090, 9090),)
    assert found.open_outbound_ports == (PortRange(5432, 5432),)
    given = permissions(found)
    assert Permission.port(9090, "tcp", "to_pod") in given
    assert Permission.port(5432, "tcp", "from_pod") in given
    assert Permission.port(9090, "tcp", "from_pod") not in given
    assert (found.drops("inbound", 9090), found.drops("inbound", 80)) == (False, True)
    assert (found.drops("outbound", 5432), found.drops("outbound", 443)) == (False, True)
    own = enforced(wishing("web-0", inbound="strict", outbound="meshOnly"), chosen)
    assert own.open_inbound_ports == own.open_outbound_ports == ()


def test_what_capture_leaves_alone_passes() -> None:
    found = enforced(
        wishing(
            "web-0",
            exclude_outbound_ports="443,8000-8010",
            exclude_outbound_cidrs="10.0.0.0/8",
            exclude_inbound_ports="22",
        )
    )
    assert found.exclude_outbound_ports == (PortRange(443, 443), PortRange(8000, 8010))
    assert found.exclude_outbound_networks == (ip_network("10.0.0.0/8"),)
    assert found.exclude_inbound_ports == (PortRange(22, 22),)


def test_udp_passes_as_it_is_unless_the_sidecar_captures_it() -> None:
    assert enforced(on_node("web-0", "10.9.0.2")).udp
    config = dataclasses.replace(CONFIG, capture="node", capture_udp=True)
    captured = enforced(
        on_node("web-0", made=annotated(exclude_outbound_udp_ports="123"), config=config)
    )
    assert not captured.udp
    assert captured.exclude_outbound_udp_ports == (PortRange(123, 123),)
    assert enforced(on_node("web-0", made=annotated(capture_udp="off"), config=config)).udp


def test_probes_and_exempt_sources_pass() -> None:
    probed = pod()
    probed["spec"]["containers"][0]["readinessProbe"] = {"httpGet": {"port": 8080}}
    exempt = policy("p", exempt_sources=("192.0.2.0/24",), probe_ports=(9100,))
    found = enforced(on_node("web-0", made=probed), exempt)
    assert found.probe_ports == (PortRange(9100, 9100), PortRange(8080, 8080))
    assert found.exclude_inbound_networks == (ip_network("192.0.2.0/24"),)
    assert found.api_servers == ((ip_address("10.96.0.1"), 443),)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, [CLUSTER_DNS]),
        ({"dnsPolicy": "Default"}, [NODE_DNS]),
        ({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["fd00::a"]}}, [ip_address("fd00::a")]),
        (
            {"dnsConfig": {"nameservers": ["fd00::a", "10.96.0.10"]}},
            [CLUSTER_DNS, ip_address("fd00::a")],
        ),
    ],
)
def test_a_pod_may_ask_the_name_servers_that_its_kubelet_gave_it(spec, wanted) -> None:
    assert list(enforced(on_node("web-0", made=pod(**spec))).nameservers) == wanted


def test_what_the_sidecar_could_not_read_gives_nothing_away() -> None:
    raw = wishing("web-0", exclude_outbound_ports="443", inbound="permissive")
    sidecar = raw["spec"]["initContainers"][0]
    for variable in sidecar["env"]:
        if variable["name"] in {"STOQ_POD_INBOUND", "STOQ_CAPTURE_EXCLUDE_OUTBOUND_PORTS"}:
            variable["value"] = "whatever"
    found = enforced(raw)
    assert (found.inbound, found.exclude_outbound_ports) == ("strict", ())


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_is_not_enforced(phase: str) -> None:
    raw = on_node("web-0", "10.9.0.2")
    raw["status"]["phase"] = phase
    assert meshed(raw) is None


def test_neither_is_one_without_sidecar() -> None:
    assert meshed({**pod(), "metadata": {"name": "a", "namespace": "b"}}) is None


def test_the_nodes_addresses_are_not_those_of_a_pod_on_its_network() -> None:
    raw = on_node("web-0", "10.9.0.2")
    raw["spec"]["hostNetwork"] = True
    found = read(raw)
    assert (found.on_host, found.addresses) == (True, ())


def test_a_pod_has_all_its_addresses_and_may_have_none_yet() -> None:
    found = read(on_node("web-0", "10.9.0.2", "fd99::2"))
    assert found.addresses == (ip_address("10.9.0.2"), ip_address("fd99::2"))
    pending = on_node("web-0")
    del pending["status"]
    assert read(pending).addresses == ()


def test_a_link_that_two_pods_claim_is_that_of_the_one_that_stays_or_is_newer() -> None:
    old = read(on_node("old", creationTimestamp="2026-01-01T00:00:00Z"))
    new = read(on_node("new", creationTimestamp="2026-01-02T00:00:00Z"))
    left = read(
        on_node("left", creationTimestamp="2026-01-03T00:00:00Z", deletionTimestamp="2026-01-04")
    )
    for order in ([old, new, left], [left, new, old]):
        assert claimed((one, "veth1") for one in order) == {"veth1": "uid-new"}
    assert claimed([(old, "veth1"), (left, "veth2")]) == {"veth1": "uid-old", "veth2": "uid-left"}


def test_the_name_servers_of_a_resolv_conf() -> None:
    text = "# a comment\nnameserver 10.96.0.10\nsearch x\nnameserver fe80::1%eth0\nnameserver dns\n"
    assert nameservers(text) == (ip_address("10.96.0.10"), ip_address("fe80::1"))

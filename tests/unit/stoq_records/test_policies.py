import pytest

from stoq.records.errors import RecordError
from stoq.records.mesh import MeshConfigSpec
from stoq.records.meta import Metadata, Selector
from stoq.records.policy import (
    PortModes,
    Shard,
    TransportPolicy,
    TransportPolicySpec,
    effective,
    lanes,
)

MESH = MeshConfigSpec(trust_domain="example.org", probe_ports=(8080,))


def policy(name, *, namespace="shop", labels=None, **fields):
    selector = Selector(labels) if labels else None
    return TransportPolicy(
        metadata=Metadata(name, namespace),
        spec=TransportPolicySpec(selector=selector, **fields),
    )


def test_pods_are_joined_only_where_the_winning_policy_says_so():
    assert effective(MESH, [], "shop", {}).node_local == "encrypted"
    policies = [
        policy("all", node_local="splice"),
        policy("db", labels={"app": "db"}, node_local="encrypted"),
    ]
    assert effective(MESH, policies, "shop", {"app": "web"}).node_local == "splice"
    assert effective(MESH, policies, "shop", {"app": "db"}).node_local == "encrypted"


def test_connections_are_sharded_only_where_the_winning_policy_says_so():
    policies = [
        policy("all", shard=Shard(lanes=2)),
        policy("db", labels={"app": "db"}, shard=Shard(lanes=8)),
        policy("web", labels={"app": "web"}, inbound="strict"),
    ]
    assert lanes([], "shop", {}) == 0
    assert lanes(policies, "shop", {"app": "db"}) == 8
    assert lanes(policies, "shop", {"app": "web"}) == 2
    assert lanes(policies, "bank", {"app": "db"}) == 0


@pytest.mark.parametrize("count", [-1, 0, 1, 9])
def test_a_number_of_lanes_out_of_bounds_is_named(count):
    spec = TransportPolicySpec(shard=Shard(lanes=count))
    with pytest.raises(RecordError, match=rf"spec\.shard\.lanes is {count}: use 2 to 8"):
        spec.checked()


def test_without_policies_the_mesh_decides():
    found = effective(MESH, [], "shop", {})
    assert (found.inbound, found.outbound, found.probe_ports) == ("permissive", "allow", (8080,))


def test_a_policy_of_the_namespace_overlays_only_what_it_says():
    found = effective(MESH, [policy("a", inbound="strict")], "shop", {})
    assert (found.inbound, found.outbound) == ("strict", "allow")


def test_a_policy_of_another_namespace_has_no_say():
    assert effective(MESH, [policy("a", inbound="strict")], "bank", {}).inbound == "permissive"


def test_a_policy_with_a_selector_wins_over_one_without():
    policies = [
        policy("a", inbound="strict"),
        policy("b", labels={"app": "web"}, inbound="permissive"),
    ]
    assert effective(MESH, policies, "shop", {"app": "web"}).inbound == "permissive"
    assert effective(MESH, policies, "shop", {"app": "db"}).inbound == "strict"


def test_among_equals_the_first_by_name_wins_whatever_their_order():
    policies = [policy("b", outbound="allow"), policy("a", outbound="meshOnly")]
    assert effective(MESH, policies, "shop", {}).outbound == "meshOnly"
    assert effective(MESH, policies[::-1], "shop", {}).outbound == "meshOnly"


def test_an_empty_list_is_a_value_and_not_a_wish_to_keep():
    found = effective(
        MESH, [policy("a", probe_ports=(), exempt_sources=("fd00::1/128",))], "shop", {}
    )
    assert found.probe_ports == ()
    assert found.exempt_sources == ("fd00::1/128",)


def test_a_policy_may_refuse_ipv4_where_the_mesh_does_not_and_the_other_way_round():
    assert effective(MESH, [policy("a", ipv6_only=True)], "shop", {}).ipv6_only
    strict = MeshConfigSpec(trust_domain="example.org", ipv6_only=True)
    assert effective(strict, [], "shop", {}).ipv6_only
    assert not effective(strict, [policy("a", ipv6_only=False)], "shop", {}).ipv6_only


def at(policies, labels=None, mesh=MESH):
    """The modes of ports where they are others than the workload's."""
    found = effective(mesh, policies, "shop", labels or {}).ports
    return {one.port: (one.inbound, one.outbound) for one in found}


def test_a_port_may_have_other_modes_than_the_rest():
    scraped = PortModes(port=9090, inbound="permissive")
    database = PortModes(port=5432, outbound="allow")
    closed = policy("a", inbound="strict", outbound="meshOnly", ports=(scraped, database))
    assert at([closed]) == {5432: (None, "allow"), 9090: ("permissive", None)}
    assert at([policy("a", ports=(PortModes(port=22, inbound="strict"),))]) == {
        22: ("strict", None)
    }


def test_a_port_that_says_what_holds_anyway_is_no_exception():
    assert at([policy("a", ports=(PortModes(port=80, inbound="permissive"),))]) == {}


def test_what_a_narrower_policy_says_of_all_ports_wins_over_a_wider_ones_port():
    wide = policy("a", inbound="strict", ports=(PortModes(port=9090, inbound="permissive"),))
    narrow = policy("b", labels={"app": "db"}, inbound="strict")
    assert at([wide, narrow], {"app": "web"}) == {9090: ("permissive", None)}
    assert at([wide, narrow], {"app": "db"}) == {}
    silent = policy("b", labels={"app": "db"}, outbound="meshOnly")
    assert at([wide, silent], {"app": "db"}) == {9090: ("permissive", None)}
    own = policy("b", labels={"app": "db"}, ports=(PortModes(port=9090, inbound="strict"),))
    assert at([wide, own], {"app": "db"}) == {}


@pytest.mark.parametrize(
    ("ports", "field"),
    [
        ((PortModes(port=0, inbound="strict"),), r"spec.ports\[0\].port"),
        ((PortModes(port=80),), r"spec.ports\[0\].*inbound, outbound or both"),
        (
            (PortModes(port=80, inbound="strict"), PortModes(port=80, outbound="allow")),
            r"spec.ports\[1\].port.*spec.ports\[0\] already",
        ),
        (
            tuple(PortModes(port=port, inbound="strict") for port in range(1, 66)),
            "65 entries.*64 at most",
        ),
    ],
)
def test_ports_that_can_not_be_meant_are_refused(ports, field):
    with pytest.raises(RecordError, match=field):
        TransportPolicySpec(ports=ports).checked()

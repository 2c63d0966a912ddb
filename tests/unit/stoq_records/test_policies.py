from stoq.records.mesh import MeshConfigSpec
from stoq.records.meta import Metadata, Selector
from stoq.records.policy import TransportPolicy, TransportPolicySpec, effective

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

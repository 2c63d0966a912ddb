"""From crypto profiles in MeshConfig and TransportPolicies to what pods are told of them."""

from stoq.registry import MeshEntry
from stoq.rules import CryptoRule
from stoq_operator.derive import derive
from support.records import by_key, mesh, record, workload

SMALL = {"profile": "hybrid-512"}


def policy(name, selector=None, *, namespace="shop", **crypto):
    spec = {"crypto": crypto}
    if selector:
        spec["selector"] = {"matchLabels": selector}
    return record("TransportPolicy", name, spec, namespace=namespace)


def derived(*policies, **spec):
    pods = (
        workload("db", "fd00::1", labels={"app": "db"}),
        workload("web", "fd00::2", labels={"app": "web"}),
        workload("web", "fd00::3", namespace="bank"),
    )
    return derive(by_key(*pods, *policies), mesh(**spec).spec, {})


def rules(found):
    return {uid: (entry.crypto.profile, entry.crypto.mode) for uid, entry in found.meshes.items()}


def required(found):
    return {uid: entry.crypto for uid, entry in found.workloads.items() if entry.crypto}


def test_a_mesh_of_the_small_degree_tells_its_pods_so():
    found = derived(profile="hybrid-512")
    assert set(rules(found).values()) == {("hybrid-512", "prefer")}
    assert required(found) == {}


def test_what_the_mesh_says_of_workloads_wins_over_the_profile_of_its_roots():
    found = derived(crypto=SMALL | {"mode": "require"})
    assert set(rules(found).values()) == {("hybrid-512", "require")}
    assert required(found) == dict.fromkeys(found.workloads, "hybrid-512")
    assert found.meshes["shop/db"].profile == "hybrid-1024"
    assert found.meshes["shop/db"].crypto.policy == ""


def test_the_narrower_policy_wins_and_reaches_those_who_dial():
    found = derived(
        policy("all", profile="hybrid-512"),
        policy("db", {"app": "db"}, profile="hybrid-1024", mode="require"),
    )
    assert rules(found) == {
        "shop/db": ("hybrid-1024", "require"),
        "shop/web": ("hybrid-512", "prefer"),
        "bank/web": ("hybrid-1024", "prefer"),
    }
    assert required(found) == {"shop/db": "hybrid-1024"}
    assert found.meshes["shop/db"].crypto.policy == "shop/db"


def test_a_policy_may_take_back_what_the_mesh_requires():
    found = derived(
        policy("all", profile="hybrid-512", mode="prefer"), crypto=SMALL | {"mode": "require"}
    )
    assert required(found) == {"bank/web": "hybrid-512"}
    assert rules(found)["shop/web"] == ("hybrid-512", "prefer")


def test_of_equal_policies_the_second_by_name_is_told_that_it_does_not_hold():
    found = derived(policy("a", profile="hybrid-512"), policy("b", profile="hybrid-1024"))
    (problem,) = found.problems.values()
    assert problem.reason == "CryptoOverruled"
    assert "spec.crypto does not hold for db: TransportPolicy a" in problem.text
    assert not derived(policy("a", **SMALL), policy("b", **SMALL)).problems
    narrower = policy("b", {"app": "db"}, mode="require", **SMALL)
    assert not derived(policy("a", **SMALL), narrower).problems


def test_a_release_before_is_told_nothing_that_it_cannot_read():
    assert MeshEntry(trust_domain="td").crypto is None
    assert CryptoRule(profile="hybrid-512").mode == "prefer"

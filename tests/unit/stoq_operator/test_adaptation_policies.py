"""From a TransportPolicy's adaptation to what pods are told, and to what its author is told."""

import msgspec

from stoq.records.meta import Key
from stoq.registry import MeshEntry
from stoq.rules import AdaptationRule
from stoq_operator.derive import derive
from support.records import by_key, mesh, record, workload

MESH = mesh().spec


def policy(name, selector=None, *, namespace="shop", **adaptation):
    spec = {"adaptation": adaptation}
    if selector:
        spec["selector"] = {"matchLabels": selector}
    return record("TransportPolicy", name, spec, namespace=namespace)


def derived(*policies):
    pods = (
        workload("db", "fd00::1", labels={"app": "db", "site": "branch"}),
        workload("web", "fd00::2", labels={"app": "web"}),
        workload("web", "fd00::3", namespace="bank"),
    )
    return derive(by_key(*pods, *policies), MESH, {})


def test_a_policy_reaches_the_pods_that_it_selects_and_no_other():
    found = derived(policy("wan", {"app": "db"}, maxTier="home", congestion="bbr3", dryRun=True))
    assert found.meshes["shop/db"].adaptation == AdaptationRule(
        policy="shop/wan", max_tier="home", congestion="bbr3", dry_run=True
    )
    assert found.meshes["shop/web"].adaptation is None
    assert found.meshes["bank/web"].adaptation is None


def test_every_field_of_the_record_reaches_the_pod():
    every = policy(
        "wan", dryRun=False, minTier="slow", maxTier="home", congestion="cubic", maxRate=2_000_000,
        receiveWindowMost=100_000, sendWindowMost=20_000,
    )  # fmt: skip
    told = derived(every).meshes["shop/web"].adaptation
    asked = msgspec.structs.asdict(every.spec.adaptation)
    assert msgspec.structs.asdict(told) == asked | {"policy": "shop/wan"}
    assert derived(policy("pin", tier="slow")).meshes["shop/web"].adaptation.tier == "slow"


def test_of_two_equally_narrow_policies_with_other_wishes_the_second_is_told_so():
    found = derived(
        policy("a", {"app": "db"}, tier="home"), policy("b", {"site": "branch"}, tier="slow")
    )
    assert found.meshes["shop/db"].adaptation.policy == "shop/a"
    problem = found.problems[Key("TransportPolicy", "shop", "b")]
    assert problem.reason == "AdaptationOverruled"
    assert "does not hold for db: TransportPolicy a is for it too" in problem.text
    assert Key("TransportPolicy", "shop", "a") not in found.problems


def test_policies_that_do_not_meet_agree_or_differ_in_width_are_no_problem():
    for others in (
        (policy("a", {"app": "db"}, tier="home"), policy("b", {"app": "web"}, tier="slow")),
        (policy("a", tier="home"), policy("b", tier="home")),
        (policy("a", tier="home"), policy("b", {"app": "db"}, tier="slow")),
        (policy("a", tier="home"), policy("b", tier="slow", namespace="bank")),
        (policy("a", tier="home"), record("TransportPolicy", "b", {"inbound": "strict"})),
    ):
        assert derived(*others).problems == {}


def test_a_sidecar_and_an_operator_of_the_release_before_understand_each_other():
    entry = MeshEntry(trust_domain="td", adaptation=AdaptationRule(policy="a/b", tier="slow"))
    told = msgspec.to_builtins(entry)
    del told["adaptation"]
    assert msgspec.convert(told, MeshEntry).adaptation is None
    newer = msgspec.to_builtins(entry)
    newer["adaptation"]["striping"] = 4
    assert msgspec.convert(newer, MeshEntry) == entry

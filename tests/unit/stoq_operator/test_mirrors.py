"""From mirrors in records and policies to what clients and shadows are told."""

from stoq.records.meta import Key
from stoq.registry import MirrorRule
from stoq_operator.memo import Memo
from support import records
from support.records import record, service, workload

WEB = "spiffe://example.org/ns/shop/sa/web"
PODS = (
    workload("db", "fd00::1"),
    workload("shadow", "fd00::2"),
    workload("web", "fd00::3", labels={"app": "web"}),
    workload("other", "fd00::4", namespace="bank"),
)


def policy(name, *mirrors, selector=None, namespace="shop"):
    spec: dict[str, object] = {"mirrors": list(mirrors)}
    if selector:
        spec["selector"] = {"matchLabels": selector}
    return record("TransportPolicy", name, spec, namespace=namespace)


def derived(*more, memo=None):
    return records.derived(*PODS, *more, memo=memo)


def mirrored(*mirrors, shadow="fd00::2", **more):
    return derived(
        service("db", "fd00::1", mirrors=list(mirrors)), service("db-shadow", shadow), **more
    )


RULE = MirrorRule("shop/db", "shop/db-shadow", 500)
TO_SHADOW = {"to": "db-shadow", "share": 500}
OF_DB = {"of": "db", "to": "db-shadow", "share": 500}


def test_without_mirrors_nobody_is_told_anything():
    found = derived(service("db", "fd00::1"))
    assert all(entry.mirrors == () for entry in found.meshes.values())
    assert all(entry.mirrors_from is None for entry in found.meshes.values())


def test_every_client_copies_what_it_says_to_a_record_with_a_mirror():
    found = mirrored(TO_SHADOW)
    assert {entry.mirrors for entry in found.meshes.values()} == {(RULE,)}
    assert found.problems == {}


def test_the_shadow_takes_copies_of_everybody_and_no_other_pod_takes_any():
    found = mirrored(TO_SHADOW).meshes
    assert found["shop/shadow"].mirrors_from == ()
    assert [uid for uid, entry in found.items() if entry.mirrors_from is not None] == [
        "shop/shadow"
    ]


def test_a_pod_of_another_namespace_is_made_no_shadow_by_a_record_that_lists_its_address():
    assert mirrored(TO_SHADOW, shadow="fd00::4").meshes["bank/other"].mirrors_from is None


def test_a_policy_mirrors_what_the_pods_say_that_it_selects():
    found = derived(
        service("db", "fd00::1"),
        service("db-shadow", "fd00::2"),
        policy("half", OF_DB, selector={"app": "web"}),
    )
    assert found.meshes["shop/web"].mirrors == (RULE,)
    assert found.meshes["shop/db"].mirrors == ()
    assert found.meshes["shop/shadow"].mirrors_from == (WEB,)


def test_a_policy_may_mirror_what_goes_to_another_namespace_but_not_send_copies_there():
    abroad = OF_DB | {"of": "bank/ledger"}
    found = derived(
        service("ledger", "fd00::4", namespace="bank"),
        service("db-shadow", "fd00::2"),
        policy("abroad", abroad),
    )
    assert found.meshes["shop/web"].mirrors == (MirrorRule("bank/ledger", "shop/db-shadow", 500),)
    assert found.meshes["bank/other"].mirrors == ()


def test_a_policy_with_a_selector_wins_and_an_empty_list_mirrors_nothing():
    found = derived(
        service("db", "fd00::1"),
        service("db-shadow", "fd00::2"),
        policy("all", OF_DB),
        policy("none", selector={"app": "web"}),
    )
    assert found.meshes["shop/web"].mirrors == ()
    assert found.meshes["shop/db"].mirrors == (RULE,)


def test_mirrors_of_a_record_and_of_a_policy_go_together_and_the_shadow_expects_all():
    found = derived(
        service("db", "fd00::1", mirrors=[TO_SHADOW]),
        service("db-shadow", "fd00::2"),
        policy("more", OF_DB | {"share": 9000}),
    )
    assert found.meshes["shop/web"].mirrors == (RULE, MirrorRule(RULE.of, RULE.to, 9000))
    assert found.meshes["shop/shadow"].mirrors_from == ()


def test_a_shadow_that_is_not_there_is_a_problem_and_the_record_goes_on_without():
    found = derived(service("db", "fd00::1", mirrors=[TO_SHADOW]))
    problem = found.problems[Key("ServiceRecord", "shop", "db")]
    assert problem.reason == "MirrorNotFound"
    assert "shop/db-shadow" in problem.text
    assert found.services["shop/db"].endpoints
    assert found.meshes["shop/web"].mirrors == ()


def test_a_policy_is_told_of_a_service_that_is_not_there_and_of_a_shadow_of_itself():
    found = derived(service("db-shadow", "fd00::2"), policy("p", OF_DB))
    problem = found.problems[Key("TransportPolicy", "shop", "p")]
    assert (problem.reason, "ServiceRecord shop/db;" in problem.text) == ("MirrorNotFound", True)
    found = derived(service("db", "fd00::1"), policy("p", OF_DB | {"to": "db"}))
    assert found.problems[Key("TransportPolicy", "shop", "p")].reason == "MirrorOfItself"
    assert found.meshes["shop/web"].mirrors == ()


def test_what_has_not_changed_is_the_same_object():
    memo = Memo()
    once = mirrored(TO_SHADOW, memo=memo)
    again = mirrored(TO_SHADOW, memo=memo)
    assert once.meshes["shop/web"].mirrors is again.meshes["shop/web"].mirrors
    assert once.meshes["shop/shadow"].mirrors_from is again.meshes["shop/shadow"].mirrors_from

"""From HopGateways and the hops of service records to what clients and gateways are told."""

from stoq.records.meta import Key
from stoq.registry import ForwardRule, GatewayEntry, GatewayReplica
from stoq_operator.memo import Memo
from support import records
from support.records import gateway, service, workload

ID = "spiffe://example.org/ns/gateways/sa/{}".format
STOCK = "spiffe://example.org/ns/shop/sa/stock"
PODS = (
    workload("west", "fd00:1::a", namespace="gateways"),
    workload("stock", "fd00:2::1"),
    workload("web", "fd00:1::1"),
    workload("other", "fd00:2::4", namespace="bank"),
)
RULE = {"from": "*", "to": "spiffe://example.org"}
WEST = gateway("west", spiffeId=ID("west"), networks=["fd00:2::/32"], forwards=[RULE])
FAR = gateway(
    "far", spiffeId=ID("far"), endpoints=[{"address": "fd00:9::9"}], networks=["fd00:7::/32"]
)


def derived(*more, memo=None):
    return records.derived(*PODS, *more, memo=memo)


def behind(*addresses, name="stock", ways=(("west",),), **more):
    return service(name, *addresses, hops=[{"gateways": list(way)} for way in ways], **more)


def problem(found, name="stock", namespace="shop"):
    return found.problems[Key("ServiceRecord", namespace, name)]


def test_without_gateways_nobody_is_told_anything():
    found = derived(service("stock", "fd00:2::1"))
    assert found.workloads["shop/stock"].via == ()
    assert {(mesh.gateways, mesh.forwards) for mesh in found.meshes.values()} == {((), ())}


def test_everybody_is_told_the_gateways_and_whoever_is_one_what_it_forwards():
    found = derived(WEST, FAR)
    west = GatewayEntry(
        spiffe_id=ID("west"), replicas=(GatewayReplica("fd00:1::a"),), networks=("fd00:2::/32",)
    )
    far = GatewayEntry(
        spiffe_id=ID("far"), replicas=(GatewayReplica("fd00:9::9"),), networks=("fd00:7::/32",)
    )
    assert {mesh.gateways for mesh in found.meshes.values()} == {(far, west)}
    assert found.meshes["gateways/west"].forwards == (ForwardRule("*", "spiffe://example.org"),)
    assert found.meshes["shop/web"].forwards == ()


def test_a_gateways_pods_are_those_that_have_its_identity_and_are_ready():
    found = derived(
        workload("late", "fd00:1::b", namespace="gateways", serviceAccount="west", ready=False),
        workload("more", "fd00:1::c", namespace="gateways", serviceAccount="west"),
        workload("west", "fd00:1::d", namespace="shop"),
        WEST,
    )
    assert found.gateways["west"].replicas == (
        GatewayReplica("fd00:1::c"),
        GatewayReplica("fd00:1::a"),
    )


def test_a_record_lays_its_ways_on_pods_of_its_own_namespace():
    found = derived(WEST, behind("fd00:2::1"))
    assert found.workloads["shop/stock"].via == ((ID("west"),),)
    assert found.workloads["shop/web"].via == ()
    assert found.problems == {}


def test_an_address_that_is_no_pods_becomes_a_workload_with_the_records_identity():
    found = derived(WEST, FAR, behind("fd00:7::5", ways=[["west", "far"]], spiffeIds=[STOCK]))
    entry = found.workloads["shop/stock@fd00:7::5"]
    assert (entry.addresses, entry.spiffe_id) == (("fd00:7::5",), STOCK)
    assert entry.via == ((ID("west"), ID("far")),)
    assert found.meshes.keys() == {f"{pod.metadata.namespace}/{pod.metadata.name}" for pod in PODS}


def test_a_pod_of_another_namespace_is_not_put_behind_a_gateway_by_a_record_that_lists_it():
    found = derived(WEST, behind("fd00:2::4"))
    assert found.workloads["bank/other"].via == ()
    assert problem(found).reason == "NotOwn"


def test_an_address_outside_needs_one_identity():
    for ids in ([], [STOCK, ID("west")]):
        found = derived(FAR, behind("fd00:7::5", ways=[["far"]], spiffeIds=ids))
        assert problem(found).reason == "IdentityUnknown"
        assert not any("@" in uid for uid in found.workloads)


def test_nothing_is_led_to_that_is_not_behind_the_last_gateway():
    found = derived(WEST, FAR, behind("fd00:8::5", ways=[["far", "west"]], spiffeIds=[STOCK]))
    assert problem(found).reason == "NotBehind"
    assert "fd00:8::5" in problem(found).text
    assert not any("@" in uid for uid in found.workloads)


def test_a_gateway_that_is_not_there_is_a_problem_and_the_other_way_stays():
    record = behind("fd00:2::1", ways=[["gone"], ["west"]])
    found = derived(WEST, record)
    assert problem(found).reason == "GatewayNotFound"
    assert "HopGateway gone" in problem(found).text
    assert found.workloads["shop/stock"].via == ((ID("west"),),)


def test_records_that_say_different_ways_to_one_address_are_told_and_the_first_holds():
    near = gateway("near", spiffeId=ID("near"), networks=["fd00:2::/32"])
    found = derived(WEST, near, behind("fd00:2::1"), behind("fd00:2::1", name="x", ways=[["near"]]))
    assert found.workloads["shop/stock"].via == ((ID("west"),),)
    assert problem(found, "x").reason == "HopsDiffer"
    same = derived(WEST, behind("fd00:2::1"), behind("fd00:2::1", name="x"))
    assert same.problems == {}


def test_a_gateway_is_not_behind_itself():
    found = derived(
        gateway("west", spiffeId=ID("west"), networks=["fd00:1::/32"]),
        behind("fd00:1::a", namespace="gateways"),
    )
    assert problem(found, namespace="gateways").reason == "NotBehind"
    assert found.workloads["gateways/west"].via == ()


def test_an_identity_and_an_address_are_one_gateways():
    twin = gateway("zz", spiffeId=ID("west"))
    squatter = gateway("zzz", spiffeId=ID("x"), endpoints=[{"address": "fd00:1::a"}])
    found = derived(WEST, twin, squatter)
    reasons = {key.name: why.reason for key, why in found.problems.items()}
    assert reasons == {"zz": "IdentityTaken", "zzz": "AddressTaken"}
    assert found.gateways["west"].replicas == (GatewayReplica("fd00:1::a"),)
    assert found.gateways["zzz"].replicas == ()


def test_what_has_not_changed_is_the_same_object():
    memo = Memo()
    once, again = (derived(WEST, behind("fd00:2::1"), memo=memo) for _ in range(2))
    for uid in once.workloads:
        assert once.workloads[uid] is again.workloads[uid]
        assert once.meshes[uid] is again.meshes[uid]

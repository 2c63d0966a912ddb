"""Kubernetes Services, and records that stand for one, as registry entries."""

import msgspec

from stoq.records.cluster import ClusterService
from stoq.records.meta import Key, Metadata
from stoq.registry import Endpoint, ServicePort
from stoq_operator.derive import derive
from support.records import by_key, mesh, record, service, workload

MESH = mesh().spec
WEB = ClusterService(
    metadata=Metadata("web", "shop"),
    vips=("fd00:ff::7",),
    ports=(ServicePort(80, 8080, "http"), ServicePort(53, 5353, "dns", "UDP")),
    endpoints=(
        Endpoint("fd00::a", node="n0", zone="z0"),
        Endpoint("fd00::b", terminating=True, targets=(9090, 5353)),
    ),
    affinity=True,
    prefer="zone",
)


def derived(*records, vips=None):
    return derive(by_key(*records), MESH, vips or {"shop/front": "fd53::7"})


def front(**port):
    return service("front", serviceRef={"name": "web"}, ports=[port])


def test_a_service_of_the_cluster_is_an_entry_beside_a_record_of_its_name():
    found = derived(WEB, service("web", "fd00::9"), vips={"shop/web": "fd53::1"}).services
    assert found["service/shop/web"].vips == ("fd00:ff::7",)
    assert found["service/shop/web"].endpoints == WEB.endpoints
    assert (found["service/shop/web"].affinity, found["service/shop/web"].prefer) == (True, "zone")
    assert found["shop/web"].vips == ("fd53::1",)


def test_a_record_for_a_service_leads_to_that_ones_endpoints_through_its_ports():
    entry = derived(WEB, front(port=443, targetPort=80)).services["shop/front"]
    assert entry.vips == ("fd53::7",)
    assert entry.ports == (ServicePort(443, 8080),)
    assert entry.endpoints == (
        Endpoint("fd00::a", node="n0", zone="z0"),
        Endpoint("fd00::b", terminating=True, targets=(9090,)),
    )
    assert entry.affinity


def test_a_record_for_a_service_that_is_not_there_says_so_until_it_comes():
    found = derived(front(port=80))
    assert found.services == {}
    problem = found.problems[Key("ServiceRecord", "shop", "front")]
    assert problem.reason == "ServiceNotFound"
    assert "there is no Service shop/web" in problem.text
    assert derived(front(port=80), WEB).problems == {}


def test_a_record_for_a_port_that_the_service_lacks_names_those_it_has():
    found = derived(WEB, front(port=53))
    problem = found.problems[Key("ServiceRecord", "shop", "front")]
    assert problem.reason == "PortNotFound"
    assert "no TCP port 53, it has 80" in problem.text


def test_a_record_leads_to_a_udp_port_where_it_says_so():
    entry = derived(WEB, front(port=5353, targetPort=53, protocol="UDP")).services["shop/front"]
    assert entry.ports == (ServicePort(5353, 5353, "", "UDP"),)
    assert [end.targets for end in entry.endpoints] == [(), (5353,)]
    problem = derived(WEB, front(port=80, protocol="UDP")).problems[
        Key("ServiceRecord", "shop", "front")
    ]
    assert "no UDP port 80, it has 53" in problem.text


def test_a_port_may_be_in_a_record_once_for_each_protocol():
    both = [{"port": 53, "name": "dns"}, {"port": 53, "targetPort": 5353, "protocol": "UDP"}]
    entry = derived(service("web", "fd00::9", ports=both), vips={"shop/web": "fd53::1"}).services
    assert entry["shop/web"].ports == (
        ServicePort(53, 53, "dns"),
        ServicePort(53, 5353, "", "UDP"),
    )


def test_a_service_of_another_namespace_is_not_the_one_meant():
    elsewhere = msgspec.structs.replace(WEB, metadata=Metadata("web", "bank"))
    assert "shop/front" not in derived(elsewhere, front(port=80)).services


def test_a_selector_leads_to_ready_pods_and_marks_those_that_leave():
    chosen = service("front", selector={"matchLabels": {"app": "web"}}, ttlSeconds=9)
    entry = derived(
        chosen,
        workload("a", "fd00::a", labels={"app": "web"}, node="n0", zone="z0"),
        workload("b", "fd00::b", labels={"app": "web"}, ready=False),
        workload("c", "fd00::c", labels={"app": "web"}, terminating=True),
    ).services["shop/front"]
    assert entry.endpoints == (
        Endpoint("fd00::a", node="n0", zone="z0"),
        Endpoint("fd00::c", terminating=True),
    )
    assert entry.ttl_seconds == 9


def test_a_pod_has_the_zone_that_endpoints_tell_of_its_node():
    found = derived(WEB, workload("a", "fd00::a", node="n0"), workload("b", "fd00::b", node="n1"))
    assert (found.workloads["shop/a"].node, found.workloads["shop/a"].zone) == ("n0", "z0")
    assert found.workloads["shop/b"].zone == ""


def test_an_address_is_the_pods_that_stays_and_not_the_leaving_ones():
    found = derived(workload("a", "fd00::a", terminating=True), workload("b", "fd00::a"))
    assert list(found.workloads) == ["shop/b"]


def policy(name, rules, **spec):
    return record("AccessPolicy", name, {"action": "allow", "rules": rules} | spec)


def test_access_rules_are_those_of_the_policies_that_choose_the_workload():
    found = derived(
        workload("a", "fd00::a", labels={"app": "web"}),
        workload("b", "fd00::b"),
        workload("c", "fd00::c", namespace="bank"),
        policy("z", [{"from": {"namespaces": ["bank"]}, "ports": [{"port": 1, "endPort": 9}]}, {}]),
        policy("a", [{}], action="deny", dryRun=True, selector={"matchLabels": {"app": "web"}}),
    )
    deny, allow, everyone = found.meshes["shop/a"].access
    assert (deny.policy, deny.action, deny.dry_run, deny.ports) == ("shop/a", "deny", True, ())
    assert (allow.policy, allow.action, allow.namespaces) == ("shop/z", "allow", ("bank",))
    assert allow.ports == ((1, 9),)
    assert (everyone.spiffe_ids, everyone.namespaces, everyone.service_accounts) == ((), (), ())
    assert [rule.policy for rule in found.meshes["shop/b"].access] == ["shop/z", "shop/z"]
    assert found.meshes["bank/c"].access == ()


def test_a_policy_may_ask_for_ipv6_only():
    strict = record("TransportPolicy", "strict", {"ipv6Only": True})
    assert derived(workload("a", "fd00::a"), strict).meshes["shop/a"].ipv6_only


def test_a_policy_has_connections_to_the_pods_it_selects_sharded():
    sharded = record(
        "TransportPolicy",
        "bulk",
        {"selector": {"matchLabels": {"app": "db"}}, "shard": {"lanes": 4}},
    )
    found = derived(
        workload("a", "fd00::a", labels={"app": "db"}),
        workload("b", "fd00::b"),
        workload("c", "fd00::c", namespace="bank", labels={"app": "db"}),
        sharded,
    ).workloads
    assert {uid: entry.lanes for uid, entry in found.items()} == {
        "shop/a": 4,
        "shop/b": 0,
        "bank/c": 0,
    }

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoq.records.meta import Key
from stoq.registry import Endpoint, ServicePort
from stoq.rules import PortModes
from stoq_operator.derive import derive, mesh_of
from stoq_operator.vip import RESERVED, RangeFull, allocate, kept
from support.records import by_key, mesh, record, service, workload

MESH = mesh().spec


def derived(*records, vips=None):
    if vips is None:
        vips = allocate(
            MESH.vip_range,
            {},
            [f"shop/{item.key.name}" for item in records if item.KIND == "ServiceRecord"],
        )
    return derive(by_key(*records), MESH, vips)


def problem(found, kind, name):
    return found.problems[Key(kind, "" if kind == "MeshConfig" else "shop", name)].text


def test_a_workload_becomes_an_entry_with_its_identity():
    found = derived(workload("web", "fd00::2")).workloads["shop/web"]
    assert found.spiffe_id == "spiffe://example.org/ns/shop/sa/web"
    assert found.addresses == ("fd00::2",)
    assert found.port == 14008


def test_an_address_belongs_to_the_first_workload_by_name_and_the_other_is_reported():
    found = derived(workload("b", "fd00::2", "fd00::3"), workload("a", "fd00::2"))
    assert found.workloads["shop/a"].addresses == ("fd00::2",)
    assert found.workloads["shop/b"].addresses == ("fd00::3",)
    assert "fd00::2 is that of Workload shop/a" in problem(found, "Workload", "b")


def test_a_workload_with_no_address_of_its_own_is_left_out():
    found = derived(workload("a", "fd00::2"), workload("b", "fd00::2"))
    assert list(found.workloads) == ["shop/a"]
    assert list(found.meshes) == ["shop/a"]


def test_two_workloads_with_one_uid_are_reported():
    found = derived(workload("a", "fd00::2", uid="7"), workload("b", "fd00::3", uid="7"))
    assert found.workloads["7"].name == "a"
    assert "uid 7 is that of Workload shop/a" in problem(found, "Workload", "b")


def test_a_service_lists_its_endpoints_and_ports():
    spec = {
        "ports": [{"port": 80, "targetPort": 8080}, {"port": 443}],
        "endpoints": [{"address": "fd00::2", "weight": 3}],
    }
    found = derived(record("ServiceRecord", "web", spec)).services["shop/web"]
    assert found.ports == (ServicePort(80, 8080), ServicePort(443, 443))
    assert found.endpoints == (Endpoint("fd00::2", 3),)
    assert ip_address(found.vips[0]) in ip_network(MESH.vip_range)


def test_a_selector_chooses_workloads_of_its_own_namespace():
    found = derived(
        service("web", selector={"matchLabels": {"app": "web"}}),
        workload("a", "fd00::a", labels={"app": "web"}),
        workload("b", "fd00::b", labels={"app": "db"}),
        workload("c", "fd00::c", labels={"app": "web"}, namespace="bank"),
    )
    assert found.services["shop/web"].endpoints == (Endpoint("fd00::a"),)


def test_a_policy_reaches_the_workloads_it_is_for():
    strict = record("TransportPolicy", "strict", {"inbound": "strict"})
    found = derived(workload("a", "fd00::a"), workload("b", "fd00::b", namespace="bank"), strict)
    assert found.meshes["shop/a"].inbound == "strict"
    assert found.meshes["shop/a"].own == found.workloads["shop/a"]
    assert found.meshes["bank/b"].inbound == "permissive"


def test_the_modes_of_ports_reach_the_workloads_too():
    ports = [{"port": 9090, "inbound": "permissive"}]
    strict = record("TransportPolicy", "strict", {"inbound": "strict", "ports": ports})
    found = derived(workload("a", "fd00::a"), strict)
    assert found.meshes["shop/a"].ports == (PortModes(port=9090, inbound="permissive"),)


def test_of_several_mesh_configurations_the_first_by_name_holds_and_the_rest_are_reported():
    records = by_key(mesh("b"), mesh("a"))
    assert mesh_of(records).metadata.name == "a"
    assert "MeshConfig a comes first" in problem(derive(records, MESH, {}), "MeshConfig", "b")
    assert mesh_of({}) is None


def test_a_full_range_gives_what_it_has_and_keeps_what_it_gave():
    wanted = [f"shop/s{n}" for n in range(300)]
    given = {"shop/s7": "fd53::77"}
    with pytest.raises(RangeFull, match="widen it") as raised:
        allocate("fd53::/120", given, wanted)
    assert given.items() <= raised.value.given.items()
    assert len(raised.value.given) == 256 - RESERVED - 1


def test_a_record_without_address_has_no_entry():
    assert derived(service("web", "fd00::1"), vips={}).services == {}


def test_an_address_that_two_were_given_is_the_firsts():
    given = {"shop/b": "fd53::77", "shop/a": "fd53::77"}
    assert kept("fd53::/120", given, given) == {"shop/a": "fd53::77"}


keys = st.sets(st.from_regex(r"[a-z]{1,3}/[a-z]{1,3}", fullmatch=True), max_size=30)


@given(keys, keys, st.sampled_from(["fd53::/120", "240.0.0.0/4", "10.0.0.0/24"]))
def test_addresses_are_unique_inside_the_range_and_stay(first, second, vip_range):
    before = allocate(vip_range, {}, first)
    after = allocate(vip_range, before, first | second)
    network = ip_network(vip_range)
    assert set(after) == first | second
    assert len(set(after.values())) == len(after)
    assert all(after[key] == before[key] for key in first)
    for address in after.values():
        assert int(ip_address(address)) - int(network.network_address) >= RESERVED
        assert address != str(network.broadcast_address)


def test_a_name_gets_the_same_address_after_all_state_is_lost():
    assert allocate("fd53::/64", {}, ["shop/web"]) == allocate("fd53::/64", {}, ["shop/web"])


def test_an_address_outside_a_changed_range_is_given_anew():
    after = allocate(
        "fd54::/64", {"shop/web": "fd53::99", "shop/db": "junk"}, ["shop/web", "shop/db"]
    )
    assert all(ip_address(address) in ip_network("fd54::/64") for address in after.values())


def test_a_range_without_room_says_so():
    with pytest.raises(RangeFull, match="widen it"):
        allocate("fd53::/123", {}, [f"a/{n}" for n in range(40)])

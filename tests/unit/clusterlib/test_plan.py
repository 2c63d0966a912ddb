"""Names and addresses of a cluster."""

from ipaddress import ip_network
from typing import Any

import pytest

from clusterlib import commands
from clusterlib.plan import MAX_CLUSTERS, MAX_NODES, Family, make


@pytest.mark.parametrize("family", Family)
def test_no_address_is_given_twice(family: Family) -> None:
    plan = make("local", MAX_NODES, family, 0)
    given = [address for node in plan.nodes for address in node.addresses]
    given += [*plan.control, *plan.host]
    assert len(set(given)) == len(given)


@pytest.mark.parametrize("family", Family)
def test_ranges_of_pods_services_and_machines_are_apart_and_inside_the_clusters(
    family: Family,
) -> None:
    plan = make("local", MAX_NODES, family, 3)
    for place in range(len(plan.ranges)):
        pods: Any
        services: Any
        whole: Any
        pods, services, whole = (
            plan.pod_ranges[place],
            plan.service_ranges[place],
            plan.ranges[place],
        )
        nodes = [node.pod_ranges[place] for node in plan.nodes]
        assert len(set(nodes)) == MAX_NODES
        assert all(node.subnet_of(pods) for node in nodes)
        assert pods.subnet_of(whole)
        assert services.subnet_of(whole)
        assert not pods.overlaps(services)
        for address in (plan.control[place], plan.host[place]):
            assert address in whole
            assert address not in pods
            assert address not in services


def test_clusters_beside_each_other_share_nothing() -> None:
    plans = [make(f"c{index}", 2, Family.DUAL, index) for index in range(MAX_CLUSTERS)]
    ranges = {range_ for plan in plans for range_ in plan.ranges}
    assert len(ranges) == 2 * MAX_CLUSTERS
    assert len({plan.host_link for plan in plans}) == MAX_CLUSTERS


def test_the_host_links_name_is_one_that_linux_takes() -> None:
    assert len(make("a", 1, Family.IPV6, MAX_CLUSTERS - 1).host_link) <= 15


def test_ipv6_comes_first_in_a_dual_stack_cluster() -> None:
    plan = make("local", 1, Family.DUAL, 0)
    assert [address.version for address in plan.nodes[0].addresses] == [6, 4]
    assert plan.server == "https://[fd73:746f:7100::1]:6443"


def test_an_ipv4_server_stands_without_brackets() -> None:
    assert make("local", 1, Family.IPV4, 0).server == "https://10.200.0.1:6443"


@pytest.mark.parametrize("name", ["", "9", "A", "a_b", "a" * 21, "../x"])
def test_a_name_that_cannot_be_everywhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="a letter first"):
        make(name, 1, Family.IPV6, 0)


@pytest.mark.parametrize("nodes", [0, -1, MAX_NODES + 1])
def test_a_number_of_nodes_without_room_is_refused(nodes: int) -> None:
    with pytest.raises(ValueError, match="nodes"):
        make("local", nodes, Family.IPV6, 0)


def test_a_cluster_takes_the_first_number_that_is_free() -> None:
    assert commands.free("x", 1, Family.IPV6, {0, 1}, []).index == 2


def test_a_cluster_keeps_away_from_where_this_machine_routes_already() -> None:
    routes = [ip_network("10.200.7.0/24"), ip_network("fd73:746f:7101::/64")]
    assert commands.free("x", 1, Family.DUAL, set(), routes).index == 2
    assert commands.free("x", 1, Family.IPV6, set(), routes).index == 0


def test_more_clusters_than_there_is_room_for_are_refused() -> None:
    with pytest.raises(ValueError, match="16 clusters"):
        commands.free("x", 1, Family.IPV6, set(range(MAX_CLUSTERS)), [])

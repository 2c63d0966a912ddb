"""The commands that make links and routes."""

from clusterlib import links
from clusterlib.plan import Family, make

PLAN = make("local", 2, Family.DUAL, 0)
NODE = PLAN.nodes[1]


def test_a_node_reaches_everything_through_the_router() -> None:
    lines = links.node_lines(PLAN, NODE)
    assert "route add ::/0 via fe80::1 dev eth0 onlink" in lines
    assert "route add 0.0.0.0/0 via 10.200.0.1 dev eth0 onlink" in lines


def test_the_router_knows_where_a_nodes_pods_are() -> None:
    lines = links.node_link_lines(PLAN, NODE)
    assert f"route add {NODE.pod_ranges[0]} via {NODE.addresses[0]} dev node1" in lines
    assert f"route add {NODE.pod_ranges[1]} via {NODE.addresses[1]} dev node1" in lines


def test_this_machine_gets_routes_to_the_cluster_and_to_nothing_else() -> None:
    routes = [line for line in links.host_lines(PLAN) if line.startswith("route")]
    assert [line.split()[2] for line in routes] == [str(range_) for range_ in PLAN.ranges]


def test_an_ipv6_only_cluster_has_no_ipv4_address_anywhere() -> None:
    plan = make("local", 2, Family.IPV6, 0)
    lines = [*links.host_lines(plan), *links.router_lines(plan)]
    for node in plan.nodes:
        lines += [*links.node_link_lines(plan, node), *links.node_lines(plan, node)]
    assert not [line for line in lines if "." in line]

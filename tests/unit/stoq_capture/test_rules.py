"""The rules that a plan becomes."""

from ipaddress import ip_address

from stoq.capture.chains import Chain
from stoq.capture.plan import Plan, parse_networks, parse_ports
from stoq.capture.rules import chains, marker, render, render_undo, revision


def chain(plan: Plan, name: str) -> Chain:
    return next(found for found in chains(plan) if found.name == name)


def names(found: Chain) -> list[str]:
    return [rule.name for rule in found.rules]


def test_the_table_is_replaced_in_one_script() -> None:
    lines = render(Plan()).splitlines()
    # The first line makes sure that the second one finds something to delete.
    assert lines[:3] == ["table inet stoq", "delete table inet stoq", "table inet stoq {"]
    assert render_undo().splitlines() == lines[:2]


def test_the_probe_comes_before_the_rule_that_lets_the_sidecar_out() -> None:
    order = names(chain(Plan(), "outbound"))
    assert order == ["only-tcp", "probe-ipv6", "probe-ipv4", "sidecar", "loopback", "capture"]


def test_exclusions_come_before_capture_and_are_marked() -> None:
    plan = Plan(
        exclude_outbound_ports=parse_ports("443"),
        exclude_outbound_networks=parse_networks("10.0.0.0/8,fd00::/64"),
        direct_endpoints=((ip_address("fd00::9"), 14012),),
    )
    outbound = chain(plan, "outbound")
    assert names(outbound)[5:] == [
        "direct-fd00::9-14012", "excluded-ports", "excluded-ipv6", "excluded-ipv4", "capture",
    ]  # fmt: skip
    assert all("ct mark set 0x36b8" in rule.expression for rule in outbound.rules[5:-1])


SERVERS = (ip_address("fd00::53"), ip_address("10.0.0.53"))


def dns(plan: Plan) -> list[str]:
    return [name for name in names(chain(plan, "outbound")) if name.startswith("dns-")]


def test_dns_towards_the_name_servers_is_turned_to_the_resolver() -> None:
    assert dns(Plan()) == []
    plan = Plan(nameservers=SERVERS)
    order = names(chain(plan, "outbound"))
    assert order[:3] == ["dns-ipv6-udp", "dns-ipv4-udp", "only-tcp"]
    # The sidecar's own queries leave; a name server on loopback is one all the same.
    assert order[5:9] == ["sidecar", "dns-ipv6-tcp", "dns-ipv4-tcp", "loopback"]
    assert chain(plan, "outbound").rules[0].expression == (
        "ip6 daddr { fd00::53 } udp dport 53 meta skuid != { 14008 } counter redirect to :14053"
    )


def test_exclusions_leave_dns_alone_too() -> None:
    assert dns(Plan(nameservers=SERVERS, exclude_outbound_ports=parse_ports("50-60"))) == []
    plan = Plan(nameservers=SERVERS, exclude_outbound_networks=parse_networks("10.0.0.0/8"))
    assert dns(plan) == ["dns-ipv6-udp", "dns-ipv6-tcp"]


def test_a_name_server_with_a_zone_index_is_not_captured() -> None:
    assert dns(Plan(nameservers=(ip_address("fe80::1%eth0"),))) == []


def test_inbound_lets_metrics_and_excluded_ports_through() -> None:
    plan = Plan(exclude_inbound_ports=parse_ports("22,2222"))
    assert names(chain(plan, "inbound")) == [
        "only-tcp", "loopback", "metrics", "excluded-ports", "capture",
    ]  # fmt: skip


def test_inbound_lets_probes_of_the_node_through_to_declared_ports_alone() -> None:
    node = tuple(map(ip_address, ("fd00::10", "10.0.0.16", "fd00::10")))
    plan = Plan(probe_sources=node, probe_ports=parse_ports("8080,9000-9010"))
    rules = {rule.name: rule.expression for rule in chain(plan, "inbound").rules}
    assert list(rules)[-3:] == ["probes-ipv6", "probes-ipv4", "capture"]
    ports = "tcp dport { 8080, 9000-9010 } counter return"
    assert rules["probes-ipv6"] == f"ip6 saddr {{ fd00::10 }} {ports}"
    assert rules["probes-ipv4"] == f"ip saddr {{ 10.0.0.16 }} {ports}"
    assert Plan(probe_sources=node).probe_ports == ()
    assert names(chain(Plan(probe_sources=node), "inbound"))[-2:] == ["metrics", "capture"]


def test_the_guard_ends_in_refusal() -> None:
    guard = chain(Plan(), "guard")
    assert guard.priority > chain(Plan(), "outbound").priority
    assert [rule.expression.split()[-1] for rule in guard.rules[-2:]] == ["drop", "reset"]


def test_ipv4_is_refused_before_it_could_be_redirected() -> None:
    assert [c.name for c in chains(Plan()) if c.name.startswith("family")] == []
    family = chain(Plan(ipv6_only=True), "family")
    assert family.priority < chain(Plan(), "outbound").priority


def test_a_clients_address_is_marked_before_the_sidecar_is_let_out() -> None:
    plain, kept = chains(Plan()), chains(Plan(client_address=True))
    assert {c.name for c in kept} - {c.name for c in plain} == {"answers", "stay"}
    order = names(chain(Plan(client_address=True), "outbound"))
    assert order.index("client-address") == order.index("sidecar") - 1
    assert chain(Plan(client_address=True), "answers").type == "route"


def test_every_rule_of_a_chain_has_its_own_name() -> None:
    plan = Plan(
        client_address=True,
        exclude_outbound_ports=parse_ports("1,2"),
        direct_endpoints=((ip_address("fd00::9"), 1), (ip_address("fd00::9"), 2)),
        ipv6_only=True,
    )
    for found in chains(plan):
        assert len(set(names(found))) == len(found.rules)


def test_the_marker_changes_with_the_plan_and_only_with_it() -> None:
    assert marker(Plan()) == marker(Plan())
    assert revision(Plan()) != revision(Plan(exclude_inbound_ports=parse_ports("22")))
    assert f"chain {marker(Plan())} " in render(Plan())

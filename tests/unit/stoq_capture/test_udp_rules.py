"""The rules of captured UDP."""

from ipaddress import ip_address

from stoq.capture import routes
from stoq.capture.chains import Chain
from stoq.capture.plan import Plan, parse_networks, parse_ports
from stoq.capture.rules import chains


def chain(plan: Plan, name: str) -> Chain:
    return next(found for found in chains(plan) if found.name == name)


def names(found: Chain) -> list[str]:
    return [rule.name for rule in found.rules]


def test_without_it_no_chain_is_about_udp() -> None:
    assert not [found.name for found in chains(Plan()) if found.name.startswith("udp")]
    assert names(chain(Plan(), "steer")) == ["stoq-to-peer", "stoq-from-peer"]


def test_dialled_connections_are_tracked_so_that_answers_to_them_are_known() -> None:
    plan = Plan(udp=True)
    assert names(chain(plan, "steer")) == ["stoq-from-peer"]
    assert names(chain(plan, "steer_back")) == ["stoq-to-peer"]


def test_capture_is_the_last_word_about_what_goes_out() -> None:
    plan = Plan(
        udp=True,
        nameservers=(ip_address("fd00::53"),),
        exclude_outbound_ports=parse_ports("443"),
        exclude_outbound_networks=parse_networks("10.0.0.0/8,fd00::/64"),
    )
    # The name server lies in an excluded network: exclusions hold for DNS too.
    assert names(chain(plan, "udp_out"))[9:] == [
        "link-ipv6", "link-ipv4", "excluded-ports", "excluded-ipv6", "excluded-ipv4",
        "capture-whole", "capture",
    ]  # fmt: skip
    other = Plan(udp=True, nameservers=(ip_address("fd00::53"),))
    assert names(chain(other, "udp_out"))[-3:] == ["dns-ipv6", "capture-whole", "capture"]


def test_ports_of_udp_alone_are_excluded_beside_those_of_both_protocols() -> None:
    plan = Plan(
        udp=True,
        exclude_outbound_ports=parse_ports("443"),
        exclude_outbound_udp_ports=parse_ports("444,5060"),
        exclude_inbound_udp_ports=parse_ports("5060"),
    )
    rules = {rule.name: rule.expression for rule in chain(plan, "udp_out").rules}
    assert "udp dport { 443-444, 5060 }" in rules["excluded-ports"]
    rules = {rule.name: rule.expression for rule in chain(plan, "udp_in").rules}
    assert "udp dport { 5060 }" in rules["excluded-ports"]
    assert "5060" not in str(chain(plan, "outbound")) + str(chain(plan, "inbound"))


def test_dns_stays_with_the_resolver_where_udp_port_53_is_excluded() -> None:
    server = (ip_address("fd00::53"),)
    found = names(
        chain(
            Plan(udp=True, nameservers=server, exclude_outbound_udp_ports=parse_ports("53")),
            "udp_out",
        )
    )
    assert found.index("dns-ipv6") < found.index("excluded-ports")


def test_whatever_nobody_takes_is_dropped() -> None:
    found = chain(Plan(udp=True, exclude_inbound_ports=parse_ports("53")), "udp_in")
    order = names(found)
    assert order.index("captured") + 1 == order.index("nobody")
    assert order[-4:] == ["excluded-ports", "plaintext", "let-out", "nobody-plaintext"]
    assert found.rules[-1].expression == "counter drop"


def test_the_sidecar_lets_out_nothing_but_udp_of_the_pod() -> None:
    rules = {rule.name: rule.expression for rule in chain(Plan(udp=True), "udp_out").rules}
    assert "fib saddr type local" in rules["emitted"]
    assert rules["emitted-other"] == "meta mark 0x36bc counter drop"


def test_marks_are_routed_for_what_the_plan_wants() -> None:
    assert routes.marks(Plan()) == ()
    assert routes.marks(Plan(client_address=True)) == (0x36B9,)
    assert routes.marks(Plan(udp=True)) == (0x36BA, 0x36BE, 0x36BB)


def test_what_may_not_be_divided_has_a_mark_of_its_own_that_leads_the_same_way() -> None:
    out = {rule.name: rule.expression for rule in chain(Plan(udp=True), "udp_out").rules}
    assert "ip frag-off & 0x4000 != 0" in out["capture-whole"]
    assert "meta mark set 0x36be" in out["capture-whole"]
    arriving = {rule.name: rule.expression for rule in chain(Plan(udp=True), "udp_in").rules}
    staying = chain(Plan(udp=True), "udp_stay").rules[0].expression
    for expression in (arriving["captured"], arriving["nobody"], staying):
        assert "0x36ba, 0x36be" in expression

"""Rules and sets by which joined pods go past their sidecars."""

from ipaddress import ip_address

from stoq.capture import rules, splice
from stoq.capture.plan import Plan, PortRange

SIX, FOUR = ip_address("fd00::b"), ip_address("10.0.0.11")


def named(chain: str, plan: Plan) -> list[str]:
    (found,) = (one for one in rules.chains(plan) if one.name == chain)
    return [rule.name for rule in found.rules]


def test_without_splice_nothing_of_it_is_there() -> None:
    assert "splice" not in rules.render(Plan())
    assert f"{splice.SPLICE_MARK:#x}" not in rules.render(Plan())


def test_joined_pods_are_let_past_last_before_capture_and_after_what_is_excluded() -> None:
    plan = Plan(splice=True, exclude_outbound_ports=(PortRange(1, 2),))
    outbound = named("outbound", plan)
    assert outbound[-4:] == ["excluded-ports", "spliced-ipv6", "spliced-ipv4", "capture"]
    assert named("inbound", plan)[-3:] == ["spliced-ipv6", "spliced-ipv4", "capture"]


def test_a_connection_whose_pair_has_gone_is_reset_before_any_rule_lets_it_go_on() -> None:
    guard = named("guard", Plan(splice=True))
    assert guard.index("parted") < guard.index("answer") < guard.index("redirected")
    assert all(guard.index(f"joined-ipv{version}") < guard.index("parted") for version in (4, 6))


def test_the_sets_are_declared_before_the_chains_that_use_them() -> None:
    text = rules.render(Plan(splice=True))
    assert text.index("set spliced_in_ipv4") < text.index("chain outbound")
    assert text.count("flags timeout") == 4


def test_members_replace_all_that_were_there_and_go_by_themselves() -> None:
    script = splice.render([(SIX, 5432), (FOUR, 5432)], [], 10)
    assert script.splitlines() == [
        "flush set inet stoq spliced_out_ipv6",
        "add element inet stoq spliced_out_ipv6 { fd00::b . 5432 timeout 10s }",
        "flush set inet stoq spliced_out_ipv4",
        "add element inet stoq spliced_out_ipv4 { 10.0.0.11 . 5432 timeout 10s }",
        "flush set inet stoq spliced_in_ipv6",
        "flush set inet stoq spliced_in_ipv4",
    ]

"""What a kernel's listing says about a plan."""

import json
from typing import Any

import pytest

from stoq.capture.listing import counters, differences
from stoq.capture.plan import Plan, parse_ports
from stoq.capture.rules import chains, marker


def listed(plan: Plan) -> list[dict[str, Any]]:
    """nft's listing of `plan`, as far as it is read."""
    items: list[dict[str, Any]] = [
        {"metainfo": {"version": "1.0.6"}},
        {"table": {"family": "inet", "name": "stoq"}},
        {"chain": {"name": marker(plan), "table": "stoq"}},
    ]
    for chain in chains(plan):
        items.append(
            {
                "chain": {
                    "name": chain.name,
                    "type": chain.type,
                    "hook": chain.hook,
                    "prio": chain.priority,
                }
            }
        )
        items += [{"rule": {"chain": chain.name, "comment": r.name}} for r in chain.rules]
    return items


def text(items: list[dict[str, Any]]) -> str:
    return json.dumps({"nftables": items})


def test_the_plan_itself_has_no_differences() -> None:
    assert differences(Plan(), text(listed(Plan()))) == []


def test_another_plan_is_told_by_its_marker() -> None:
    other = Plan(exclude_inbound_ports=parse_ports("22"))
    found = differences(Plan(), text(listed(other)))
    assert found[0] == f"table inet stoq holds {marker(other)}, not {marker(Plan())}"


def test_a_missing_chain_is_named() -> None:
    items = [i for i in listed(Plan()) if i.get("chain", {}).get("name") != "guard"]
    assert differences(Plan(), text(items)) == ["chain guard is missing"]


def test_a_chain_at_another_hook_is_named() -> None:
    items = listed(Plan())
    next(i for i in items if i.get("chain", {}).get("name") == "guard")["chain"]["prio"] = -500
    assert "registered as ('filter', 'output', -500)" in differences(Plan(), text(items))[0]


def test_missing_and_foreign_rules_are_named() -> None:
    items = [i for i in listed(Plan()) if i.get("rule", {}).get("comment") != "escaped"]
    items.append({"rule": {"chain": "guard"}})
    assert differences(Plan(), text(items)) == [
        "chain guard: lacks ['escaped'], has unknown ['unnamed']"
    ]


def test_rules_in_another_order_are_a_difference() -> None:
    items = listed(Plan())
    last = items.pop()
    items.insert(-2, last)
    assert "in the order" in differences(Plan(), text(items))[0]


@pytest.mark.parametrize("listing", ["", "[]", "{}", "nonsense"])
def test_what_is_no_listing_is_refused(listing: str) -> None:
    with pytest.raises(ValueError, match="not a JSON listing"):
        differences(Plan(), listing)


def test_counters_are_read_by_chain_and_rule() -> None:
    counter = {"counter": {"packets": 3, "bytes": 180}}
    items: list[dict[str, Any]] = [
        {"rule": {"chain": "guard", "comment": "escaped", "expr": [counter, {"reject": None}]}},
        {"rule": {"chain": "guard", "comment": "answer", "expr": [{"accept": None}]}},
    ]
    assert counters(text(items)) == {"guard/escaped": (3, 180)}

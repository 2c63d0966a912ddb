"""`spec.adaptation` of a TransportPolicy: what is refused, and which policy holds."""

import pytest

from stoq.records.errors import RecordError
from stoq.records.policy import effective
from support.records import mesh, record


def policy(name="wan", selector=None, **adaptation):
    spec = {"adaptation": adaptation}
    if selector:
        spec["selector"] = {"matchLabels": selector}
    return record("TransportPolicy", name, spec)


def holds(*policies, labels=None):
    found = effective(mesh().spec, policies, "shop", labels or {}).adapting
    return None if found is None else found.metadata.name


@pytest.mark.parametrize(
    ("adaptation", "said"),
    [
        ({"tier": "fast"}, "spec.adaptation.tier is 'fast': use one of slow, home, standard"),
        ({"congestion": "vegas"}, "spec.adaptation.congestion is 'vegas': use one of cubic, "),
        (
            {"minTier": "enterprise", "maxTier": "home"},
            "spec.adaptation.minTier is 'enterprise': it is better than maxTier, home; the order",
        ),
        ({"tier": "home", "minTier": "slow"}, "tier is 'home': it pins the tier: leave out minT"),
        ({"maxRate": 999_999}, "spec.adaptation.maxRate is 999999: "),
        ({"receiveWindowMost": 65_535}, "spec.adaptation.receiveWindowMost is 65535: "),
        ({"sendWindowMost": 64_000_001}, "spec.adaptation.sendWindowMost is 64000001: "),
        ({"mtu": 9000}, "spec.adaptation.mtu is 9000: no such field; remove it"),
    ],
)
def test_nonsense_is_refused_with_field_value_and_the_way_out(adaptation, said):
    with pytest.raises(RecordError) as refused:
        policy(**adaptation)
    assert said in str(refused.value)


def test_bounds_may_meet_and_every_field_is_read():
    spec = policy(
        dryRun=False, minTier="home", maxTier="home", congestion="bbr2", maxRate=1_000_000,
        receiveWindowMost=9_000_000, sendWindowMost=12_000,
    ).spec.adaptation  # fmt: skip
    assert (spec.min_tier, spec.max_tier, spec.congestion) == ("home", "home", "bbr2")
    assert (spec.dry_run, spec.max_rate) == (False, 1_000_000)
    assert (spec.receive_window_most, spec.send_window_most) == (9_000_000, 12_000)


def test_one_policy_holds_as_a_whole_the_narrower_one_and_then_the_first_by_name():
    wide, db = policy("a", congestion="cubic"), policy("b", {"app": "db"}, tier="home")
    strict = record("TransportPolicy", "0", {"inbound": "strict"})
    assert holds(strict, wide, db, labels={"app": "db"}) == "b"
    assert holds(strict, wide, db, labels={"app": "web"}) == "a"
    assert holds(policy("d"), policy("c")) == "c"
    assert holds(strict) is None

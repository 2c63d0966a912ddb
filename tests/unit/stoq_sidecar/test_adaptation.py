"""Settings, policy and pins by hand put together; a real engine checks what it is told."""

import logging
from collections.abc import AsyncIterator

import pytest

from stoq.engine import Adapt, TlsContext
from stoq.rules import AdaptationRule
from stoq_sidecar.adaptation import Adaptation, from_settings, under
from stoq_sidecar.settings import Adapt as Options
from stoq_sidecar.settings import read
from support import engines

WINDOW = 8_000_000


def options(**environment: str) -> Options:
    return read("", {f"STOQ_ADAPT_{name}": text for name, text in environment.items()}).adapt


def rule(**fields: object) -> AdaptationRule:
    return AdaptationRule(policy="shop/wan", **fields)  # type: ignore[arg-type]


class Recording:
    """A real engine, and what it was told and took."""

    def __init__(self, engine: engines.Engine) -> None:
        self._engine = engine
        self.taken: list[Adapt] = []

    def set_adaptation(self, adapt: Adapt) -> None:
        self._engine.set_adaptation(adapt)
        self.taken.append(adapt)


@pytest.fixture
async def engine() -> AsyncIterator[Recording]:
    async with engines.Engine(engines.client_settings(), TlsContext()) as made:
        yield Recording(made)


def test_without_a_policy_the_settings_hold() -> None:
    given = from_settings(options(MIN_TIER="home", CONGESTION="cubic"))
    assert under(given, None, WINDOW) == given


def test_the_policy_wins_over_the_settings_and_leaves_the_rest_to_them() -> None:
    given = from_settings(
        options(MODE="dry-run", CONGESTION="cubic", MAX_RATE="5000000", SEND_WINDOW_MOST="50000")
    )
    assert under(given, rule(congestion="bbr3", dry_run=False), WINDOW) == Adapt(
        mode="on", congestion="bbr3", max_rate=5_000_000, send_window=(12_000, 50_000)
    )
    wide = rule(max_rate=9_000_000, send_window_most=70_000, dry_run=True)
    assert under(given, wide, WINDOW) == Adapt(
        mode="dry-run", congestion="cubic", max_rate=9_000_000, send_window=(12_000, 70_000)
    )


def test_tier_and_its_bounds_are_replaced_together() -> None:
    given = from_settings(options(MIN_TIER="performance", MAX_TIER="enterprise"))
    found = under(given, rule(max_tier="home"), WINDOW)
    assert (found.tier, found.min_tier, found.max_tier) == (None, None, "home")


def test_a_receive_window_is_never_less_than_connections_begin_with() -> None:
    assert under(Adapt(), rule(receive_window_most=70_000), WINDOW).receive_window == (
        12_000,
        WINDOW,
    )
    assert under(Adapt(), rule(receive_window_most=9_000_000), WINDOW).receive_window == (
        12_000,
        9_000_000,
    )


async def test_the_engine_follows_the_policy_and_goes_back_without_it(engine: Recording) -> None:
    adaptation = Adaptation(engine, options(CONGESTION="cubic"), WINDOW)
    adaptation.follow(None)
    assert engine.taken == []
    wan = rule(tier="home", congestion="bbr3", receive_window_most=70_000)
    for _ in range(2):
        adaptation.follow(wan)
    adaptation.follow(None)
    assert engine.taken == [
        Adapt(tier="home", congestion="bbr3", receive_window=(12_000, WINDOW)),
        Adapt(congestion="cubic"),
    ]


async def test_pins_by_hand_hold_within_the_policy(engine: Recording) -> None:
    adaptation = Adaptation(engine, options(TIER="slow"), WINDOW)
    adaptation.follow(rule(max_tier="standard", congestion="bbr3"))
    adaptation.pin("home", "")
    assert engine.taken[-1] == Adapt(tier="home", max_tier="standard", congestion="bbr3")
    with pytest.raises(ValueError, match="congestion cubic: TransportPolicy shop/wan pins bbr3"):
        adaptation.pin("home", "cubic")
    with pytest.raises(ValueError, match="not within min_tier and max_tier"):
        adaptation.pin("enterprise", "")
    told = adaptation.describe()
    assert told["pins"] == {"tier": "home", "congestion": ""}
    assert told["policy"] == {"policy": "shop/wan", "max_tier": "standard", "congestion": "bbr3"}
    assert told["binds"]["tier"] == "home"
    adaptation.pin("", "")
    assert engine.taken[-1] == Adapt(max_tier="standard", congestion="bbr3")


async def test_a_policy_that_contradicts_a_pin_takes_it_away(
    engine: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    adaptation = Adaptation(engine, options(), WINDOW)
    adaptation.pin("datacenter", "")
    adaptation.follow(rule(max_tier="home"))
    assert engine.taken[-1] == Adapt(max_tier="home")
    assert adaptation.describe()["pins"] == {"tier": "", "congestion": ""}
    assert "pins by hand are gone" in caplog.text


async def test_what_this_engine_cannot_use_changes_nothing_and_is_logged(
    engine: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    adaptation = Adaptation(engine, options(), WINDOW)
    adaptation.follow(rule(tier="home"))
    adaptation.follow(rule(tier="interplanetary"))
    assert engine.taken == [Adapt(tier="home")]
    assert "no tier is called" in caplog.text
    assert adaptation.describe()["binds"]["tier"] == "home"


async def test_an_engine_without_adaptation_stays_so_and_says_so(
    engine: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    adaptation = Adaptation(engine, options(MODE="off"), WINDOW)
    adaptation.follow(rule(tier="home"))
    assert engine.taken == []
    assert "STOQ_ADAPT_MODE is off" in caplog.text

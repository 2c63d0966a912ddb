"""How connections adapt to their paths: settings, the policy of the mesh, and pins by hand.

The policy wins over the settings. Pins by hand hold within the policy, over the settings.
"""

import logging
from typing import Any, Final, Protocol, cast

import msgspec

from stoq.engine.settings import Adapt, AdaptMode
from stoq.rules import AdaptationRule
from stoq_sidecar.settings import Adapt as Options

log = logging.getLogger("stoq.adaptation")

LEAST_WINDOW: Final = 12_000
"""Bytes: the engine takes no less."""


def from_settings(given: Options) -> Adapt:
    """Adaptation as it is set."""
    return Adapt(
        mode=cast("AdaptMode", given.mode),
        tier=given.tier or None,
        min_tier=given.min_tier or None,
        max_tier=given.max_tier or None,
        congestion=given.congestion or None,
        max_rate=given.max_rate or None,
        receive_window=_up_to(given.receive_window_most),
        send_window=_up_to(given.send_window_most),
    )


def under(base: Adapt, rule: AdaptationRule | None, connection_window: int) -> Adapt:
    """Adaptation that is set as `base`, under a policy.

    Tier, worst and best belong together: a policy that says one of them replaces all three, so
    that bounds of one place never cross those of another. A receive window of less than
    connections begin with (bytes) cannot be had any more: then it is that.
    """
    if rule is None:
        return base
    changed: dict[str, Any] = {}
    if rule.dry_run is not None:
        changed["mode"] = "dry-run" if rule.dry_run else "on"
    if rule.tier or rule.min_tier or rule.max_tier:
        changed |= {"tier": rule.tier, "min_tier": rule.min_tier, "max_tier": rule.max_tier}
    if rule.congestion:
        changed["congestion"] = rule.congestion
    if rule.max_rate:
        changed["max_rate"] = rule.max_rate
    if rule.receive_window_most:
        changed["receive_window"] = _up_to(max(rule.receive_window_most, connection_window))
    if rule.send_window_most:
        changed["send_window"] = _up_to(rule.send_window_most)
    return msgspec.structs.replace(base, **changed)


def pinned(base: Adapt, rule: AdaptationRule | None, tier: str, congestion: str) -> Adapt:
    """`base`, which is under `rule`, with pins by hand; empty: none. Raises ValueError for a pin
    of what the policy has pinned; whether a tier is within the bounds is for the engine to say.
    """
    for name, wanted, fixed in (
        ("tier", tier, rule.tier if rule else None),
        ("congestion", congestion, rule.congestion if rule else None),
    ):
        if rule and wanted and fixed and wanted != fixed:
            raise ValueError(f"{name} {wanted}: TransportPolicy {rule.policy} pins {fixed}")
    return msgspec.structs.replace(
        base, tier=tier or base.tier, congestion=congestion or base.congestion
    )


def _up_to(most: int) -> tuple[int, int] | None:
    return (min(LEAST_WINDOW, most), most) if most else None


class Adaptable(Protocol):
    """What an engine does here."""

    def set_adaptation(self, adapt: Adapt) -> None:
        """Has live and later connections adapt so. Raises ValueError naming the field."""


class Adaptation:
    """Keeps an engine at what settings, policy and pins say together."""

    def __init__(self, engine: Adaptable, given: Options, connection_window: int) -> None:
        self._engine = engine
        self._given = from_settings(given)
        self._connection_window = connection_window
        self._rule: AdaptationRule | None = None
        self._pins = ("", "")
        self._binds = self._given

    def follow(self, rule: AdaptationRule | None) -> None:
        """Puts the mesh's policy in force; None: there is none any more.

        A policy that this engine cannot use (a later release may know other names) changes
        nothing and is logged: everything else that the registry said must go on.
        """
        if rule == self._rule:
            return
        before, self._rule = self._rule, rule
        latest = rule or before
        name = latest.policy if latest else ""
        if self._given.mode == "off":
            log.warning("TransportPolicy %s: nothing adapts, since STOQ_ADAPT_MODE is off", name)
            return
        try:
            self._set(*self._pins)
        except ValueError as error:
            if any(self._pins):
                log.warning("pins by hand are gone, the policy says otherwise: %s", error)
                self._pins = ("", "")
            try:
                self._set("", "")
            except ValueError as still:
                log.warning("TransportPolicy %s: adaptation stays as it was: %s", name, still)
                return
        log.info("TransportPolicy %s: adaptation is now %s", name, self._binds)

    def pin(self, tier: str, congestion: str) -> None:
        """Pins tier and congestion controller of all connections; empty: as settings and policy
        say. Raises ValueError naming what cannot be.
        """
        self._set(tier, congestion)
        self._pins = (tier, congestion)

    def describe(self) -> dict[str, Any]:
        """The policy, the pins, and what holds, as plain data."""
        return {
            "policy": None if self._rule is None else msgspec.to_builtins(self._rule),
            "pins": {"tier": self._pins[0], "congestion": self._pins[1]},
            "binds": msgspec.to_builtins(self._binds),
        }

    def _set(self, tier: str, congestion: str) -> None:
        base = under(self._given, self._rule, self._connection_window)
        wanted = pinned(base, self._rule, tier, congestion)
        self._engine.set_adaptation(wanted)
        self._binds = wanted

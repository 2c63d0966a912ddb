"""Spreads calls over endpoints, and leaves those alone that could not be reached. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

FIRST_REST: Final = 1.0
"""Seconds that an endpoint is left alone after its first failure; twice as long after each more."""

LONGEST_REST: Final = 30.0
"""Seconds that it is left alone at most: about what a pod takes to come back."""


@dataclass(frozen=True, slots=True)
class Target:
    """One endpoint."""

    address: str
    """Address and UDP port, `[fd00::1]:14100`."""
    spiffe_id: str
    """Whom it must prove to be."""
    weight: int = 1
    """Its share; 0 takes no calls."""


@dataclass(slots=True)
class _State:
    running: int = 0
    turn: int = 0
    """Of the last call; breaks ties in favour of who had none for longest."""
    failures: int = 0
    rests_until: float = 0.0


class Balancer:
    """The endpoints of one service."""

    def __init__(self) -> None:
        self._states: dict[Target, _State] = {}
        self._turn = 0

    def update(self, targets: Iterable[Target]) -> None:
        """These are the endpoints now; those that stay keep what is known of them."""
        self._states = {target: self._states.get(target) or _State() for target in targets}

    def pick(self, tried: Collection[Target], now: float) -> Target | None:
        """Who gets the next call: the one with the fewest under way for its weight; None when all
        were tried. When all rest, the one that has rested for longest is tried early.
        """
        left = [
            (target, state)
            for target, state in self._states.items()
            if target.weight > 0 and target not in tried
        ]
        if not left:
            return None
        awake = [found for found in left if found[1].rests_until <= now]
        if not awake:
            return min(left, key=lambda found: found[1].rests_until)[0]
        return min(awake, key=lambda f: ((f[1].running + 1) / f[0].weight, f[1].turn))[0]

    def began(self, target: Target) -> None:
        """A call goes there."""
        if (state := self._states.get(target)) is not None:
            self._turn += 1
            state.turn = self._turn
            state.running += 1

    def ended(self, target: Target, now: float, *, reached: bool | None) -> None:
        """A call there is over: it was taken, nobody saw it (False), or neither is known."""
        if (state := self._states.get(target)) is None:
            return
        state.running = max(0, state.running - 1)
        if reached:
            state.failures = 0
            state.rests_until = 0.0
        elif reached is False:
            state.rests_until = now + min(LONGEST_REST, FIRST_REST * 2**state.failures)
            state.failures = min(state.failures + 1, 16)

"""What was seen over time, and what is made of it. Pure."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from lab.netlab.schedule import Schedule

WINDOW = 0.1
"""Seconds over which goodput is counted."""

PAYLOAD = 0.92
"""Of the rate of a path, which counts Ethernet headers, what an application can get at MTU 1500:
1514 bytes carry 1400 of QUIC's or TCP's payload, and acknowledgements take their part."""

NEAR = 0.9
"""A rate has been found when so much of it is used."""


@dataclass(frozen=True, slots=True)
class Point:
    """One look. Seconds count from the moment when the path's schedule began."""

    seconds: float
    received: int
    """Bytes that the receiving application has got."""
    tier: str = ""
    controller: str = ""
    window: int = 0
    """Congestion window, bytes."""
    rtt_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Change:
    """When the path got another rate, and how long it took to use it; None: it was not used."""

    seconds: float
    before: float
    after: float
    """Mbit/s."""
    settled: float | None


def rates(points: Sequence[Point]) -> list[tuple[float, float]]:
    """Goodput in Mbit/s between looks, with the time in the middle."""
    return [
        (
            (one.seconds + other.seconds) / 2,
            (other.received - one.received) * 8e-6 / (other.seconds - one.seconds),
        )
        for one, other in itertools.pairwise(points)
        if other.seconds > one.seconds
    ]


def goodput(points: Sequence[Point]) -> float:
    """Over all of it, Mbit/s."""
    first, last = points[0], points[-1]
    seconds = last.seconds - first.seconds
    return (last.received - first.received) * 8e-6 / seconds if seconds > 0 else 0.0


def path_rates(schedule: Schedule) -> list[tuple[float, float]]:
    """When each step begins, and its rate from the near end in Mbit/s; 0: none."""
    found, begins = [], 0.0
    for step in schedule.steps:
        found.append((begins, step.up.over(step).rate_mbit or 0.0))
        begins += step.seconds or 0.0
    return found


def changes(schedule: Schedule, points: Sequence[Point]) -> list[Change]:
    """How changes of the rate were followed."""
    steps = path_rates(schedule)
    ends = [begins for begins, _ in steps[1:]] + [float("inf")]
    seen = rates(points)
    found = []
    for (_, before), (begins, after), end in zip(steps, steps[1:], ends[1:], strict=False):
        if before == after or not after:
            continue
        within = [(at, rate) for at, rate in seen if begins + WINDOW / 2 <= at < end]
        found.append(Change(begins, before, after, _settled(begins, after * PAYLOAD, within)))
    return found


def _settled(begins: float, wanted: float, seen: Sequence[tuple[float, float]]) -> float | None:
    """Until two looks in a row use the rate: one may be a queue that runs empty."""
    for (at, one), (_, other) in itertools.pairwise(seen):
        if min(one, other) >= NEAR * wanted:
            return max(0.0, at - WINDOW / 2 - begins)
    return None

"""What was seen over time, and what is made of it. Pure."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from lab.netlab.schedule import Schedule

LOOK = 0.1
"""Seconds between looks at the sidecar; goodput over time is told so often, too."""

SAMPLE = 0.025
"""Seconds between samples of what the receiving application has got."""

FIRST = 0.05
HELD = 0.5
"""Seconds over which a new rate is to be used: for the first time, and not in passing."""

BEST = 1.0
"""Seconds over which the most that a candidate reaches is counted."""

PAYLOAD = 0.92
"""Of the rate of a path, which counts Ethernet headers, what an application can get at MTU 1500:
1514 bytes carry 1400 of QUIC's or TCP's payload, and acknowledgements take their part."""

NEAR = 0.1
"""A rate is used when goodput differs so little from it."""

GAIN = 1.25
"""What BBR paces at while it probes, of what it takes for the rate. Whoever lets no more go than
that has followed a fall."""

TIERS = ("slow", "home", "standard", "performance", "enterprise", "datacenter")
"""Worst first."""


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
    paced_mbit: float = 0.0
    """What the sidecar paces at; 0: nothing but the window."""

    @property
    def allowed_mbit(self) -> float:
        """What the sidecar lets go: what it paces at, else a window each round trip."""
        if self.paced_mbit or not self.rtt_ms:
            return self.paced_mbit
        return self.window * 8e-3 / self.rtt_ms


@dataclass(frozen=True, slots=True)
class Decision:
    """The sidecar has put its connection into another tier."""

    least: float
    most: float
    """When, in seconds: not before and not after."""
    before: str
    after: str

    @property
    def worse(self) -> bool:
        """Whether it went down."""
        return TIERS.index(self.after) < TIERS.index(self.before)


@dataclass(frozen=True, slots=True)
class Seen:
    """One candidate over one path."""

    points: Sequence[Point]
    arrivals: Sequence[tuple[float, int]] = ()
    """When, and how many bytes the receiving application had got by then."""
    decisions: Sequence[Decision] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """The path got another rate (Mbit/s), and what followed. Times are seconds since then; None: it
    did not come.
    """

    seconds: float
    before: float
    after: float
    first: float | None
    """Since when 50 ms used it."""
    held: float | None
    """Since when half a second used it."""
    own: float | None = None
    """Mbit/s of the candidate's best second in this step where that is less than the rate allows;
    then this is what is to be used.
    """
    decided: float | None = None
    """The first decision for a worse tier after a fall, for a better one after a rise."""
    allowed: float | None = None
    """The first look at which the sidecar let go as much as it should, and not more."""
    rtt_ms: tuple[float, float] | None = None
    """Of the last look before, and of the first one after."""


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


def goodput(seen: Seen) -> float:
    """Over all of it, Mbit/s."""
    first, last = seen.points[0], seen.points[-1]
    seconds = last.seconds - first.seconds
    return (last.received - first.received) * 8e-6 / seconds if seconds > 0 else 0.0


def path_rates(schedule: Schedule) -> list[tuple[float, float]]:
    """When each step begins, and its rate from the near end in Mbit/s; 0: none."""
    found, begins = [], 0.0
    for step in schedule.steps:
        found.append((begins, step.up.over(step).rate_mbit or 0.0))
        begins += step.seconds or 0.0
    return found


def windows(arrivals: Sequence[tuple[float, int]], seconds: float) -> list[tuple[float, float]]:
    """Goodput in Mbit/s over windows of so many seconds, with the time when each begins; one for
    each sample. Samples that came late make a window longer, never shorter than by a tenth.
    """
    found, end = [], 0
    for begins, before in arrivals:
        while end < len(arrivals) and arrivals[end][0] - begins < 0.9 * seconds:
            end += 1
        if end == len(arrivals):
            break
        at, after = arrivals[end]
        found.append((begins, (after - before) * 8e-6 / (at - begins)))
    return found


def changes(schedule: Schedule, seen: Seen) -> list[Change]:
    """How changes of the rate were followed."""
    steps = path_rates(schedule)
    ends = [begins for begins, _ in steps[1:]] + [float("inf")]
    return [
        _change(before, after, begins, _part(seen, begins, end), _last(seen, begins))
        for (_, before), (begins, after), end in zip(steps, steps[1:], ends[1:], strict=False)
        if before != after and after
    ]


def _change(before: float, after: float, begins: float, step: Seen, last: Point | None) -> Change:
    falls = after < before
    wanted = after * PAYLOAD
    best = max((rate for _, rate in windows(step.arrivals, BEST)), default=0.0)
    own = best if best < (1 - NEAR) * wanted else None
    least = (1 - NEAR) * (wanted if own is None else own)
    most = (1 + NEAR) * wanted if falls else float("inf")

    def used(seconds: float) -> float | None:
        found = windows(step.arrivals, seconds)
        return next((at - begins for at, rate in found if least <= rate <= most), None)

    def follows(point: Point) -> bool:
        return point.allowed_mbit <= GAIN * after if falls else point.allowed_mbit >= least

    looks = [point for point in step.points if point.allowed_mbit]
    decided = (each for each in step.decisions if each.worse == falls)
    return Change(
        begins,
        before,
        after,
        used(FIRST),
        used(HELD),
        own,
        next((each.most - begins for each in decided), None),
        next((point.seconds - begins for point in looks if follows(point)), None),
        (last.rtt_ms, looks[0].rtt_ms) if last and looks else None,
    )


def _part(seen: Seen, begins: float, end: float) -> Seen:
    return Seen(
        [point for point in seen.points if begins <= point.seconds < end],
        [(at, count) for at, count in seen.arrivals if begins <= at < end],
        [each for each in seen.decisions if begins <= each.most < end],
    )


def _last(seen: Seen, begins: float) -> Point | None:
    return max((p for p in seen.points if p.seconds < begins), key=_seconds, default=None)


def _seconds(point: Point) -> float:
    return point.seconds

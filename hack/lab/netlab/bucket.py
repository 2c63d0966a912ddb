"""A schedule of rates in the words of `tc`. Pure.

Each direction has two of the kernel's token buckets (tc-tbf(8)), one in the other. The inner one
is the path. The outer one has no rate that matters: on a slow step it cuts packets of GSO to
frames, so that a loss is that of one frame, and on a fast step it lets them be. The inner one
cannot do that: it cuts what is larger than its burst, but a packet that waits already when a step
with a smaller burst begins never finds enough tokens, and stops the path for good. So a slow step
begins with the burst that the largest packet takes, and gets its own once those have left.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from lab.netlab.schedule import Conditions, Schedule

CUTTER: Final = "10000tbit"
"""The outer bucket's rate: a packet of any size takes no whole nanosecond, thus no tokens."""

BURST_SECONDS: Final = 0.001
"""Of the rate. A timer of the kernel wakes up well within it, also on a busy machine."""

LEAST_BURST: Final = 16_000
"""Bytes: ten frames of Ethernet's size."""

HEADER: Final = 14
"""Bytes of Ethernet's header, which a bucket counts."""

GSO_MOST: Final = 72_000
"""Bytes: 65,536 of a packet of GSO, with the headers of each of its frames at an MTU of 1280."""

OUTER, INNER = "1:", "2:"


@dataclass(frozen=True, slots=True)
class Bucket:
    """One direction in one step."""

    rate: int
    """Bits per second, Ethernet headers included."""
    cut: int
    """Bytes: larger packets are cut to frames."""
    burst: int
    """Bytes that may go at once."""
    limit: int
    """Bytes that may wait."""

    def lines(self, verb: str, device: str, least: int = 0) -> list[str]:
        """For `tc -batch`, to `add` or `change` it, with a burst of so many bytes at least."""
        outer = f"qdisc {verb} dev {device} root handle {OUTER} tbf"
        inner = f"qdisc {verb} dev {device} parent {OUTER}1 handle {INNER} tbf"
        return [
            f"{outer} rate {CUTTER} burst {self.cut} limit {self.limit}",
            f"{inner} rate {self.rate}bit burst {max(self.burst, least)} limit {self.limit}",
        ]


def bucket(conditions: Conditions, mtu: int) -> Bucket:
    """Of one direction, for an MTU in bytes."""
    told, frame = conditions.document(), mtu + HEADER
    burst = max(LEAST_BURST, frame, round(told["rate"] / 8 * BURST_SECONDS))
    whole = burst >= GSO_MOST
    # A packet that is not cut fits into the queue, however short that was asked for.
    return Bucket(told["rate"], burst if whole else frame, burst, max(told["queue"], burst))


def setup(schedule: Schedule, mtu: int, up: str, down: str) -> list[str]:
    """For `tc -batch`: the first step. `up` and `down` are the devices."""
    one, other = _buckets(schedule, mtu)[0]
    return [*one.lines("add", up), *other.lines("add", down)]


def document(schedule: Schedule, mtu: int, up: str, down: str) -> str:
    """JSON as `lab.netlab.follow` reads it: what to tell `tc`, when in seconds since the beginning,
    and in which step that is; the first is the first step, which `setup` has told.
    """
    steps = _buckets(schedule, mtu)
    begins = list(accumulate((step.seconds or 0.0 for step in schedule.steps), initial=0.0))
    waiting = min(GSO_MOST, max(each.cut for both in steps for each in both))
    events = []
    for number, both in enumerate(steps):
        told = list(zip(both, (up, down), strict=True))
        lines = [line for each, device in told for line in each.lines("change", device, waiting)]
        events.append({"at": begins[number], "step": number, "lines": lines})
        left = begins[number] + _leaves(steps, both)
        holds = number == len(steps) - 1 and not schedule.repeat
        if any(each.burst < waiting for each in both) and (holds or left < begins[number + 1]):
            lines = [line for each, device in told for line in each.lines("change", device)]
            events.append({"at": left, "step": number, "lines": lines})
    return json.dumps({"events": events, "again": begins[-1] if schedule.repeat else None})


def _buckets(schedule: Schedule, mtu: int) -> list[tuple[Bucket, Bucket]]:
    return [
        (bucket(step.up.over(step), mtu), bucket(step.down.over(step), mtu))
        for step in schedule.steps
    ]


def _leaves(steps: Sequence[tuple[Bucket, Bucket]], both: tuple[Bucket, Bucket]) -> float:
    """Seconds until nothing of another step waits any more, whichever it was."""
    most = max(each.limit for other in steps for each in other)
    return most * 8 / min(each.rate for each in both) * 1.1


def counters(qdiscs: str, device: str) -> dict[str, int]:
    """What became of packets, of what `tc -s -j qdisc` says. A packet of GSO that is `delivered`
    counts as the frames it stands for; one that waits or was dropped counts once.
    """
    listed: list[dict[str, Any]] = json.loads(qdiscs)
    [found] = [each for each in listed if (each.get("dev"), each["handle"]) == (device, INNER)]
    delivered, overflowed, waits = found["packets"], found["drops"], found["qlen"]
    return {
        "offered": delivered + overflowed + waits,
        "delivered": delivered,
        "delivered_bytes": found["bytes"],
        "overflowed": overflowed,
    }

"""How an object's shards were shared out over connections, by what crossed the wire. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lab.demo.report import Check, Table, size
from lab.quic import Connection


@dataclass(frozen=True, slots=True)
class Cut:
    """One connection was ended."""

    moment: float
    """Seconds since the epoch."""
    lost: bytes
    """Its id in packets towards the receiver."""
    dropped: int
    """Packets of it that came to the receiver afterwards, and did not get through."""


def brought(connections: Sequence[Connection]) -> list[int]:
    """Bytes that each has brought the receiver until now."""
    return [each.bytes_until(math.inf) for each in connections]


def crossed(connections: Sequence[Connection], cut: Cut) -> list[int]:
    """Bytes that each brought the receiver: those of the lost one until it was."""
    return [
        each.bytes_until(cut.moment if each.to_listener == cut.lost else math.inf)
        for each in connections
    ]


def shared(shards: int, parts: Sequence[int]) -> list[int]:
    """`shards` in proportion to `parts`, whole numbers of the same sum."""
    total = sum(parts)
    if total == 0:
        return [0] * len(parts)
    exact = [shards * part / total for part in parts]
    found = [int(each) for each in exact]
    # The largest remainders are rounded up.
    order = sorted(range(len(parts)), key=lambda at: found[at] - exact[at])
    for at in order[: shards - sum(found)]:
        found[at] += 1
    return found


def table(connections: Sequence[Connection], cut: Cut, shards: int, began: float) -> Table:
    """A row for each connection; times in seconds since `began`."""
    moved = crossed(connections, cut)
    rows = []
    for each, count, part in zip(connections, moved, shared(shards, moved), strict=True):
        fate = "there until the end"
        if each.to_listener == cut.lost:
            fate = f"ended after {cut.moment - began:.1f} s"
        elif each.opened > cut.moment:
            fate = "in place of the lost one"
        opened = f"{each.opened - began:.1f} s"
        rows.append([each.to_listener.hex(), opened, size(count), str(part), fate])
    columns = ("connection id", "opened after", "to the receiver", "shards", "")
    return Table("Shards per connection, by the bytes on the wire", columns, rows)


def ended_check(connections: Sequence[Connection], cut: Cut, whole: int, lanes: int) -> Check:
    """One of several connections was ended while shards were under way on each of them."""
    before = [each.bytes_until(cut.moment) for each in connections if each.opened < cut.moment]
    busy = sum(count > 0 for count in before)
    detail = (
        f"after {sum(before) / whole:.0%} of the object, on {busy} connections; "
        f"{cut.dropped} packets of the lost one dropped afterwards"
    )
    ok = busy == lanes and 0 < sum(before) < whole and cut.dropped > 0
    return Check("a connection ended in the middle", ok, detail)


def replaced_check(connections: Sequence[Connection], cut: Cut, whole: int) -> Check:
    """What it had not brought came by the others, and by one in its place."""
    later = [each for each in connections if each.opened > cut.moment]
    moved = sum(crossed(connections, cut))
    detail = (
        f"{len(later)} connections opened in its place; all brought {size(moved)} for an object "
        f"of {size(whole)}"
    )
    # What the lost one was given is sent again: nobody knows what of it has arrived.
    return Check("the rest by other connections", bool(later) and moved < 1.5 * whole, detail)

"""Encoded parts of one table that are kept for the next one. Pure.

Of thousands of workloads and services a change of the registry concerns a few; encoding the others
again would take most of its time. An entry that is the same object has the same part, in the same
surroundings.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from msgspec import Raw
from msgspec.json import encode

E = TypeVar("E")
B = TypeVar("B")


class Kept(Generic[E, B]):
    """The parts of one kind of entries, by name."""

    def __init__(self) -> None:
        self._surroundings: object = None
        self._before: dict[str, tuple[E, B, Raw]] = {}
        self._now: dict[str, tuple[E, B, Raw]] = {}

    def begin(self, surroundings: object = None) -> None:
        """Begins the next table. What the one before did not ask for is forgotten, and everything
        when `surroundings`, on which all parts depend, are not equal to the last ones.
        """
        if surroundings != self._surroundings:
            self._surroundings = surroundings
            self._now = {}
        self._before, self._now = self._now, {}

    def part(self, name: str, entry: E, beside: B, make: Callable[[E, B], object]) -> Raw:
        """The encoded part of `entry`. `make` says what it is where it is not kept, which is when
        the entry is another one or what it depends on `beside` itself is not equal.
        """
        known = self._before.get(name)
        if known is None or known[0] is not entry or known[1] != beside:
            known = (entry, beside, Raw(encode(make(entry, beside))))
        self._now[name] = known
        return known[2]

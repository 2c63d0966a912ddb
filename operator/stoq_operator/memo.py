"""Remembers what was made of what: a change costs what it changes, and not the whole mesh."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

Made = TypeVar("Made")


class Memo:
    """Answers of the round before, and of this one. A function that is given one stays pure as seen
    from outside: the answer is always what `make` would give.
    """

    def __init__(self) -> None:
        self._before: dict[Hashable, tuple[tuple[Any, ...], Any]] = {}
        self._now: dict[Hashable, tuple[tuple[Any, ...], Any]] = {}

    def begin(self) -> None:
        """A new round: what is not asked for in it will be forgotten with its end."""
        self._before, self._now = self._now, {}

    def get(self, key: Hashable, inputs: tuple[Any, ...], make: Callable[[], Made]) -> Made:
        """What `make` made of these very `inputs` in the round before, else what it makes now.

        Inputs are compared as objects, not by value; none of them may ever be changed.
        """
        known = self._before.get(key)
        if known is not None and all(map(_is, known[0], inputs)):
            self._now[key] = known
            return cast("Made", known[1])
        made = make()
        self._now[key] = (inputs, made)
        return made

    def same(self, key: Hashable, value: Made) -> Made:
        """`value`, as the object that it was in the round before if it is equal."""
        known = self._before.get(key)
        found = known[1] if known is not None and known[1] == value else value
        self._now[key] = ((), found)
        return cast("Made", found)


def _is(one: object, other: object) -> bool:
    return one is other

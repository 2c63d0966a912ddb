"""Median and spread of a few rounds, and ratios between candidates of one round."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle and the ends of the rounds. Few rounds make no honest standard deviation."""

    median: float
    min: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of at least one value; raises ValueError for none."""
        if not values:
            raise ValueError("no values: a spread needs at least one round")
        return cls(statistics.median(values), min(values), max(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread | None:
    """Ours over theirs, round by round: neighbours in time share the machine's mood.

    None when no round has both values or a peer's value is zero.
    """
    pairs = [mine / other for mine, other in zip(ours, theirs, strict=False) if other > 0]
    return Spread.of(pairs) if pairs else None

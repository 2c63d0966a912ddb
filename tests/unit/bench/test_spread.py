"""Median, ends and ratios of rounds."""

import pytest

from benchlib.spread import Spread, ratios


def test_a_spread_is_the_middle_and_the_ends() -> None:
    assert Spread.of([3.0, 1.0, 2.0]) == Spread(median=2.0, min=1.0, max=3.0)


def test_one_round_is_its_own_spread() -> None:
    assert Spread.of([5.0]) == Spread(5.0, 5.0, 5.0)


def test_no_round_has_no_spread() -> None:
    with pytest.raises(ValueError, match="at least one round"):
        Spread.of([])


def test_a_ratio_compares_neighbours_of_one_round_not_medians() -> None:
    # The machine halved its speed in the second round: the ratio does not care.
    assert ratios([10.0, 5.0], [5.0, 2.5]) == Spread(2.0, 2.0, 2.0)


def test_a_round_without_the_peer_has_no_ratio() -> None:
    assert ratios([1.0, 2.0], [2.0]) == Spread(0.5, 0.5, 0.5)
    assert ratios([1.0], []) is None


def test_a_peer_at_zero_has_no_ratio() -> None:
    assert ratios([1.0], [0.0]) is None

"""What is drawn of each scenario."""

import pytest

from benchlib import plot
from benchlib.scenarios import ALL
from benchlib.settings import SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_has_something_to_draw(name: str) -> None:
    measured = {metric.name for metric in ALL[name].metrics}
    assert plot.DRAWN[name]
    assert set(plot.DRAWN[name]) <= measured

"""What tests rest on where several run at once: ports of their own, and more than one chance."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab.ports import FIRST, free_port
from support.patience import ATTEMPTS, quickly

HACK = Path(__file__).parents[3] / "hack"
ANOTHER = [sys.executable, "-c", "from lab.ports import free_port; print(free_port())"]


def test_no_port_is_given_twice_not_even_to_another_process() -> None:
    ours = {free_port() for _ in range(3)}
    theirs = int(subprocess.check_output(ANOTHER, cwd=HACK))
    assert len({*ours, theirs}) == 4


def test_nobody_who_names_no_port_gets_one_of_ours() -> None:
    given = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    assert int(given[0]) > FIRST + 1000


def test_one_quick_attempt_is_enough() -> None:
    took = iter([9.0, 1.1, 0.9, 0.1])
    for attempt in quickly(1):
        attempt.took = next(took)
    assert next(took) == 0.1


def test_what_is_slow_each_time_is_too_slow() -> None:
    numbers = []
    with pytest.raises(AssertionError, match="each time slower than 1 s"):
        for attempt in quickly(1):
            with attempt:
                numbers.append(attempt.number)
            attempt.took += 1
    assert numbers == list(range(ATTEMPTS))

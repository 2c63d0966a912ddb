"""Time in tests: all of it for what has to happen, several chances for what has to be quick.

A machine with busy CPUs makes anything slow now and then. A deadline says nothing about the product
unless it is what the test is about; where it is, one attempt that was slow says nothing either.
"""

import asyncio
import time
from collections.abc import Callable, Iterator

PATIENCE = 60.0
"""Seconds that anything may take; half of what a whole test may. Only what fails waits so long."""

ATTEMPTS = 10
"""How often in succession something quick may be slow."""


async def until(condition: Callable[[], object]) -> None:
    """Waits until something that nobody tells us of is so. Raises TimeoutError."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the product knows nothing of this wait
            await asyncio.sleep(0.01)


class Attempt:
    """The one of that number, from 0. As a context it is timed."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.took = float("inf")

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self.took = time.monotonic() - self._began


def quickly(seconds: float) -> Iterator[Attempt]:
    """Attempts, until one of them has taken less than so many seconds.

    What is slow by itself is so each time: raises AssertionError when every attempt was.
    """
    took = []
    for number in range(ATTEMPTS):
        attempt = Attempt(number)
        yield attempt
        if attempt.took < seconds:
            return
        took.append(attempt.took)
    raise AssertionError(f"each time slower than {seconds:g} s: {took}")

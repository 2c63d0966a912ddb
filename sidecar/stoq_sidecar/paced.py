"""Puts the latest of many values in force, for a small share of the time.

What following the registry costs grows with the mesh and with how often it changes. Bounded like
this it takes a sidecar at most a twentieth of a CPU; values that come in between are left out, for
the next one holds all of them.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

SHARE: Final = 0.05
"""Of the time, that may be spent on it."""

LONGEST: Final = 1.0
"""Seconds that a value waits at most, whatever the share becomes then."""


class Paced(Generic[T]):
    """Works in the running event loop."""

    def __init__(self, use: Callable[[T], None]) -> None:
        self._use = use
        self._free = 0.0
        """When the share allows for the next one, by the loop's clock."""
        self._timer: asyncio.TimerHandle | None = None

    def offer(self, value: T, *, at_once: bool = False) -> None:
        """Puts `value` in force: now where the share allows it or it must be `at_once`, else as
        soon as it does, unless another is offered before.
        """
        self.stop()
        loop = asyncio.get_running_loop()
        if at_once or loop.time() >= self._free:
            self._put(value)
        else:
            self._timer = loop.call_at(self._free, self._put, value)

    def stop(self) -> None:
        """What waits is put in force no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _put(self, value: T) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            self._use(value)
        finally:
            ended = loop.time()
            self._free = ended + min((ended - began) * (1 / SHARE - 1), LONGEST)

"""Says how far a long step is, on standard error, a line every few seconds."""

import sys
import time
from typing import Final

EVERY: Final = 5.0
"""Seconds between lines."""


def say(text: str) -> None:
    """One line."""
    print(f"scale: {text}", file=sys.stderr, flush=True)


class Progress:
    """Counts what is done of `all_`."""

    def __init__(self, what: str, all_: int) -> None:
        self._what = what
        self._all = all_
        self._done = 0
        self._began = self._said = time.monotonic()

    def done(self, count: int = 1) -> None:
        """So many more are done."""
        self._done += count
        now = time.monotonic()
        if self._done >= self._all:
            say(f"{self._what}: {self._done} in {now - self._began:.1f} s")
        elif now - self._said >= EVERY:
            self._said = now
            say(f"{self._what}: {self._done} of {self._all}")

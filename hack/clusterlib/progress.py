"""Progress for whoever waits: one line when a part begins and one with its time when it is done."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

POLL_SECONDS = 0.2
"""How often a wait looks again; each look may be one call of kubectl."""


class ClusterError(RuntimeError):
    """A cluster cannot be made or used; the message says why and what to do."""


def say(line: str) -> None:
    """Prints to standard error: standard output belongs to results."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def step(name: str) -> Iterator[None]:
    """Names a part before it runs and says how long it took, in seconds."""
    started = time.monotonic()
    say(f"== {name}")
    try:
        yield
    except BaseException:
        say(f"== {name} failed after {time.monotonic() - started:.1f} s")
        raise
    say(f"== {name}: {time.monotonic() - started:.1f} s")


def wait_until(what: str, done: Callable[[], bool], timeout: float) -> None:
    """Waits at most `timeout` seconds until `done()`. Raises ClusterError naming `what`."""
    deadline = time.monotonic() + timeout
    while not done():
        if time.monotonic() > deadline:
            raise ClusterError(f"{what}: not within {timeout:g} s")
        time.sleep(POLL_SECONDS)

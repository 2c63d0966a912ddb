"""Which tests of the ring may run at the same time, when it runs in several processes."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def on_the_machine(locks: Path, *, alone: bool) -> Iterator[None]:
    """Waits until the block may run: `alone` beside no other, else beside others that are not.

    `locks` is a folder that all processes name.
    """
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / "door").open("w") as door, (locks / "machine").open("w") as machine:
        # Who waits for the machine stands in the door: nobody comes in past who wants to be alone.
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield

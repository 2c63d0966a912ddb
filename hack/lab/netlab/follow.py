"""`python -m lab.netlab.follow FOLDER`: has the steps of a path take effect when they are due.

A process of its own, since `hack/netlab up` leaves the path behind; it sleeps between the steps and
ends after the last. One `tc` waits for what it is told, so that a step takes no start of a program.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

LOOK_SECONDS = 0.002
"""How often it looks whether the schedule may begin."""


def moments(at: Sequence[float], again: float | None) -> Iterator[tuple[float, int]]:
    """When to do which of what is due at these times, in seconds since the beginning; the first is
    done already. `again`: when all of it begins anew.
    """
    for cycle in count() if again is not None else range(1):
        for number, due in enumerate(at):
            if cycle or number:
                yield cycle * (again or 0.0) + due, number


def follow(folder: Path) -> int:
    """Returns what `tc` ended with; raises BrokenPipeError when it ended early."""
    steps = json.loads((folder / "steps.json").read_text())
    events = steps["events"]
    _first()
    with subprocess.Popen(["tc", "-batch", "-"], stdin=subprocess.PIPE, text=True) as tc:
        if tc.stdin is None:
            raise RuntimeError("no way to tell tc anything")
        _tell(folder, None, 0, 0.0)
        while not (folder / "started").exists():
            time.sleep(LOOK_SECONDS)
        began, late = time.monotonic(), 0.0
        _tell(folder, began, 0, late)
        for due, number in moments([event["at"] for event in events], steps["again"]):
            time.sleep(max(0.0, began + due - time.monotonic()))
            tc.stdin.write("\n".join(events[number]["lines"]) + "\n")
            tc.stdin.flush()
            late = max(late, time.monotonic() - began - due)
            _tell(folder, began, events[number]["step"], late)
        tc.stdin.close()
        return tc.wait()


def _first() -> None:
    """Before everything that is not of the kind, when it has something to do, and `tc` with it."""
    # A container may not let us: then a step is as late as the machine is busy.
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def _tell(folder: Path, began: float | None, step: int, late: float) -> None:
    """Writes what holds: whole or not at all."""
    fresh = folder / "told.new"
    fresh.write_text(json.dumps({"began": began, "step": step, "late": round(late * 1000, 3)}))
    fresh.replace(folder / "told.json")


if __name__ == "__main__":
    sys.exit(follow(Path(sys.argv[1])))

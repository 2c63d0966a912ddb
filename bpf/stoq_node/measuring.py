"""Has `contest` measured in a process of its own: threads, memory and whatever goes wrong end with
it.
"""

import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from stoq_node.speeds import Measured

PATIENCE: Final = 30.0
"""Seconds for all of it; about one is usual."""


class NotMeasured(Exception):
    """There are no figures; the text says why."""


def measured(
    seconds: float = PATIENCE, words: Sequence[str] = (sys.executable, "-m", "stoq_node.contest")
) -> Measured:
    """The figures that `words` print. Blocks. Raises NotMeasured."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise NotMeasured(f"no figures in {seconds:g} s") from error
    except OSError as error:
        raise NotMeasured(str(error)) from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise NotMeasured(said[-1])
    try:
        return msgspec.json.decode(done.stdout, type=Measured)
    except msgspec.DecodeError as error:
        raise NotMeasured(f"{done.stdout[:100]!r}: {error}") from error

"""`hack/bench node`: see its --help."""

import signal
import sys
from collections.abc import Sequence

from benchlib.errors import BenchError
from benchlib.node import run, settings
from benchlib.output import show
from lab.command import CommandError
from lab.process import ProcessError


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit status."""
    # As by Ctrl-C: the namespaces are removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        chosen, output = settings.parse(arguments)
        result, text = run.measure(chosen)
    except (BenchError, CommandError, ProcessError) as error:
        print(f"hack/bench node: {error}", file=sys.stderr)
        return 2
    show(output, run.name_of(chosen), result, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

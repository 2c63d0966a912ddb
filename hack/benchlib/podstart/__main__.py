"""`hack/bench pod-start`: see its --help."""

import asyncio
import dataclasses
import signal
import sys
from collections.abc import Sequence

from benchlib import oncluster
from benchlib.errors import BenchError
from benchlib.output import show
from benchlib.podstart import measure, page, settings
from lab.command import CommandError


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit status."""
    # As by Ctrl-C: what was made in the cluster is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        chosen, output = settings.parse(arguments)
        about = oncluster.about()
        found = asyncio.run(measure.run(chosen, oncluster.kubeconfig(chosen.cluster)))
    except (BenchError, CommandError) as error:
        print(f"hack/bench pod-start: {error}", file=sys.stderr)
        return 2
    figures = page.figures(found)
    result = {
        "machine": about,
        "settings": dataclasses.asdict(chosen),
        "seconds": {name: [round(each, 3) for each in found.starts[name]] for name in found.starts},
        "results": {name: round(value, 4) for name, value in figures.items()},
    }
    text = page.page(chosen, figures, about)
    show(output, "pod-start", result, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

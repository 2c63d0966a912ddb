"""`hack/bench scale`: see its --help and docs/benchmarks/README.md."""

import asyncio
import dataclasses
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchlib import oncluster
from benchlib.errors import BenchError
from benchlib.output import show
from benchlib.scale import measure, page, settings
from lab import command


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit status."""
    # As by Ctrl-C: what was made in the cluster is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        chosen, output = settings.parse(arguments)
        kubeconfig = oncluster.kubeconfig(chosen.cluster)
        about = oncluster.about()
        with tempfile.TemporaryDirectory(prefix="bench-scale-") as folder:
            results = asyncio.run(measure.run(chosen, kubeconfig, Path(folder)))
    except (BenchError, command.CommandError) as error:
        print(f"hack/bench scale: {error}", file=sys.stderr)
        return 2
    except BaseExceptionGroup as failed:
        print(f"hack/bench scale: {failed.exceptions[0]}", file=sys.stderr)
        return 2
    found = {
        "machine": about,
        "settings": dataclasses.asdict(chosen),
        "results": {name: round(value, 6) for name, value in results.figures.items()},
    }
    text = page.page(chosen, results.figures, about)
    show(output, "scale", found, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

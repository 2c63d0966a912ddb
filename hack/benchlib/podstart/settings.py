"""What to measure: the command line as one frozen value."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from benchlib.errors import BenchError
from benchlib.output import Output, add_options


@dataclass(frozen=True, slots=True)
class Settings:
    """Printed with the results."""

    cluster: str = "local"
    pods: int = 20  # started one after the other, of each sort
    seconds: float = 60.0  # of looking at sidecars that have nothing to do


def parse(arguments: Sequence[str]) -> tuple[Settings, Output]:
    """Raises BenchError."""
    default = Settings()
    parser = argparse.ArgumentParser(
        prog="hack/bench pod-start",
        description="Starts pods one by one, in turn with and without a sidecar, from the request "
        "to the pod's being ready, and looks at what the sidecars take while nothing happens. The "
        "cluster must run (hack/cluster up) and have the mesh installed from the chart; what is "
        "made in it is removed at the end.",
    )
    parser.add_argument("--cluster", default=default.cluster, help="its name (%(default)s)")
    parser.add_argument("--pods", type=int, default=default.pods, help="of each sort (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=default.seconds,
        help="of looking at idle sidecars (%(default)s)",
    )  # fmt: skip
    add_options(parser)
    given = parser.parse_args(arguments)
    if not 2 <= given.pods <= 200:
        raise BenchError(f"--pods: {given.pods} is outside 2 to 200")
    # The kubelet reads its figures every ten seconds or so.
    if not 20 <= given.seconds <= 3600:
        raise BenchError(f"--seconds: {given.seconds:g} is outside 20 to 3600")
    return Settings(given.cluster, given.pods, given.seconds), Output.of(given)

"""What to measure: the command line as one frozen value."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchlib.errors import BenchError
from benchlib.output import Output, add_options

CREATED: Final = 20.0
"""Pods a second that a cluster's controllers create: the controller manager's --kube-api-qps."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Printed with the results."""

    cluster: str = "scale"
    watched: int = 500  # workloads, each with a simulated sidecar, while changes are timed
    changes: int = 40  # of each kind
    workloads: int = 5000
    sidecars: int = 5000  # simulated ones of these workloads
    records: int = 10_000
    restarts: int = 1
    pods: int = 1000  # created as a dry run, for the webhook
    pace: int = 10  # records that change a second meanwhile, at most
    seconds: float = 20.0  # of looking at an operator that has nothing to do
    smoke: bool = False


def parse(arguments: Sequence[str]) -> tuple[Settings, Output]:
    """Raises BenchError."""
    default = Settings()
    parser = argparse.ArgumentParser(
        prog="hack/bench scale",
        description="Measures the operator against a real API server, with simulated workloads: "
        "first how soon changes reach every sidecar, then memory, CPU and reconnection with many. "
        "The cluster must run (hack/cluster up --name scale --nodes 1) and have no operator; what "
        "is made in it is removed at the end.",
    )
    parser.add_argument("--cluster", default=default.cluster, help="its name (%(default)s)")
    numbers = {
        "watched": "sidecars while changes are timed",
        "changes": "timed changes of each kind",
        "workloads": "pods while memory and reconnection are measured",
        "sidecars": "of these pods, how many have a simulated sidecar",
        "records": "service records then",
        "restarts": "of the operator",
        "pods": "pods created as a dry run, for the webhook",
        "pace": "records that change a second meanwhile, at most",
    }
    for name, what in numbers.items():
        value = getattr(default, name)
        parser.add_argument(f"--{name}", type=int, default=value, help=f"{what} (%(default)s)")
    parser.add_argument(
        "--seconds", type=float, default=default.seconds,
        help="of looking at an operator that has nothing to do (%(default)s)",
    )  # fmt: skip
    add_options(parser)
    parser.add_argument(
        "--smoke", action="store_true", help="in miniature, within seconds: does it run"
    )
    given = parser.parse_args(arguments)
    for name in numbers:
        if not 1 <= getattr(given, name) <= 50_000:
            raise BenchError(f"--{name}: {getattr(given, name)} is outside 1 to 50000")
    if not 1 <= given.seconds <= 3600:
        raise BenchError(f"--seconds: {given.seconds:g} is outside 1 to 3600")
    if max(given.watched, given.sidecars) > given.workloads:
        raise BenchError(f"--workloads: {given.workloads} are fewer than --watched or --sidecars")
    output = Output.of(given)
    if given.smoke:
        return smoke(given.cluster), output
    values = {name: getattr(given, name) for name in numbers}
    return Settings(cluster=given.cluster, seconds=given.seconds, **values), output


def smoke(cluster: str) -> Settings:
    """In miniature: does it run, not how fast."""
    return Settings(
        cluster=cluster,
        watched=5,
        changes=3,
        workloads=12,
        sidecars=12,
        records=20,
        pods=20,
        seconds=1.0,
        smoke=True,
    )

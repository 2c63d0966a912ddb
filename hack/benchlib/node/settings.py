"""What to measure: the command line as one frozen value."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from benchlib.errors import BenchError
from benchlib.output import Output, add_options
from benchlib.settings import MTUS


@dataclass(frozen=True, slots=True)
class Settings:
    """Printed with the results."""

    mtu: int = 1500  # of the path of the meshed flow, bytes
    seconds: float = 4.0  # of each measurement
    rounds: int = 5
    rate: int = 50_000  # spoofed packets a second beside the meshed flow
    sidecars: int = 5_000  # that come back at once, in the first round; 0: none
    smoke: bool = False  # does it run: without what only comparisons need


SMOKE = Settings(seconds=1.0, rounds=1, rate=5_000, sidecars=20, smoke=True)


def parse(arguments: Sequence[str]) -> tuple[Settings, Output]:
    """Raises BenchError."""
    default = Settings()
    parser = argparse.ArgumentParser(
        prog="hack/bench node",
        description="Measures the kernel programs that the node agent puts in force, in network "
        "namespaces of its own: what the guard drops, and what the programs cost.",
    )
    for name, meaning in (
        ("mtu", "of the path, bytes"),
        ("rounds", "each measures everything once"),
        ("rate", "spoofed packets a second beside the meshed flow"),
        ("sidecars", "that come back at once, in the first round"),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=getattr(default, name), help=f"{meaning} (%(default)s)"
        )
    parser.add_argument(
        "--seconds", type=float, default=default.seconds, help="of each measurement (%(default)s)"
    )
    add_options(parser)
    given = parser.parse_args(arguments)
    chosen = Settings(given.mtu, given.seconds, given.rounds, given.rate, given.sidecars)
    for name, least, most in (
        ("mtu", MTUS.start, MTUS.stop - 1),
        ("seconds", 1, 60),
        ("rounds", 1, 100),
        ("rate", 100, 1_000_000),
        ("sidecars", 0, 20_000),
    ):
        value = getattr(chosen, name)
        if not least <= value <= most:
            raise BenchError(f"--{name}: {value:g} is outside {least} to {most}")
    return chosen, Output.of(given)

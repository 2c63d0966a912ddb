"""What to measure: the command line as one frozen value."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchlib.errors import BenchError
from benchlib.output import Output, add_options
from benchlib.settings import MTUS

PARTS: Final = ("drops", "flow", "blasted", "killed", "spliced", "lent", "auto", "local")
"""What a round consists of, each a module beside this one, in their order."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Printed with the results."""

    mtu: int = 1500  # of the path of the meshed flow, bytes
    seconds: float = 4.0  # of each measurement
    rounds: int = 5
    rate: int = 50_000  # spoofed packets a second beside the meshed flow
    sidecars: int = 5_000  # that come back at once, in the first round; 0: none
    smoke: bool = False  # does it run: without what only comparisons need
    only: tuple[str, ...] = ()  # of PARTS; none: all


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
    parser.add_argument(
        "--only", default="", metavar="PART,…", help=f"instead of all: {', '.join(PARTS)}"
    )
    add_options(parser)
    given = parser.parse_args(arguments)
    only = tuple(given.only.split(",")) if given.only else ()
    for part in only:
        if part not in PARTS:
            raise BenchError(f"--only: {part!r} is none of {', '.join(PARTS)}")
    chosen = Settings(given.mtu, given.seconds, given.rounds, given.rate, given.sidecars, only=only)
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

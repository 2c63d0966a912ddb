"""What to measure: the command line as one frozen value."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from benchlib.errors import BenchError
from benchlib.output import Output, add_options
from lab.netlab.schedule import presets

SCHEDULES = (
    "gigabit-step",
    "multi-gigabit-step",
    "rate-step-200",
    "delay-step",
    "jitter",
    "loss-0.1",
    "loss-1",
    "loss-3",
)

CANDIDATES = ("adapting", "fixed", "quinn", "envoy-cubic", "envoy-bbr")


@dataclass(frozen=True, slots=True)
class Settings:
    """Printed with the results."""

    schedules: tuple[str, ...] = SCHEDULES
    candidates: tuple[str, ...] = CANDIDATES
    rounds: int = 3
    smoke: bool = False


SMOKE = Settings(("smoke",), ("adapting", "fixed"), 1, smoke=True)
"""Does it run, not how fast; a schedule of its own, a few seconds long."""


def parse(arguments: Sequence[str]) -> tuple[Settings, Output]:
    """Raises BenchError."""
    default = Settings()
    parser = argparse.ArgumentParser(
        prog="hack/bench adapt",
        description="One bulk flow over each path of hack/netlab, with adaptation, without it "
        "(fixed defaults, CUBIC), through a pair of relays of stock quinn (CUBIC), and through a "
        "pair of Envoys over the kernel's CUBIC and over its BBR, in turn.",
    )
    parser.add_argument(
        "--schedules", metavar="A,B", default=",".join(SCHEDULES), help="presets (%(default)s)"
    )
    parser.add_argument(
        "--peers", metavar="A,B", default=",".join(CANDIDATES), help="of %(default)s"
    )
    parser.add_argument(
        "--rounds", type=int, default=default.rounds, help="each runs everything once (%(default)s)"
    )
    parser.add_argument("--smoke", action="store_true", help="a few seconds: does it run")
    add_options(parser, "tables, CSV and pictures there, such as docs/benchmarks")
    given = parser.parse_args(arguments)
    output = Output.of(given)
    if given.smoke:
        return SMOKE, output
    schedules = _known("--schedules", given.schedules, tuple(presets()))
    candidates = _known("--peers", given.peers, CANDIDATES)
    if not 1 <= given.rounds <= 1000:
        raise BenchError(f"--rounds: {given.rounds} is outside 1 to 1000")
    return Settings(schedules, candidates, given.rounds), output


def _known(option: str, text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    chosen = tuple(word.strip() for word in text.split(","))
    for word in chosen:
        if word not in known:
            raise BenchError(f"{option}: {word!r} is not one of {', '.join(known)}")
    return chosen

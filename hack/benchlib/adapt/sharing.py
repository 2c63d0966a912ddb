"""How two flows share a bottleneck: what to measure, and what is made of it. Pure."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchlib.errors import BenchError
from benchlib.output import Output, add_options
from benchlib.spread import Spread
from benchlib.tables import show
from lab.netlab.schedule import Conditions, Schedule, Step

RATE_MBIT = 20.0
RTT_MS = 40.0
"""The path, that of the simulation's comparison: docs/benchmarks/adaptation.md."""

MOST_BUFFER = 100.0


@dataclass(frozen=True, slots=True)
class Flow:
    """One that sends all it can."""

    title: str
    tcp: str | None = None
    """The kernel's congestion control, beside the mesh."""
    stoq: str | None = None
    """The controller that our sidecar is pinned to, for what goes through the mesh."""


FLOWS: Mapping[str, Flow] = {
    "bbr3": Flow("STOQ, BBRv3", stoq="bbr3"),
    "cubic": Flow("STOQ, CUBIC", stoq="cubic"),
    "tcp-cubic": Flow("kernel TCP, CUBIC", tcp="cubic"),
    "tcp-bbr": Flow("kernel TCP, BBR", tcp="bbr"),
}

Pair = tuple[str, str]
"""Who begins, and who joins."""

PAIRS: tuple[Pair, ...] = (
    ("bbr3", "tcp-cubic"),
    ("tcp-cubic", "bbr3"),
    ("cubic", "tcp-cubic"),
    ("tcp-cubic", "cubic"),
    ("tcp-cubic", "tcp-cubic"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Printed with the results. Times are seconds."""

    pairs: tuple[Pair, ...] = PAIRS
    buffers: tuple[float, ...] = (0.5, 1.0, 4.0)
    """Of the bottleneck, in products of rate and round trip."""
    rounds: int = 3
    gap: float = 1.0
    """Until the second flow joins."""
    settle: float = 10.0
    """From then until they are looked at."""
    seconds: float = 15.0
    """For so long."""


SMOKE = Settings((("bbr3", "tcp-cubic"),), (1.0,), 1, gap=0.5, settle=1.0, seconds=2.0)
"""Does it run, not how fair it is."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What two flows got, Mbit/s, in the order in which they began."""

    first: float
    second: float

    @property
    def jain(self) -> float:
        """Jain's index: 1 when both got the same, 0.5 when one got all."""
        squares = self.first**2 + self.second**2
        return (self.first + self.second) ** 2 / (2 * squares) if squares else 0.0


Found = Mapping[Pair, Mapping[float, Sequence[Shares]]]
"""By pair and buffer, round by round."""


def schedule(buffer: float) -> Schedule:
    """The path with a buffer of so many products."""
    slow = Conditions(rate_mbit=RATE_MBIT, queue_ms=RTT_MS * buffer)
    return Schedule(steps=(Step(delay_ms=RTT_MS / 2, up=slow),))


def figures(found: Found) -> list[dict[str, object]]:
    """All rounds, for JSON."""
    return [
        {"first": first, "second": second, "buffer": buffer,
         "first_mbit": [round(each.first, 2) for each in rounds],
         "second_mbit": [round(each.second, 2) for each in rounds],
         "jain": [round(each.jain, 3) for each in rounds]}
        for (first, second), by_buffer in found.items()
        for buffer, rounds in by_buffer.items()
    ]  # fmt: skip


def table(found: Found) -> list[str]:
    """One row for a pair and a buffer."""
    lines = ["| first | second | buffer | first, Mbit/s | second, Mbit/s | Jain's index |"]
    lines.append("|" + "---|" * 6)
    for (first, second), by_buffer in found.items():
        for buffer, rounds in by_buffer.items():
            spreads = [
                Spread.of([each.first for each in rounds]),
                Spread.of([each.second for each in rounds]),
                Spread.of([each.jain for each in rounds]),
            ]
            cells = [FLOWS[first].title, FLOWS[second].title, f"{buffer:g}", *map(show, spreads)]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def command(settings: Settings) -> str:
    """The command that repeats it."""
    if settings == SMOKE:
        return "hack/bench share --smoke"
    default = Settings()
    words = ["hack/bench share"]
    if settings.pairs != default.pairs:
        words.append(f"--pairs {','.join('+'.join(pair) for pair in settings.pairs)}")
    if settings.buffers != default.buffers:
        words.append(f"--buffers {','.join(f'{each:g}' for each in settings.buffers)}")
    if settings.rounds != default.rounds:
        words.append(f"--rounds {settings.rounds}")
    return " ".join(words)


def parse(arguments: Sequence[str]) -> tuple[Settings, Output]:
    """Raises BenchError."""
    default = Settings()
    parser = argparse.ArgumentParser(
        prog="hack/bench share",
        description=f"Two flows over one path of {RATE_MBIT:g} Mbit/s and {RTT_MS:g} ms; the "
        f"second joins after {default.gap:g} s, and after {default.settle:g} s more both are "
        f"looked at for {default.seconds:g} s.",
    )
    parser.add_argument(
        "--pairs", metavar="A+B,C+D", default=",".join("+".join(pair) for pair in PAIRS),
        help=f"of {', '.join(FLOWS)}; the first begins (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--buffers", metavar="N,N", default=",".join(f"{each:g}" for each in default.buffers),
        help="of the bottleneck, in products of rate and round trip (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=int, default=default.rounds, help="each runs everything once (%(default)s)"
    )
    parser.add_argument("--smoke", action="store_true", help="a few seconds: does it run")
    add_options(parser)
    given = parser.parse_args(arguments)
    output = Output.of(given)
    if given.smoke:
        return SMOKE, output
    if not 1 <= given.rounds <= 1000:
        raise BenchError(f"--rounds: {given.rounds} is outside 1 to 1000")
    pairs = tuple(_pair(word.strip()) for word in given.pairs.split(","))
    buffers = tuple(_buffer(word.strip()) for word in given.buffers.split(","))
    return Settings(pairs, buffers, given.rounds), output


def _pair(text: str) -> Pair:
    names = text.split("+")
    if len(names) != 2 or any(name not in FLOWS for name in names):
        raise BenchError(f"--pairs: {text!r} is not A+B, each one of {', '.join(FLOWS)}")
    first, second = names
    if FLOWS[first].stoq and FLOWS[second].stoq:
        raise BenchError(
            f"--pairs: {text}: flows between the same pods share one connection of the mesh, and "
            "so one controller: name one that is kernel TCP"
        )
    return first, second


def _buffer(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found <= MOST_BUFFER:
        raise BenchError(f"--buffers: {text!r} is not a number above 0, {MOST_BUFFER:g} at most")
    return found

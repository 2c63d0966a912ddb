"""What adaptation costs where nothing changes: what to measure, and what is made of it. Pure."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchlib.errors import BenchError
from benchlib.output import Output, add_options
from benchlib.spread import Spread, ratios
from benchlib.tables import show
from lab.netlab.schedule import Conditions, Schedule, Step


@dataclass(frozen=True, slots=True)
class Path:
    """One that stays as it is."""

    title: str
    schedule: Schedule | None = None
    """None: the link between two pods as it is, where CPU is the limit."""


PATHS: Mapping[str, Path] = {
    "link": Path("the link between two pods"),
    "wan": Path(
        "100 Mbit/s, 20 ms there and back",
        Schedule(steps=(Step(delay_ms=10, up=Conditions(rate_mbit=100, queue_ms=20)),)),
    ),
}

CANDIDATES = ("fixed", "adapting")


@dataclass(frozen=True, slots=True)
class Settings:
    """Printed with the results. Times are seconds."""

    paths: tuple[str, ...] = tuple(PATHS)
    rounds: int = 5
    seconds: float = 60.0
    """How long a flow is looked at."""
    settle: float = 5.0
    """Until then: its tier is found, and its rate."""
    smoke: bool = False


SMOKE = Settings(("link",), 1, seconds=1.0, settle=0.5, smoke=True)
"""Does it run, not what it costs."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One flow while it was looked at; decisions are those of both sidecars."""

    mbit: float
    """Goodput."""
    cpu_per_gb: float
    """CPU-seconds of both sidecars."""
    judged: int
    """Measurements that were judged."""
    judging: float
    """Seconds that this took."""
    changes: int

    @property
    def decision(self) -> float:
        """Microseconds of one; 0 when there was none."""
        return self.judging / self.judged * 1e6 if self.judged else 0.0


Found = Mapping[str, Mapping[str, Sequence[Seen]]]
"""By path and candidate, round by round."""

Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Packet:
    """What `cargo bench -p stoq-adapt` tells of one controller; nanoseconds of a packet."""

    controller: str
    acknowledged_together: int
    ours: float
    cubic_alone: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What measuring and deciding take without a network."""

    packets: tuple[Packet, ...]
    decision: float
    """Nanoseconds."""


def cost(said: str) -> Cost:
    """From what the program prints. Raises BenchError."""
    try:
        told = json.loads(said)
        packets = tuple(Packet(**each) for each in told["packets"])
        return Cost(packets, float(told["decision"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BenchError(f"the benchmark of stoq-adapt said {said[-300:]!r}: {error}") from error


def figures(found: Found) -> Json:
    """All rounds, for JSON."""
    return {
        path: {
            candidate: {
                "goodput_mbit": [round(each.mbit, 2) for each in rounds],
                "cpu_seconds_per_gb": [round(each.cpu_per_gb, 4) for each in rounds],
                "decisions": [each.judged for each in rounds],
                "decision_microseconds": [round(each.decision, 3) for each in rounds],
                "changes": [each.changes for each in rounds],
            }
            for candidate, rounds in by_candidate.items()
        }
        for path, by_candidate in found.items()
    }


def table(chosen: Settings, found: Found) -> list[str]:
    """One row for a path."""
    heads = [
        "path", "adapting, Mbit/s", "fixed defaults, Mbit/s", "ratio (≥ 0.99 is wanted)",
        "CPU for each byte, ratio", "a decision, µs (< 100)", f"decisions in {chosen.seconds:g} s",
        "changes (0)",
    ]  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for path, by_candidate in found.items():
        ours, fixed = (by_candidate.get(name, ()) for name in ("adapting", "fixed"))
        cells = [
            PATHS[path].title,
            show(_spread([each.mbit for each in ours])),
            show(_spread([each.mbit for each in fixed])),
            _ratio([each.mbit for each in ours], [each.mbit for each in fixed]),
            _ratio([each.cpu_per_gb for each in ours], [each.cpu_per_gb for each in fixed]),
            show(_spread([each.decision for each in ours])),
            show(_spread([each.judged for each in ours])),
            show(_spread([each.changes for each in ours])),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def packet_table(told: Cost) -> list[str]:
    """One row for a controller and a kind of ACKs."""
    lines = ["| controller | packets an ACK | ours, ns a packet | quinn-proto's CUBIC alone |"]
    lines.append("|---|---|---|---|")
    for each in told.packets:
        figures = f"{each.ours:.0f} | {each.cubic_alone:.0f}"
        lines.append(f"| {each.controller} | {each.acknowledged_together} | {figures} |")
    return [*lines, "", f"A decision by itself: {told.decision:.0f} ns."]


def _spread(values: Sequence[float]) -> Spread | None:
    return Spread.of(values) if values else None


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """With a digit more than `show` has: one percent is the question."""
    found = ratios(ours, theirs)
    return "–" if found is None else f"{found.median:.3f} ({found.min:.3f}–{found.max:.3f})"


def command(settings: Settings) -> str:
    """The command that repeats it."""
    if settings.smoke:
        return "hack/bench steady --smoke"
    default = Settings()
    words = ["hack/bench steady"]
    if settings.paths != default.paths:
        words.append(f"--paths {','.join(settings.paths)}")
    words += [
        f"--{name} {getattr(settings, name):g}"
        for name in ("rounds", "seconds")
        if getattr(settings, name) != getattr(default, name)
    ]
    return " ".join(words)


def parse(arguments: Sequence[str]) -> tuple[Settings, Output]:
    """Raises BenchError."""
    default = Settings()
    parser = argparse.ArgumentParser(
        prog="hack/bench steady",
        description="What adaptation costs where nothing changes: one bulk flow over each path "
        "with it and without it, in turn; its decisions, what they take, and what they change.",
    )
    parser.add_argument("--paths", metavar="A,B", default=",".join(PATHS), help="of %(default)s")
    parser.add_argument(
        "--rounds", type=int, default=default.rounds, help="each runs everything once (%(default)s)"
    )
    parser.add_argument(
        "--seconds", type=float, default=default.seconds,
        help="how long each flow is looked at (%(default)g)",
    )  # fmt: skip
    parser.add_argument("--smoke", action="store_true", help="a few seconds: does it run")
    add_options(parser)
    given = parser.parse_args(arguments)
    output = Output.of(given)
    if given.smoke:
        return SMOKE, output
    paths = tuple(word.strip() for word in given.paths.split(","))
    for path in paths:
        if path not in PATHS:
            raise BenchError(f"--paths: {path!r} is not one of {', '.join(PATHS)}")
    for name, least, most in (("rounds", 1, 1000), ("seconds", 1, 3600)):
        if not least <= (value := getattr(given, name)) <= most:
            raise BenchError(f"--{name}: {value:g} is outside {least} to {most}")
    return Settings(paths, given.rounds, given.seconds), output

"""Results as Markdown, JSON and CSV."""

import csv
import io
from collections.abc import Mapping, Sequence

from benchlib.adapt import series
from benchlib.adapt.measure import TITLES
from benchlib.adapt.series import Change, Point
from benchlib.adapt.settings import Settings
from benchlib.spread import Spread, ratios
from benchlib.tables import show
from lab.netlab.schedule import Schedule

Found = Mapping[str, Sequence[Sequence[Point]]]
"""By candidate, what was seen in each round."""

COLUMNS = (
    "round", "candidate", "seconds", "goodput_mbit", "path_mbit", "tier", "controller",
    "congestion_window", "rtt_ms",
)  # fmt: skip


def command(settings: Settings) -> str:
    """The command that repeats it."""
    default = Settings()
    if settings.smoke:
        return "hack/bench adapt --smoke"
    words = ["hack/bench adapt"]
    if settings.schedules != default.schedules:
        words.append(f"--schedules {','.join(settings.schedules)}")
    if settings.candidates != default.candidates:
        words.append(f"--peers {','.join(settings.candidates)}")
    if settings.rounds != default.rounds:
        words.append(f"--rounds {settings.rounds}")
    return " ".join(words)


def goodputs(found: Found, candidate: str) -> list[float]:
    """Round by round, Mbit/s."""
    return [series.goodput(points) for points in found.get(candidate, ())]


def figures(schedule: Schedule, found: Found) -> dict[str, object]:
    """One path, for JSON."""
    return {
        candidate: {
            "goodput_mbit": [round(rate, 2) for rate in goodputs(found, candidate)],
            "changes": [
                [
                    {"at": each.seconds, "from": each.before, "to": each.after,
                     "settled_seconds": None if each.settled is None else round(each.settled, 2)}
                    for each in series.changes(schedule, points)
                ]
                for points in rounds
            ],
        }
        for candidate, rounds in found.items()
    }  # fmt: skip


def table(schedules: Mapping[str, Schedule], all_: Mapping[str, Found]) -> list[str]:
    """Goodput over each path."""
    names = sorted({name for found in all_.values() for name in found}, key=list(TITLES).index)
    heads = ["path", *(f"{TITLES[name]}, Mbit/s" for name in names), "adapting / fixed"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for path, found in all_.items():
        cells = [f"`{path}`: {schedules[path].description}"]
        for name in names:
            rates = goodputs(found, name)
            cells.append(show(Spread.of(rates) if rates else None))
        cells.append(show(ratios(goodputs(found, "adapting"), goodputs(found, "fixed"))))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def settling(schedules: Mapping[str, Schedule], all_: Mapping[str, Found]) -> list[str]:
    """How soon a new rate was used, where there was one."""
    lines = [
        _change(path, name, seen)
        for path, found in all_.items()
        for name, rounds in found.items()
        for seen in zip(*(series.changes(schedules[path], each) for each in rounds), strict=True)
    ]
    if not lines:
        return []
    return [
        "| path | | from, to (Mbit/s) | used after, s, round by round |",
        "|---|---|---|---|",
        *lines,
    ]


def _change(path: str, name: str, seen: Sequence[Change]) -> str:
    each = seen[0]
    told = ", ".join("never" if one.settled is None else f"{one.settled:.1f}" for one in seen)
    return f"| `{path}` | {TITLES[name]} | {each.before:g}, {each.after:g} | {told} |"


def rows(schedule: Schedule, found: Found) -> str:
    """Everything that was seen, as CSV."""
    steps = series.path_rates(schedule)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for candidate, rounds in found.items():
        for number, points in enumerate(rounds, 1):
            rates = series.rates(points)
            for point, (_, rate) in zip(points[1:], rates, strict=True):
                path = [rate for begins, rate in steps if begins <= point.seconds][-1]
                writer.writerow(
                    (
                        number, candidate, f"{point.seconds:.2f}", f"{rate:.2f}", f"{path:g}",
                        point.tier, point.controller, point.window, f"{point.rtt_ms:.2f}",
                    )
                )  # fmt: skip
    return text.getvalue()

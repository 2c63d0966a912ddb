"""Results as Markdown, JSON and CSV."""

import csv
import io
from collections.abc import Mapping, Sequence

from benchlib.adapt import series
from benchlib.adapt.measure import TITLES
from benchlib.adapt.series import Change, Seen
from benchlib.adapt.settings import Settings
from benchlib.spread import Spread, ratios
from benchlib.tables import show
from lab.netlab.schedule import Schedule

Found = Mapping[str, Sequence[Seen]]
"""By candidate, what was seen in each round."""

COLUMNS = (
    "round", "candidate", "seconds", "goodput_mbit", "path_mbit", "tier", "controller",
    "congestion_window", "paced_mbit", "rtt_ms",
)  # fmt: skip


SETTLING = (
    "After a change of the rate, round by round, in milliseconds since the change: since when the "
    "goodput of 50 ms, and of half a second, was within 10 % of what the new rate allows; after a "
    "rise it may also be more. Where a candidate's best second of the step falls short of that, it "
    "is compared with that second instead, which is in brackets (own, Mbit/s). Then, as the "
    "sender's sidecar tells: when adaptation decided on a worse tier after a fall or on a better "
    "one after a rise (– where it did not), to a few milliseconds; and the first look, one each "
    "100 ms, at which it paced, or its window let go per round trip, no more than 1.25 of the rate "
    "after a fall, and after a rise as much as is to be used."
)


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


def name(settings: Settings) -> str:
    """The files' name: some of the paths do not replace all of them."""
    if settings.smoke or settings.schedules == Settings().schedules:
        return "adapt"
    return f"adapt-{'+'.join(settings.schedules)}"


def goodputs(found: Found, candidate: str) -> list[float]:
    """Round by round, Mbit/s."""
    return [series.goodput(seen) for seen in found.get(candidate, ())]


def figures(schedule: Schedule, found: Found) -> dict[str, object]:
    """One path, for JSON."""
    return {
        candidate: {
            "goodput_mbit": [round(rate, 2) for rate in goodputs(found, candidate)],
            "changes": [
                [_figures(change) for change in series.changes(schedule, seen)] for seen in rounds
            ],
        }
        for candidate, rounds in found.items()
    }


def _figures(change: Change) -> dict[str, object]:
    def rounded(value: float | None, digits: int = 3) -> float | None:
        return None if value is None else round(value, digits)

    return {
        "at": change.seconds,
        "from_mbit": change.before,
        "to_mbit": change.after,
        "first_seconds": rounded(change.first),
        "held_seconds": rounded(change.held),
        "own_mbit": rounded(change.own, 1),
        "decided_seconds": rounded(change.decided),
        "allowed_seconds": rounded(change.allowed),
        "rtt_ms": change.rtt_ms and [rounded(each, 2) for each in change.rtt_ms],
    }


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
    heads = [
        "path",
        "",
        "from, to (Mbit/s)",
        "50 ms within 10 %, after ms",
        "half a second within 10 %, after ms",
        "tier decided, after ms",
        "lets as much go, after ms",
        "round trip before and after, ms",
    ]
    return [
        SETTLING,
        "",
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
        *lines,
    ]


def _change(path: str, name: str, seen: Sequence[Change]) -> str:
    each = seen[0]
    cells = [
        f"`{path}`",
        TITLES[name],
        f"{each.before:g}, {each.after:g}",
        ", ".join(_used(one.first, one.own) for one in seen),
        ", ".join(_used(one.held, one.own) for one in seen),
        ", ".join(_ms(one.decided) for one in seen),
        ", ".join(_ms(one.allowed) for one in seen),
        ", ".join(f"{one.rtt_ms[0]:.1f} → {one.rtt_ms[1]:.1f}" for one in seen if one.rtt_ms)
        or "–",
    ]
    return "| " + " | ".join(cells) + " |"


def _used(seconds: float | None, own: float | None) -> str:
    if seconds is None:
        return "never"
    return _ms(seconds) if own is None else f"{_ms(seconds)} (own {own:.0f})"


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{max(0.0, seconds) * 1000:.0f}"


def rows(schedule: Schedule, found: Found) -> str:
    """Everything that was seen, as CSV."""
    steps = series.path_rates(schedule)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for candidate, rounds in found.items():
        for number, seen in enumerate(rounds, 1):
            rates = series.rates(seen.points)
            for point, (_, rate) in zip(seen.points[1:], rates, strict=True):
                path = [rate for begins, rate in steps if begins <= point.seconds][-1]
                writer.writerow(
                    (
                        number, candidate, f"{point.seconds:.2f}", f"{rate:.2f}", f"{path:g}",
                        point.tier, point.controller, point.window, f"{point.paced_mbit:.2f}",
                        f"{point.rtt_ms:.2f}",
                    )
                )  # fmt: skip
    return text.getvalue()

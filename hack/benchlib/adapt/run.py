"""Every path with every candidate, in turn, and what is made of it."""

import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchlib import certificates, machine, tools
from benchlib.adapt import measure, page, picture, settings
from benchlib.adapt.series import Seen, goodput
from benchlib.adapt.settings import Settings
from benchlib.errors import BenchError
from benchlib.output import failed, loads, measured_on
from lab.command import CommandError
from lab.netlab.schedule import Schedule, parse, presets
from lab.process import ProcessError

ERRORS = (BenchError, CommandError, ProcessError, OSError)

SMOKE = parse(
    "description = '60, then 10 Mbit/s with loss'\n"
    "[[steps]]\nseconds = 2\nrate_mbit = 60\ndelay_ms = 5\n"
    "[[steps]]\nseconds = 2\nrate_mbit = 10\ndelay_ms = 5\nloss_percent = 1\n",
    "smoke",
)

READING = (
    "Goodput of one flow, the median of the rounds with the least and the greatest in brackets. "
    "The rate of a path counts Ethernet headers; an application can get 92 % of it."
)

Json = dict[str, object]


def main(arguments: Sequence[str]) -> int:
    """The command line; returns the exit status."""
    try:
        chosen, output = settings.parse(arguments)
        found = tools.find(peers=not measure.BUILT.isdisjoint(chosen.candidates))
        about = machine.describe(found.versions())
        result, text = run(chosen, found, about, output.folder)
    except ERRORS as error:
        print(f"hack/bench adapt: {error}", file=sys.stderr)
        return 2
    print(json.dumps(result, indent=2) if output.json else text)
    return 1 if result["failures"] else 0


def run(
    chosen: Settings, found: tools.Tools, about: Mapping[str, object], folder: Path | None
) -> tuple[Json, str]:
    """Measures and writes; the result as JSON and as a page."""
    known = {"smoke": SMOKE} if chosen.smoke else presets()
    schedules = {name: known[name] for name in chosen.schedules}
    seen: dict[str, dict[str, list[Seen]]] = {name: {} for name in schedules}
    failures: list[Json] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as kept:
        Path(kept).chmod(0o755)
        made = certificates.make(Path(kept))
        for number in range(chosen.rounds):
            for path, schedule in schedules.items():
                for candidate in chosen.candidates:
                    label = f"adapt {path} {number + 1}/{chosen.rounds} {candidate}"
                    try:
                        flow = measure.measure(candidate, schedule, found, made)
                    except ERRORS as error:
                        failures.append({"path": path, "candidate": candidate, "error": str(error)})
                        print(f"{label}: {error}", file=sys.stderr)
                        continue
                    seen[path].setdefault(candidate, []).append(flow)
                    print(f"{label}: {goodput(flow):.1f} Mbit/s", file=sys.stderr)
    seen = {path: each for path, each in seen.items() if each}
    about = {**about, "load_after": round(os.getloadavg()[0], 2)}
    result: Json = {
        "machine": about,
        "settings": dataclasses.asdict(chosen),
        "results": {path: page.figures(schedules[path], each) for path, each in seen.items()},
        "failures": failures,
    }
    text = _page(chosen, about, schedules, seen, failures)
    if folder is not None:
        _write(folder, page.name(chosen), schedules, seen, result, text)
    return result, text


def _page(
    chosen: Settings,
    about: Mapping[str, object],
    schedules: Mapping[str, Schedule],
    seen: Mapping[str, page.Found],
    failures: Sequence[Json],
) -> str:
    versions = about["versions"]
    named = ", ".join(f"{k} {v}" for k, v in versions.items()) if isinstance(versions, dict) else ""
    where = f"{measured_on(about)}, TCP {about['tcp_congestion_control']}, {loads(about)}; {named}."
    rows = [*page.table(schedules, seen), "", *page.settling(schedules, seen)]
    lines = ["# adapt", "", f"`{page.command(chosen)}`", "", where, "", READING, "", *rows]
    return "\n".join([*lines, *failed(failures)]).rstrip() + "\n"


def _write(
    folder: Path,
    name: str,
    schedules: Mapping[str, Schedule],
    seen: Mapping[str, page.Found],
    result: Json,
    text: str,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for path, found in seen.items():
        stem = f"adapt-{path}"
        (folder / f"{stem}.csv").write_text(page.rows(schedules[path], found))
        picture.draw(path, schedules[path], found, folder / f"{stem}.png")
        images.append(f"\n![{path}]({stem}.png)\n[data]({stem}.csv)\n")
    (folder / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
    (folder / f"{name}.md").write_text(text + "".join(images))

"""Prints answers: a table for people, one JSON object for programs."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

PLAIN_WIDTH: Final = 220
"""Columns when the output is no terminal: nobody wraps a pipe."""

MINUTE, HOUR, DAY = 60, 3600, 86400


def console() -> Console:
    """Where people read."""
    # Without emoji: `:100:` in an address is no picture.
    found = Console(emoji=False)
    return found if found.is_terminal else Console(width=PLAIN_WIDTH, emoji=False)


def print_json(value: Any) -> None:
    """One object, readable by programs and people."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


class _Whole(yaml.SafeDumper):
    """Writes a value that stands in two places twice: references read badly in manifests."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Always."""
        return True


def print_yaml(documents: Iterable[Any]) -> None:
    """Manifests, one document each."""
    print(yaml.dump_all(documents, Dumper=_Whole, sort_keys=False), end="")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table without ornaments; texts are taken literally."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def duration(seconds: float) -> str:
    """A duration in its two largest units: `23 h 10 min`."""
    whole = abs(int(seconds))
    if whole >= DAY:
        return f"{whole // DAY} d {whole % DAY // HOUR} h"
    if whole >= HOUR:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    if whole >= MINUTE:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    return f"{whole} s"


def until(moment: float, now: float) -> str:
    """A moment seen from `now`, both Unix seconds; 0 means never."""
    if moment <= 0:
        return "never"
    return f"in {duration(moment - now)}" if moment >= now else f"{duration(now - moment)} ago"


def size(count: int) -> str:
    """Bytes with a decimal prefix."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"

"""The rows of docs/traffic-matrix.md, in the modes that each is about."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from support.tables import tables

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "traffic-matrix.md"

MODES: Final = {"permissive": "allow", "strict": "meshOnly"}
"""Modes of what comes in, each with that of what goes out beside which it is tested."""


def rows(table: int) -> Iterator[tuple[dict[str, str], str]]:
    """The rows of a table, from 0, in their order: by the heads of its columns, and the mode; one
    that holds in any is there once for each.
    """
    for row in tables(DOCUMENT.read_text())[table]:
        for mode in MODES if row["inbound"] == "any" else [row["inbound"]]:
            assert row["outbound"] in ("any", MODES[mode]), "modes are tested in these two pairs"
            yield row, mode

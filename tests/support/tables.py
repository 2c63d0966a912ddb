"""Tables of our documents, whose rows tests run."""

from itertools import groupby


def tables(text: str) -> list[list[dict[str, str]]]:
    """The tables of a Markdown page, each as its rows, by the heads of its columns."""
    found = []
    for inside, lines in groupby(text.splitlines(), lambda line: line.startswith("|")):
        if inside:
            heads, _, *rows = (_cells(line) for line in lines)
            found.append([dict(zip(heads, row, strict=True)) for row in rows])
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip()[1:-1].split("|")]

"""docs/conformance.md and tests/unit/conformance are one matrix: the same rows, the same pairs."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.ends import Pair
from unit.conformance import pairs

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs" / "conformance.md").read_text(encoding="utf-8")
TESTS = ROOT / "tests" / "unit" / "conformance"
ENGINE = ROOT / "sidecar" / "engine" / "crates"
NETNS = ROOT / "tests" / "netns"
COLUMNS = ["engine → engine", "engine → reference", "reference → engine", "reference → reference"]

Row = tuple[str, list[str]]
"""What is shown, and a cell for each column."""


def tables() -> Iterator[tuple[list[str], list[Row]]]:
    """Each table's columns and rows."""
    for block in re.findall(r"(?:^\|.*\n?)+", DOCUMENT, re.MULTILINE):
        lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in block.splitlines()]
        (_, *columns), _, *rows = lines
        yield columns, [(what, cells) for what, *cells in rows]


MATRIX = dict(row for columns, rows in tables() if columns == COLUMNS for row in rows)
STOCK = {
    cell
    for columns, rows in tables()
    if columns == ["aioquic", "quic-go"]
    for _, cells in rows
    for cell in cells
} - {""}
VECTORS = dict(
    row for columns, rows in tables() if columns == ["engine", "reference"] for row in rows
)


def sentence(function: str) -> str:
    return function.removeprefix("test_").replace("_", " ")


def pairs_of(function: ast.AsyncFunctionDef) -> set[Pair] | None:
    """What its decorator `pairs` names; None without one."""
    for decorator in function.decorator_list:
        match decorator:
            case ast.Call(func=ast.Name(id="pairs"), args=named):
                among = {getattr(pairs, name.id) for name in named if isinstance(name, ast.Name)}
                return among or set(pairs.ALL)
    return None


def functions(path: Path) -> Iterator[ast.AsyncFunctionDef]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield node


FOUND = {
    sentence(function.name): pairs_of(function)
    for path in sorted(TESTS.glob("test_*.py"))
    for function in functions(path)
}


def test_every_test_of_pairs_is_a_row_and_every_row_a_test() -> None:
    assert len(MATRIX) > 20
    assert {what for what, among in FOUND.items() if among is not None} == set(MATRIX)


@pytest.mark.parametrize("what", MATRIX)
def test_a_row_says_of_each_pair_where_it_is_shown_or_why_not(what: str) -> None:
    cells = dict(zip(pairs.ALL, MATRIX[what], strict=True))
    assert {pair for pair, cell in cells.items() if cell == "✓"} == FOUND[what]
    for cell in cells.values():
        named = re.fullmatch(r"`(\w+)::(\w+)`", cell)
        assert cell == "✓" or re.match("– .+", cell) or (named and there_is(*named.groups())), cell


def there_is(module: str, test: str) -> bool:
    """Whether the engine, or the ring `netns`, has a test of this name in a file of that one."""
    files = [*ENGINE.glob(f"*/tests/**/{module}.rs"), *NETNS.glob(f"{module}.py")]
    defined = re.compile(rf"\b(fn|def) {test}\(")
    return any(defined.search(path.read_text(encoding="utf-8")) for path in files)


def test_every_cell_of_stock_quic_is_a_test_and_every_such_test_a_cell() -> None:
    files = sorted(TESTS.glob("test_stock_*.py"))
    stock = {sentence(function.name) for path in files for function in functions(path)}
    assert stock == STOCK


def test_every_file_of_vectors_is_read_where_the_document_says() -> None:
    folder = ROOT / "docs" / "vectors"
    assert {name.strip("`") for name in VECTORS} == {path.name for path in folder.glob("*.json")}
    for name, cells in VECTORS.items():
        for cell in cells:
            link = re.fullmatch(r"\[.+\]\((.+)\)", cell)
            assert link or re.match("– .+", cell), cell
            if link:
                reader = (ROOT / "docs" / link[1]).read_text(encoding="utf-8")
                assert f'"{name.strip("`")}"' in reader, (name, cell)

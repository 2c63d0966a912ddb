"""The test vectors of docs/vectors."""

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "vectors"

Case = dict[str, Any]


def vectors(file: str) -> Case:
    """A file of vectors."""
    document: Case = json.loads((FOLDER / file).read_text())
    return document


def cases(file: str, under: str = "valid") -> pytest.MarkDecorator:
    """Runs a test once for each of a file's cases, as its argument `case`."""
    found = vectors(file)[under]
    return pytest.mark.parametrize("case", found, ids=[case["name"] for case in found])

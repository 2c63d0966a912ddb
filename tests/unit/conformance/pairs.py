"""The four pairs that a row of the matrix is for (docs/conformance.md)."""

import pytest

from support.ends import Pair

ENGINES = Pair("engine", "engine")
TO_REFERENCE = Pair("engine", "reference")
TO_ENGINE = Pair("reference", "engine")
REFERENCES = Pair("reference", "reference")

ALL = (ENGINES, TO_REFERENCE, TO_ENGINE, REFERENCES)
"""Client first, in the order of the document's columns."""


def pairs(*among: Pair) -> pytest.MarkDecorator:
    """Runs a test once for each of these pairs, as its argument `pair`; for all without any."""
    return pytest.mark.parametrize("pair", among or ALL, ids=str)

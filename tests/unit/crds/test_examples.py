"""The examples are what the types accept, and there is one for each kind."""

from pathlib import Path

import pytest

from stoq.records.documents import parse
from stoq.records.manifest import KINDS

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_is_accepted(path: Path) -> None:
    assert parse(path.read_text())


def test_there_is_an_example_of_every_kind() -> None:
    kinds = {item.record.KIND for path in EXAMPLES for item in parse(path.read_text())}
    assert kinds == KINDS.keys() - {"Workload"}

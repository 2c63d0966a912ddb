"""The examples are what the types accept, and there is one for each kind."""

from pathlib import Path

import msgspec
import pytest
import yaml

from stoq.records.documents import parse
from stoq.records.manifest import KINDS
from stoq.records.node import NodeCapability

FOLDER = Path(__file__).parents[3] / "examples"
OF_AGENTS = FOLDER / "nodecapability.yaml"
"""What users read and do not write."""

EXAMPLES = sorted(set(FOLDER.glob("*.yaml")) - {OF_AGENTS})


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_is_accepted(path: Path) -> None:
    assert parse(path.read_text())


def test_there_is_an_example_of_every_kind() -> None:
    kinds = {item.record.KIND for path in EXAMPLES for item in parse(path.read_text())}
    assert kinds == KINDS.keys() - {"Workload"}


def test_the_example_of_what_agents_write_is_what_they_may_write() -> None:
    manifest = yaml.safe_load(OF_AGENTS.read_text())
    found = msgspec.convert(manifest, NodeCapability)
    assert manifest["kind"] == found.KIND
    assert msgspec.to_builtins(found.status).keys() == manifest["status"].keys()

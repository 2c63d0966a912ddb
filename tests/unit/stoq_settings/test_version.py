import tomllib
from pathlib import Path

from stoq import constants


def test_the_version_is_that_of_the_distribution() -> None:
    pyproject = Path(__file__).parents[3] / "pyproject.toml"
    assert tomllib.loads(pyproject.read_text())["project"]["version"] == constants.VERSION

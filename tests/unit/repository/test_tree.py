"""The shape of the repository: what must not be there, and why."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_the_operator_folder_never_becomes_a_package() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists(), "it would shadow Python's operator"


def test_python_starts_from_the_root_of_the_clone() -> None:
    code = "import collections, operator; assert operator.add(1, 2) == 3"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_no_test_folder_shadows_a_standard_module() -> None:
    names = {path.name for path in (ROOT / "tests").rglob("*") if path.is_dir()}
    assert not names & (sys.stdlib_module_names - {"unittest"})

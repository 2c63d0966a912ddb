"""Which program was measured."""

import subprocess
from pathlib import Path

import pytest

from benchlib.errors import BenchError
from benchlib.machine import revision

GIT = ["git", "-c", "user.name=a", "-c", "user.email=a@localhost", "-C"]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / "docs" / "benchmarks").mkdir(parents=True)
    (tmp_path / "docs" / "benchmarks" / "bulk.md").write_text("1 Gbit/s")
    (tmp_path / "program").write_text("slow")
    subprocess.run([*GIT, str(tmp_path), "add", "."], check=True)
    subprocess.run([*GIT, str(tmp_path), "commit", "-qm", "Begin"], check=True)
    return tmp_path


def test_a_changed_program_is_told_from_its_commit(repository: Path) -> None:
    clean = revision(repository)
    (repository / "program").write_text("fast")
    assert revision(repository) == f"{clean}-dirty"


def test_results_that_were_just_written_change_no_program(repository: Path) -> None:
    clean = revision(repository)
    (repository / "docs" / "benchmarks" / "bulk.md").write_text("2 Gbit/s")
    assert revision(repository) == clean


def test_what_is_no_repository_cannot_be_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="cannot tell what is measured"):
        revision(tmp_path)

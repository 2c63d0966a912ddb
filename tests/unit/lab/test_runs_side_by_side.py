"""Runs begin, end and are listed while others do."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab import state
from lab.state import State


def test_a_run_begins_and_is_listed_while_others_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "runs"
    monkeypatch.setenv("STOQ_LAB_ROOT", str(root))

    def come_and_go(name: str) -> bool:
        seen = True
        for number in range(60):
            made = State.create(f"{name}{number}", "test")
            seen = seen and made.run in [found.run for found in state.all_runs("test")]
            made.remove()
        return seen

    with ThreadPoolExecutor(2) as both:
        assert list(both.map(come_and_go, "ab")) == [True, True]
    assert not root.exists()

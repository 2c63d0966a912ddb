"""Files that programs of a cluster watch."""

from pathlib import Path

import pytest

from clusterlib import settings


def test_a_file_that_holds_the_content_already_is_not_touched(tmp_path: Path) -> None:
    target = tmp_path / "config.json"
    settings.write(target, "{}")
    before = target.stat()
    settings.write(target, b"{}")
    after = target.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_other_content_replaces_the_file_whole(tmp_path: Path) -> None:
    target = tmp_path / "config.json"
    settings.write(target, "a long line")
    with target.open() as reader:
        settings.write(target, "short")
        assert reader.read() == "a long line"
    assert target.read_text() == "short"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_file_has_the_mode_asked_for(tmp_path: Path, mode: int) -> None:
    target = tmp_path / "kubeconfig"
    settings.write(target, "x", mode)
    assert target.stat().st_mode & 0o777 == mode

"""What is said of capture that cannot be; that it can is tried as root (tests/netns)."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from stoq.capture.netns import NamespaceError
from stoq.capture.nft import CaptureError
from stoq_node import trial
from stoq_node.capabilities import CAPTURES

NO_MODULE = CaptureError("a kernel module is missing: load nft_redir")
NO_RIGHT = NamespaceError(errno.EPERM, "cannot make a network namespace")


def test_where_nobody_asks_for_capture_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "run_in_new", None)
    assert trial.tried("") is None


def test_a_folder_that_is_none_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "netns")
    lacking = trial.tried(missing)
    assert lacking is not None
    assert list(lacking) == list(CAPTURES)
    assert all(missing in why for why in lacking.values())


@pytest.mark.parametrize("error", [NO_MODULE, NO_RIGHT])
def test_what_refuses_the_rules_refuses_every_part(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Callable[[], object]) -> NoReturn:
        raise error

    monkeypatch.setattr(trial, "run_in_new", refused)
    why = str(error).removeprefix("[Errno 1] ")
    assert trial.tried(str(tmp_path)) == dict.fromkeys(CAPTURES, why)

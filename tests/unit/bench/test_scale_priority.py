"""Who has the CPUs first while the webhook is measured."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchlib.errors import BenchError
from benchlib.scale import priority


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["sleep", "60"]) as child:
        yield child.pid
        child.kill()


def test_a_process_has_real_time_priority_while_the_block_lasts(sleeper: int) -> None:
    with priority.first([sleeper]):
        assert os.sched_getscheduler(sleeper) == os.SCHED_RR
        assert os.sched_getparam(sleeper).sched_priority == 1
    assert os.sched_getscheduler(sleeper) == os.SCHED_OTHER


def test_it_has_not_after_a_failure_either(sleeper: int) -> None:
    with pytest.raises(BenchError, match="measured nothing"), priority.first([sleeper]):
        raise BenchError("measured nothing")
    assert os.sched_getscheduler(sleeper) == os.SCHED_OTHER


def proc(folder: Path, **commands: list[str]) -> Path:
    for pid, words in commands.items():
        (folder / pid.lstrip("p")).mkdir()
        (folder / pid.lstrip("p") / "cmdline").write_text("\0".join(words))
    (folder / "net").mkdir()
    return folder


API_SERVER = "/usr/bin/kube-apiserver"


def test_the_only_api_server_is_found_whatever_its_address(tmp_path: Path) -> None:
    found = proc(tmp_path, p7=[API_SERVER, "--secure-port=6443"], p8=["/bin/etcd"], p9=[""])
    assert priority.api_server("fd00::1", found) == 7


def test_of_several_api_servers_the_one_of_the_address_is_found(tmp_path: Path) -> None:
    found = proc(
        tmp_path,
        p7=[API_SERVER, "--advertise-address=fd00::7"],
        p8=[API_SERVER, "--advertise-address=fd00::8"],
    )
    assert priority.api_server("fd00::8", found) == 8
    with pytest.raises(BenchError, match="0 processes kube-apiserver of address fd00::9"):
        priority.api_server("fd00::9", found)


def test_without_an_api_server_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="0 processes kube-apiserver"):
        priority.api_server("fd00::1", proc(tmp_path, p8=["/bin/etcd"]))

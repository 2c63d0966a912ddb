"""Tests that are to be alone on the machine are, and get their turn."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

from netns.alone import on_the_machine
from support.patience import PATIENCE


def test_others_run_side_by_side(tmp_path: Path) -> None:
    both_inside = Barrier(2)

    def inside(_: int) -> int:
        with on_the_machine(tmp_path, alone=False):
            return both_inside.wait(PATIENCE)

    with ThreadPoolExecutor(2) as two:
        assert sorted(two.map(inside, range(2))) == [0, 1]


def test_who_wants_to_be_alone_waits_for_who_is_there_and_goes_before_who_comes_later(
    tmp_path: Path,
) -> None:
    order: list[str] = []
    leaves = Event()

    def first() -> None:
        with on_the_machine(tmp_path, alone=False):
            order.append("first")
            leaves.wait(PATIENCE)
            order.append("first has left")

    def then(name: str, *, alone: bool) -> None:
        with on_the_machine(tmp_path, alone=alone):
            order.append(name)

    def waiting(count: int) -> None:
        """Until so many stand before a lock, on the kernel's word (proc(5))."""
        inodes = {f":{path.stat().st_ino} " for path in tmp_path.iterdir()}
        while count > sum(
            "->" in line and any(inode in line for inode in inodes)
            for line in Path("/proc/locks").read_text().splitlines()
        ):
            time.sleep(0.005)

    with ThreadPoolExecutor(3) as three:
        three.submit(first)
        while not order:
            time.sleep(0.005)
        three.submit(then, "alone", alone=True)
        waiting(1)
        three.submit(then, "later", alone=False)
        waiting(2)
        leaves.set()
    assert order == ["first", "first has left", "alone", "later"]

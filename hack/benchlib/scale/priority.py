"""CPUs first for programs that in a real cluster share none with the simulated sidecars."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from benchlib.errors import BenchError

API_SERVER: Final = "kube-apiserver"


@contextmanager
def first(pids: Sequence[int]) -> Iterator[None]:
    """While the block lasts, no thread of these processes waits for a CPU that a program outside
    of them has (SCHED_RR, sched(7)). Raises BenchError where that is not allowed.
    """
    try:
        _schedule(pids, os.SCHED_RR, 1)
    except PermissionError as error:
        _schedule(pids, os.SCHED_OTHER, 0)
        raise BenchError(f"real-time priority for processes {list(pids)}: {error}") from error
    try:
        yield
    finally:
        _schedule(pids, os.SCHED_OTHER, 0)


def api_server(address: str, proc: Path = Path("/proc")) -> int:
    """The process of the API server of that address, where several run. Raises BenchError."""
    found: dict[int, list[str]] = {}
    for folder in proc.iterdir():
        if folder.name.isdecimal():
            with suppress(OSError):
                words = (folder / "cmdline").read_text(errors="replace").split("\0")
                if Path(words[0]).name == API_SERVER:
                    found[int(folder.name)] = words
    if len(found) > 1:
        said = f"--advertise-address={address}"
        found = {pid: words for pid, words in found.items() if said in words}
    if len(found) != 1:
        raise BenchError(f"{len(found)} processes {API_SERVER} of address {address}, wanted one")
    return next(iter(found))


def _schedule(pids: Sequence[int], policy: int, priority: int) -> None:
    """All threads; those that are made later inherit it of the one that makes them."""
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))

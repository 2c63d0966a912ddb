"""How many workers the pod's share of the machine is worth.

Asked here and not left to the engine, since the broker has to be told how many sockets to open.
"""

import os
from pathlib import Path
from typing import Final

MOST: Final = 4
"""Beyond it one pod would take the node; STOQ_DATA_WORKERS overrules."""

CPU_MAX: Final = Path("/sys/fs/cgroup/cpu.max")
"""The pod's own cgroup, as its cgroup namespace shows it (cgroup v2)."""


def quota(text: str) -> int | None:
    """Whole CPUs in the content of `cpu.max`; None when there is no limit. Pure."""
    limit, _, period = text.strip().partition(" ")
    if not limit.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return max(1, int(limit) // int(period))


def workers(wanted: int, cpu_max: Path = CPU_MAX) -> int:
    """`wanted`, or for 0 one for each CPU that affinity and cgroup allow, at most `MOST`."""
    if wanted:
        return wanted
    cpus = len(os.sched_getaffinity(0))
    try:
        limit = quota(cpu_max.read_text(encoding="ascii"))
    except OSError:  # cgroup v1, or none is mounted
        limit = None
    return min(cpus, limit or cpus, MOST)

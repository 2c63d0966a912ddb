"""The machine that was measured: without it no figure means anything."""

import os
import platform
from pathlib import Path

from benchlib.errors import BenchError
from lab import command


def describe(versions: dict[str, str]) -> dict[str, object]:
    """For the record beside every result."""
    return {
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "virtual": "hypervisor" in _cpuinfo(),
        "rmem_max": int(Path("/proc/sys/net/core/rmem_max").read_text()),
        "wmem_max": int(Path("/proc/sys/net/core/wmem_max").read_text()),
        # Of the applications' TCP and the relays' TCP alike; a namespace inherits it.
        "tcp_congestion_control": Path("/proc/sys/net/ipv4/tcp_congestion_control")
        .read_text()
        .strip(),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": versions,
    }


def revision(repository: Path) -> str:
    """The commit that is measured, `-dirty` when it is not quite that.

    Results are kept in docs/benchmarks and are no such difference: the second of two benchmarks
    measures the same program as the first.
    """
    git = ["git", "-C", str(repository)]
    others = [".", ":!docs/benchmarks"]
    try:
        commit = command.run([*git, "describe", "--always"], timeout=5).stdout.strip()
        changes = command.run(
            [*git, "status", "--porcelain", "--untracked-files=no", "--", *others], timeout=5
        ).stdout
    except command.CommandError as error:
        raise BenchError(f"cannot tell what is measured: {error}") from error
    return f"{commit}-dirty" if changes else commit


def _cpuinfo() -> str:
    return Path("/proc/cpuinfo").read_text()


def _cpu_model() -> str:
    first = _cpuinfo().split("\n\n")[0].splitlines()
    values = {name.strip(): value.strip() for name, _, value in (x.partition(":") for x in first)}
    model = values.get("model name", "unknown")
    return f"{model} (family {values.get('cpu family', '?')}, model {values.get('model', '?')})"

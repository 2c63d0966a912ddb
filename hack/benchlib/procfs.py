"""CPU time and memory of processes and of the whole machine, read from /proc."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class MachineTime:
    """Seconds, summed over all CPUs. Only differences mean anything."""

    busy: float  # interrupts and softirqs, which no process is charged for, included
    steal: float  # given to others by the hypervisor


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads, seconds."""
    # The name in field 2 may hold spaces and brackets: count from the last bracket.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    user, system = int(fields[11]), int(fields[12])
    return (user + system) / _TICKS


def rss_mb(pid: int) -> float:
    """Resident memory of a process, MB of 10^6 bytes."""
    return _status_mb(pid, "VmRSS:")


def peak_mb(pid: int) -> float:
    """The most that was resident since it was started, MB of 10^6 bytes."""
    return _status_mb(pid, "VmHWM:")


def _status_mb(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def machine_time() -> MachineTime:
    """What all CPUs have not done, which is counted exactly; what they did is only sampled."""
    return parse_machine_time(Path("/proc/stat").read_text(), time.monotonic())


def parse_machine_time(stat: str, now: float) -> MachineTime:
    """Reads the first line of /proc/stat, taken at `now` seconds."""
    lines = stat.splitlines()
    _user, _nice, _system, idle, iowait, _irq, _softirq, steal = (
        int(field) / _TICKS for field in lines[0].split()[1:9]
    )
    cpus = sum(line.startswith("cpu") for line in lines) - 1
    return MachineTime(now * cpus - idle - iowait - steal, steal)


def idle_seconds(stat: str, cpu: int) -> float:
    """How long one CPU did nothing or belonged to others, since boot; `stat` is /proc/stat.

    Raises ValueError where there is no such CPU.
    """
    for line in stat.splitlines():
        name, *fields = line.split()
        if name == f"cpu{cpu}":
            return sum(int(fields[place]) for place in (3, 4, 7)) / _TICKS
    raise ValueError(f"/proc/stat has no cpu{cpu}")

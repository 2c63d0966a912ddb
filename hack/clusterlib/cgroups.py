"""A cgroup for each node, which its containers go into, in cgroup v1 hierarchies or in v2."""

import time
from contextlib import suppress
from pathlib import Path

REMOVE_SECONDS = 20.0
"""How long killed processes may take to leave their cgroups."""

_INHERITED = ("cpuset.cpus", "cpuset.mems")
"""Empty in a new v1 cpuset, and no process may enter it then."""


def hierarchies(mountinfo: str) -> list[Path]:
    """Where cgroups are mounted, from the text of /proc/self/mountinfo (proc(5))."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if after.split(" ", 1)[0] in {"cgroup", "cgroup2"}:
            found.append(Path(before.split(" ")[4]))
    return sorted(set(found))


def make(name: str) -> None:
    """Makes cgroup `/<name>` in every hierarchy."""
    for hierarchy in _mounted():
        folder = hierarchy / name
        folder.mkdir(exist_ok=True)
        for setting in _INHERITED:
            above, own = hierarchy / setting, folder / setting
            if above.exists() and not own.read_text().strip():
                own.write_text(above.read_text())
        for level in (hierarchy, folder):
            _delegate(level)


def remove(name: str) -> None:
    """Removes cgroup `/<name>` and those in it. Raises OSError when processes stay in them."""
    for hierarchy in _mounted():
        top = hierarchy / name
        if top.exists():
            below = sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True)
            for folder in [*below, top]:
                _remove(folder)


def _delegate(level: Path) -> None:
    """In v2, lets the cgroups below have every controller that this one has."""
    control = level / "cgroup.subtree_control"
    if control.exists():
        for controller in (level / "cgroup.controllers").read_text().split():
            with suppress(OSError):  # one that may not be delegated, such as a threaded one
                control.write_text(f"+{controller}")


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + REMOVE_SECONDS
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _mounted() -> list[Path]:
    return hierarchies(Path("/proc/self/mountinfo").read_text())

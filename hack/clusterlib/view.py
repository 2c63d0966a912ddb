"""What the programs of a machine see of the file system. Runs inside the machine's own namespaces.

All machines share the root file system of this one, read as it is. A node has its own /run and
/var, so that containerd, kubelet and CNI keep their things where they are on any node and nothing
of it appears outside; all these mounts end with the node's last process.
"""

import socket
from pathlib import Path

from clusterlib.node import PROGRAMS
from clusterlib.services import Machine
from lab.command import run

OWN = ("logs", "held", "running")
"""Folders of a machine by which it and `hack/cluster` talk."""

_INSIDE = Path(PROGRAMS).parent

_COPIES = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)
"""Kernel settings that a kubelet insists on changing: a node changes copies, not the machine."""


def prepare(machine: Machine) -> Path:
    """Mounts; returns where the machine finds its own folders. Raises lab.command.CommandError.

    The caller is process 1 of new mount, PID and UTS namespaces, with private propagation.
    """
    socket.sethostname(machine.name)
    folder = Path(machine.folder)
    if not machine.is_node:
        _mount("-t", "proc", "proc", "/proc")
        return folder
    run_folder = folder / "run"
    run_folder.mkdir(exist_ok=True)
    _mount("-t", "tmpfs", "-o", "mode=755", "run", str(run_folder))
    own = run_folder / _INSIDE.relative_to("/run")
    for name, source in {
        **{name: folder / name for name in OWN},
        "bin": Path(machine.programs),
        "host-cgroup": Path("/sys/fs/cgroup"),
    }.items():
        (own / name).mkdir(parents=True)
        _mount("--rbind", str(source), str(own / name))
    _mount("--rbind", str(run_folder), "/run")
    _mount("--bind", str(folder / "var"), "/var")
    _proc()
    _sys(_INSIDE / "host-cgroup")
    # Volumes that pods mount with propagation reach the kubelet, and go no further.
    _mount("--make-rshared", "/")
    return _INSIDE


def make_var(folder: Path) -> None:
    """The beginnings of a node's /var."""
    (folder / "lib").mkdir(parents=True, exist_ok=True)
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / "tmp").chmod(0o1777)
    for name in ("run", "lock"):
        link = folder / name
        if not link.is_symlink():
            link.symlink_to("/run" if name == "run" else "/run/lock")


def _proc() -> None:
    """Its own processes; kernel settings of its own network only, the rest read-only."""
    _mount("-t", "proc", "proc", "/proc")
    writable = _INSIDE / "proc"
    writable.mkdir()
    _mount("-t", "proc", "proc", str(writable))
    _mount("--bind", "/proc/sys", "/proc/sys")
    _mount("-o", "remount,bind,ro", "/proc/sys")
    _mount("--bind", str(writable / "sys" / "net"), "/proc/sys/net")
    run(["umount", str(writable)])
    for name in _COPIES:
        real, copy = Path("/proc/sys") / name, _INSIDE / "sysctl" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(real.read_text())
        _mount("--bind", str(copy), str(real))


def _sys(cgroups: Path) -> None:
    """The devices of its own network, this machine's cgroups, a BPF file system of its own."""
    _mount("-t", "sysfs", "sysfs", "/sys")
    _mount("--rbind", str(cgroups), "/sys/fs/cgroup")
    run(["umount", "--recursive", "--lazy", str(cgroups)])
    _mount("-t", "bpf", "bpf", "/sys/fs/bpf")


def _mount(*arguments: str) -> None:
    run(["mount", *arguments])

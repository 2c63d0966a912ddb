"""What a laboratory made, written down before it is made, so that it can be removed exactly.

One folder per run: `state.json`, the logs and whatever the programs in it need. A record survives
the program that wrote it; a process is known by its id *and* its start time, so that a process
which has since been given the same id is never touched.
"""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lab import command

STOP_SECONDS = 5.0
"""How long a process may take to end after SIGTERM before SIGKILL."""


def root_folder() -> Path:
    """Where runs are kept: STOQ_LAB_ROOT, else /run/stoq-lab."""
    return Path(os.environ.get("STOQ_LAB_ROOT", "/run/stoq-lab"))


def start_time(pid: int) -> int | None:
    """When process `pid` started, in clock ticks since boot (proc(5)); None when it is gone.

    A zombie is gone: it holds nothing and only waits for its parent to look.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name may hold spaces and brackets; the fields after it do not.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


@dataclass
class State:
    """The record of one run. Every change is on disk before it returns."""

    run: str
    purpose: str
    folder: Path
    namespaces: list[str] = field(default_factory=list)
    processes: dict[int, int] = field(default_factory=dict)
    """Process group leaders we started: id and start time."""
    folders: list[str] = field(default_factory=list)
    """Folders elsewhere that belong to this run."""
    mounts: list[str] = field(default_factory=list)
    """Where file systems were mounted, inside the run's folder."""
    children: list["subprocess.Popen[bytes]"] = field(default_factory=list)
    """Processes that are our own children, not on disk: they must be waited for."""
    _saving: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def create(cls, run: str, purpose: str) -> "State":
        """Makes the folder of a new run. Raises FileExistsError when the run id is taken."""
        folder = root_folder() / run
        _make(folder)
        (folder / "logs").mkdir()
        state = cls(run, purpose, folder)
        state.save()
        return state

    @classmethod
    def load(cls, folder: Path) -> "State":
        """Reads a run's record. Raises ValueError when it is not one."""
        try:
            kept = json.loads((folder / "state.json").read_text())
            return cls(
                run=kept["run"],
                purpose=kept["purpose"],
                folder=folder,
                namespaces=list(kept["namespaces"]),
                processes={int(pid): int(started) for pid, started in kept["processes"].items()},
                folders=list(kept["folders"]),
                mounts=list(kept["mounts"]),
            )
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(f"{folder}: not the record of a laboratory: {error}") from error

    def save(self) -> None:
        """Writes the record: whole or not at all. Threads may note things at once."""
        with self._saving:
            text = json.dumps(
                {
                    "run": self.run,
                    "purpose": self.purpose,
                    "namespaces": self.namespaces,
                    "processes": self.processes.copy(),
                    "folders": self.folders,
                    "mounts": self.mounts,
                }
            )
            fresh = self.folder / "state.json.new"
            fresh.write_text(text)
            fresh.replace(self.folder / "state.json")

    def add_namespace(self, name: str) -> None:
        """Notes a namespace that is about to be made."""
        self.namespaces.append(name)
        self.save()

    def add_folder(self, folder: Path) -> None:
        """Notes a folder outside the run's own that is to go with it."""
        self.folders.append(str(folder))
        self.save()

    def add_mount(self, folder: Path) -> None:
        """Notes a folder on which a file system is about to be mounted."""
        self.mounts.append(str(folder))
        self.save()

    def add_process(self, child: "subprocess.Popen[bytes]") -> None:
        """Notes a process that was started as the leader of its own group."""
        self.children.append(child)
        started = start_time(child.pid)
        if started is not None:
            self.processes[child.pid] = started
            self.save()

    def remove_process(self, pid: int) -> None:
        """Forgets a process that has ended."""
        if self.processes.pop(pid, None) is not None:
            self.save()

    def stop_processes(self) -> None:
        """Ends every process of this run, the youngest first: SIGTERM, then SIGKILL."""
        ours = [pid for pid, started in self.processes.items() if start_time(pid) == started]
        for pid in reversed(ours):
            _signal_group(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while any(start_time(pid) for pid in ours) and time.monotonic() < deadline:
            time.sleep(0.02)
        for pid in ours:
            if start_time(pid) == self.processes[pid]:
                _signal_group(pid, signal.SIGKILL)
        for child in self.children:
            child.wait()
        self.processes.clear()
        self.save()

    def remove(self) -> None:
        """Removes everything the record lists, and the folder. Safe to call again."""
        self.stop_processes()
        present = set(command.run(["ip", "netns", "list"]).stdout.split())
        for name in self.namespaces:
            if name in present:
                command.run(["ip", "netns", "delete", name])
        for mount in self.mounts:
            # Not Path.is_mount: that knows folders only, and a namespace is mounted on a file.
            if os.path.ismount(mount):
                command.run(["umount", mount])
        for folder in (*self.folders, str(self.folder)):
            shutil.rmtree(folder, ignore_errors=True)
        # The parent belongs to whichever run comes last.
        with suppress(OSError):
            self.folder.parent.rmdir()


def all_runs(purpose: str) -> list[State]:
    """The records of every run of that purpose on this machine, oldest first."""
    found: list[tuple[float, State]] = []
    with suppress(FileNotFoundError):
        for folder in root_folder().iterdir():
            # A run may end while we look.
            with suppress(ValueError, FileNotFoundError):
                found.append((folder.stat().st_mtime, State.load(folder)))
    found.sort(key=lambda each: each[0])
    return [state for _, state in found if state.purpose == purpose]


def _make(folder: Path) -> None:
    """Makes the folder of a run, and their common parent, which goes with a run that ends."""
    while True:
        with suppress(FileExistsError):
            folder.parent.mkdir(parents=True)
        with suppress(FileNotFoundError):
            folder.mkdir(mode=0o755)
            return


def _signal_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, number)

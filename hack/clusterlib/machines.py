"""Starting and ending the machines of a cluster: a process in namespaces of its own each."""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL

from clusterlib import cgroups, view
from clusterlib.node import PROGRAMS
from clusterlib.plan import CONTROL, Plan
from clusterlib.progress import ClusterError
from clusterlib.record import Record
from clusterlib.services import Machine, Service
from lab.command import inherited
from lab.state import start_time

END_SECONDS = 20.0


def running(record: Record, machine: str) -> bool:
    """Whether the machine is on."""
    pid, started = record.processes.get(machine, (0, 0))
    return bool(pid) and start_time(pid) == started


def enter(record: Record, machine: str) -> list[str]:
    """The words before a command that make it run on the machine. Raises ClusterError if off."""
    if not running(record, machine):
        raise ClusterError(f"{machine} does not run: hack/cluster up starts it")
    pid = record.processes[machine][0]
    # The process itself stayed outside of the PID namespace that it made.
    files = {"mount": "mnt", "net": "net", "uts": "uts", "pid": "pid_for_children"}
    kinds = [f"--{kind}=/proc/{pid}/ns/{file}" for kind, file in files.items()]
    return ["nsenter", *kinds, "--", "env", f"PATH={PROGRAMS}:{os.environ['PATH']}"]


def cgroup(plan: Plan, machine: str) -> str:
    """The cgroup, without a slash, that a node's containers are in."""
    return f"{plan.title}-{machine}"


def start(plan: Plan, record: Record, machine: str, services: tuple[Service, ...]) -> None:
    """Switches a machine on; its services start by themselves."""
    folder = record.folder / machine
    for name in view.OWN:
        (folder / name).mkdir(parents=True, exist_ok=True)
    is_node = machine != CONTROL
    if is_node:
        view.make_var(folder / "var")
        cgroups.make(cgroup(plan, machine))
    description = Machine(machine, str(folder), f"{record.programs}/bin", is_node, services)
    (folder / "machine.json").write_text(json.dumps(description.to_json(), indent=1))
    argv = ["nsenter", f"--net=/run/netns/{plan.netns(machine)}", "--"]
    argv += ["unshare", "--mount", "--pid", "--uts", "--propagation", "private"]
    # The kernel ends every process of the machine with its first one, and that with this one.
    argv += ["--fork", "--kill-child=SIGKILL", "--"]
    argv += [sys.executable, "-m", "clusterlib.supervisor", str(folder / "machine.json")]
    hack = str(Path(__file__).resolve().parents[1])
    with (folder / "logs" / "supervisor.log").open("ab") as log:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**inherited(), "PYTHONPATH": hack, "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
    started = start_time(child.pid)
    if started is None:
        raise ClusterError(f"{machine} did not start; see {folder}/logs/supervisor.log")
    record.processes[machine] = (child.pid, started)
    record.save()


def end(record: Record, machine: str) -> None:
    """Switches a machine off, as by pulling its plug, and waits until all of it has gone."""
    if running(record, machine):
        pid = record.processes[machine][0]
        first = _children(pid)
        for each in (*first, pid):
            with suppress(ProcessLookupError):
                os.kill(each, SIGKILL)
        deadline = time.monotonic() + END_SECONDS
        while any(start_time(each) is not None for each in (*first, pid)):
            if time.monotonic() > deadline:
                raise ClusterError(f"{machine} (process {pid}) does not end within {END_SECONDS} s")
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            time.sleep(0.02)
    if record.processes.pop(machine, None) is not None:
        record.save()


def hold(record: Record, machine: str, service: str) -> None:
    """Keeps one service of a machine down, from now on."""
    folder = record.folder / machine / "held"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / service).touch()


def release(record: Record, machine: str) -> None:
    """Lets every service of a machine run again."""
    for held in (record.folder / machine / "held").glob("*"):
        held.unlink(missing_ok=True)


def services(record: Record, machine: str) -> dict[str, bool]:
    """Which services a machine has, and whether each runs."""
    folder = record.folder / machine
    description = Machine.from_json(json.loads((folder / "machine.json").read_text()))
    on = running(record, machine)
    return {
        service.name: on and (folder / "running" / service.name).exists()
        for service in description.services
    }


def log_tail(record: Record, machine: str, service: str, limit: int = 2000) -> str:
    """The last `limit` bytes that a service printed."""
    with suppress(FileNotFoundError):
        log = record.folder / machine / "logs" / f"{service}.log"
        return log.read_bytes()[-limit:].decode(errors="replace").strip()
    return ""


def _children(pid: int) -> list[int]:
    with suppress(FileNotFoundError):
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    return []

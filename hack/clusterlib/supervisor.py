"""Process 1 of a machine: starts its services, starts them again when they end, reaps orphans.

A file `held/<service>` keeps a service down: it is killed, as when its computer fails, and started
again once the file is gone. `running/<service>` is there while it runs.
"""

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL

from clusterlib import view
from clusterlib.progress import say
from clusterlib.services import Machine, Service

TICK_SECONDS = 0.1
"""How late the end of a service, or a change of `held`, may be noticed."""
AGAIN_SECONDS = 1.0
"""From the end of a service to its next start: slow enough for one that cannot work."""


@dataclass(slots=True)
class _Running:
    service: Service
    pid: int = 0
    """0: not running."""
    not_before: float = 0.0


class Supervisor:
    """Keeps the services of one machine as they should be."""

    def __init__(self, machine: Machine, own: Path) -> None:
        self._own = own
        self._services = [_Running(service) for service in machine.services]
        # Nothing of ours: proxies and tokens of whoever called are no business of a node's.
        self._environment = {
            "PATH": f"{own / 'bin' if machine.is_node else machine.programs}"
            ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
        }

    def run(self) -> None:
        """Never returns."""
        for marker in (self._own / "running").iterdir():
            marker.unlink()
        while True:
            self._reap()
            for running in self._services:
                self._settle(running)
            time.sleep(TICK_SECONDS)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                self._ended(pid, os.waitstatus_to_exitcode(status))

    def _ended(self, pid: int, status: int) -> None:
        for running in self._services:
            if running.pid == pid:
                name = running.service.name
                (self._own / "running" / name).unlink(missing_ok=True)
                running.pid = 0
                running.not_before = time.monotonic() + AGAIN_SECONDS
                say(f"{name} (process {pid}) ended with status {status}")

    def _settle(self, running: _Running) -> None:
        service = running.service
        if (self._own / "held" / service.name).exists():
            if running.pid:
                os.kill(running.pid, SIGKILL)
            running.not_before = 0.0
        elif (
            not running.pid
            and time.monotonic() >= running.not_before
            and (not service.needs or Path(service.needs).exists())
        ):
            running.pid = self._start(service)
            (self._own / "running" / service.name).write_text(str(running.pid))

    def _start(self, service: Service) -> int:
        log = str(self._own / "logs" / f"{service.name}.log")
        return os.posix_spawn(
            service.argv[0],
            service.argv,
            self._environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )


def main(description: str) -> None:
    """Runs the machine described in the file `description` (services.Machine as JSON)."""
    machine = Machine.from_json(json.loads(Path(description).read_text()))
    Supervisor(machine, view.prepare(machine)).run()


if __name__ == "__main__":
    main(sys.argv[1])

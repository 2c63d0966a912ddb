"""Long-running programs of a laboratory: each leads its own process group and logs to a file."""

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals

from lab.command import inherited
from lab.netns import enter
from lab.state import STOP_SECONDS, State

POLL_SECONDS = 0.02
"""How often a wait looks again."""


class ProcessError(RuntimeError):
    """A program ended, or did not become ready in time; the message has the end of its log."""


class Process:
    """One running program. `pid` is the program's own process id, not a wrapper's."""

    def __init__(
        self, name: str, child: subprocess.Popen[bytes], log: Path, log_start: int, state: State
    ) -> None:
        self.name = name
        self.log = log
        self._log_start = log_start
        self._child = child
        self._state = state

    @property
    def pid(self) -> int:
        """The process id, also after the end."""
        return self._child.pid

    def running(self) -> bool:
        """Whether the program has not ended."""
        return self._child.poll() is None

    def tail(self, limit: int = 2000) -> str:
        """The last `limit` bytes of what it printed, and nothing of a namesake before it."""
        with suppress(FileNotFoundError):
            printed = self.log.read_bytes()[self._log_start :]
            return printed[-limit:].decode(errors="replace").strip()
        return ""

    def wait_until(self, what: str, ready: Callable[[], bool], timeout: float = 60.0) -> None:
        """Waits until `ready()`, or raises ProcessError with `what` was waited for (seconds)."""
        deadline = time.monotonic() + timeout
        while not ready():
            if not self.running():
                raise ProcessError(
                    f"{self.name} ended with status {self._child.returncode} before {what}:\n"
                    + self.tail()
                )
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name}: not {what} in {timeout:g} s:\n{self.tail()}")
            time.sleep(POLL_SECONDS)

    def signal(self, number: Signals) -> None:
        """Sends a signal to the program alone, not to its children."""
        self._child.send_signal(number)

    def stop(self, timeout: float = STOP_SECONDS, number: Signals = SIGTERM) -> int:
        """Ends the program and its children and returns its exit status (negative: a signal)."""
        if self.running():
            self._child.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(timeout)
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, SIGKILL)
        status = self._child.wait()
        self._state.remove_process(self._child.pid)
        return status


def start(
    state: State,
    name: str,
    argv: Sequence[str],
    *,
    netns: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Process:
    """Starts `argv`, inside `netns` when given; its output goes to `logs/<name>.log`.

    `environment` is added to ours. Raises FileNotFoundError when there is no such program.
    """
    log = state.folder / "logs" / f"{name}.log"
    with log.open("ab") as output:
        log_start = output.tell()
        child = subprocess.Popen(
            [*(enter(netns) if netns else []), *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**inherited(), **(environment or {})},
            start_new_session=True,
        )
    state.add_process(child)
    return Process(name, child, log, log_start, state)

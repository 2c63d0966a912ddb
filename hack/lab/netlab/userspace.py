"""A path whose ends are TAP devices of one program (hack/peers/netpath).

It takes frames from one and puts them into the other as the schedule says. Both are gone when it
ends.
"""

import fcntl
import json
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from lab import command
from lab.command import CommandError
from lab.netlab.route import End
from lab.netlab.schedule import Schedule
from lab.process import Process
from lab.state import State
from stoq.capture.netns import run_in

PEERS: Final = Path(__file__).resolve().parents[2] / "peers"

DEVICE: Final = Path("/dev/net/tun")

COUNTING: Final = ("RUSTC_WORKSPACE_WRAPPER", "LLVM_PROFILE_FILE")

# <linux/if_tun.h>
TUNSETIFF: Final = 0x400454CA
IFF_TAP: Final = 0x0002
IFF_NO_PI: Final = 0x1000


@dataclass(frozen=True, slots=True)
class Carried:
    """Such a path, up."""

    process: Process
    started: Path
    """Its schedule begins when this file exists."""
    counters: Path

    def begin(self) -> float:
        """As `Route` has it; the program looks every 2 ms."""
        self.started.touch()
        return time.monotonic()

    def counted(self) -> dict[str, Any]:
        """As `Route` has it, and how many were `lost`, `reordered` and `duplicated`."""
        found: dict[str, Any] = json.loads(self.counters.read_text())
        return found


def program() -> str:
    """The program that carries the frames, built if need be. Raises CommandError."""
    if shutil.which("cargo") is None:
        raise CommandError("cargo is missing: run hack/setup")
    argv = ["cargo", "build", "--locked", "--release", "--package", "netpath"]
    argv += ["--message-format=json-render-diagnostics"]
    # As it is used, also where the tests count the lines of other programs.
    shipped = {name: text for name, text in os.environ.items() if name not in COUNTING}
    done = subprocess.run(
        argv, cwd=PEERS, env=shipped, stdout=subprocess.PIPE, text=True, check=False
    )
    built = [json.loads(line).get("executable") for line in done.stdout.splitlines()]
    found = [str(executable) for executable in built if executable]
    if done.returncode != 0 or not found:
        raise CommandError(f"hack/peers/netpath does not build: {' '.join(argv)} in {PEERS}")
    return found[-1]


def lay(state: State, near: End, far: End, schedule: Schedule, *, mtu: int, hold: bool) -> Carried:
    """As `path.lay`. Raises CommandError and ProcessError."""
    name = f"path-{near.netns}-{near.interface}"
    folder = state.folder / name
    folder.mkdir()
    (folder / "schedule.json").write_text(schedule.document())
    started, counters = folder / "started", folder / "counters.json"
    argv = [program(), str(folder / "schedule.json"), "--counters", str(counters)]
    argv += ["--hold", str(started)] if hold else []
    log = state.folder / "logs" / f"{name}.log"
    with ExitStack() as stack:
        output = stack.enter_context(log.open("ab"))
        taps = [stack.enter_context(_tap(end)) for end in (near, far)]
        child = subprocess.Popen(
            argv, stdin=taps[0], stdout=taps[1], stderr=output, start_new_session=True
        )
    state.add_process(child)
    process = Process(name, child, log, 0, state)
    for end in (near, far):
        set_ = ["ip", "-netns", end.netns, "link", "set", end.interface, "mtu", str(mtu), "up"]
        command.run(set_)
    process.wait_until("carrying frames", counters.exists)
    return Carried(process, started, counters)


@contextmanager
def _tap(end: End) -> Iterator[int]:
    """A TAP device in that namespace, as a descriptor. Raises CommandError."""
    try:
        descriptor = run_in(f"/run/netns/{end.netns}", partial(_open, end.interface))
    except OSError as error:
        raise CommandError(
            f"{end.netns}: no TAP device {end.interface}: {error}; it takes root, {DEVICE} and the "
            "kernel's module tun (modprobe tun)"
        ) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _open(interface: str) -> int:
    descriptor = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.ioctl(
            descriptor, TUNSETIFF, struct.pack("16sH22x", interface.encode(), IFF_TAP | IFF_NO_PI)
        )
    except OSError:
        os.close(descriptor)
        raise
    return descriptor

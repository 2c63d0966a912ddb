"""A path of the kernel's token buckets, for rates that no program of ours carries.

Between the ends is a namespace of its own with the other halves of two veth pairs. What comes in
from one goes out of the other, through the buckets there (`lab.netlab.bucket`). It goes out as a
copy without its socket: else the queue of the path would count as the sender's own, and TCP and
the socket's buffer would hold back what a bottleneck elsewhere would have dropped.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lab import command, process
from lab.command import CommandError
from lab.netlab import bucket
from lab.netlab.route import End
from lab.netlab.schedule import Schedule
from lab.process import Process
from lab.state import State

HACK: Final = Path(__file__).resolve().parents[2]

NEAR, FAR = "near", "far"
"""The devices in the middle. Up leaves by the far one, down by the near one."""

TOLD: Final = "told.json"
STARTED: Final = "started"


@dataclass(frozen=True, slots=True)
class Buckets:
    """Such a path, up."""

    process: Process
    """Follows the schedule, and ends with it."""
    folder: Path
    middle: str

    def begin(self) -> float:
        """As `Route` has it. Raises ProcessError when the schedule does not begin."""
        (self.folder / STARTED).touch()
        self.process.wait_until("following its schedule", lambda: self._told()["began"] is not None)
        return float(self._told()["began"])

    def counted(self) -> dict[str, Any]:
        """As `Route` has it, and how many milliseconds the latest of the steps was `late`."""
        qdiscs = command.run(["tc", "-n", self.middle, "-s", "-j", "qdisc"]).stdout
        told = self._told()
        return {
            "step": told["step"],
            "late": told["late"],
            "up": bucket.counters(qdiscs, FAR),
            "down": bucket.counters(qdiscs, NEAR),
        }

    def _told(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / TOLD).read_text())
        return found


def lay(state: State, near: End, far: End, schedule: Schedule, *, mtu: int, hold: bool) -> Buckets:
    """As `path.lay`. Raises CommandError and ProcessError."""
    name = f"path-{near.netns}-{near.interface}"
    folder = state.folder / name
    folder.mkdir()
    middle = f"{near.netns}-{near.interface}-path"
    _connect(state, near, far, middle, mtu)
    _tc(middle, bucket.setup(schedule, mtu, FAR, NEAR), "sch_tbf")
    _tc(middle, [*_across(NEAR, FAR), *_across(FAR, NEAR)], "sch_ingress, cls_u32 and act_mirred")
    (folder / "steps.json").write_text(bucket.document(schedule, mtu, FAR, NEAR))
    if not hold:
        (folder / STARTED).touch()
    follower = process.start(
        state,
        name,
        [sys.executable, "-m", "lab.netlab.follow", str(folder)],
        netns=middle,
        environment={"PYTHONPATH": str(HACK)},
    )
    follower.wait_until("ready", (folder / TOLD).exists)
    return Buckets(follower, folder, middle)


def refused(error: CommandError, modules: str) -> CommandError:
    """The error, with what the kernel may lack."""
    return CommandError(
        f'{error}; path = "kernel" takes the kernel\'s modules {modules} (modprobe), and '
        'path = "program" does without'
    )


def _connect(state: State, near: End, far: End, middle: str, mtu: int) -> None:
    state.add_namespace(middle)
    command.run(["ip", "netns", "add", middle])
    lines = []
    for device, end in ((NEAR, near), (FAR, far)):
        peer = f"peer name {end.interface} mtu {mtu} netns {end.netns}"
        lines += [
            f"link add {device} mtu {mtu} type veth {peer}",
            # It has no address, so nothing of its own is on the path.
            f"link set {device} addrgenmode none",
            f"link set {device} up",
        ]
    command.run(["ip", "-netns", middle, "-batch", "-"], stdin="\n".join(lines) + "\n")
    for end in (near, far):
        command.run(["ip", "-netns", end.netns, "link", "set", end.interface, "up"])


def _across(device: str, other: str) -> list[str]:
    """All that comes in by one leaves by the other as a copy; the original is dropped."""
    action = f"action mirred egress mirror dev {other} drop"
    return [
        f"qdisc add dev {device} ingress",
        f"filter add dev {device} parent ffff: protocol all prio 1 u32 match u32 0 0 {action}",
    ]


def _tc(middle: str, lines: list[str], modules: str) -> None:
    try:
        command.run(["tc", "-n", middle, "-batch", "-"], stdin="\n".join(lines) + "\n")
    except CommandError as error:
        raise refused(error, modules) from error

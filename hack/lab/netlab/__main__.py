"""`python -m lab.netlab`, which hack/netlab starts once everything is built."""

import ipaddress
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Final

from lab import command, netns, process
from lab.command import CommandError
from lab.netlab import path, schedule
from lab.netlab.options import Options, parse
from lab.netlab.route import End, Route
from lab.plan import new_run_id
from lab.process import ProcessError
from lab.state import State, all_runs

PURPOSE: Final = "netlab"

FAR_SECONDS: Final = 0.5
"""What the far end's command is given to begin listening."""

ADDRESSES: Final = {
    "near": ("fd7e:717b::1", "10.71.7.1"),
    "far": ("fd7e:717b::2", "10.71.7.2"),
}
"""The same every time: the namespaces are apart from everything else, and from each other."""


def main() -> int:
    """Returns the exit status: the command's own, or 2 for what cannot be used."""
    options = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _do(options)
    except (CommandError, ProcessError, schedule.ScheduleError) as error:
        print(f"hack/netlab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _do(options: Options) -> int:
    if options.action == "down":
        return _down()
    wanted = schedule.find(options.schedule)
    if options.action == "show":
        print(schedule.text(options.schedule), end="")
        return 0
    state = State.create(new_run_id("n"), PURPOSE)
    kept = False
    try:
        made = _up(state, wanted, options)
        if options.action == "run":
            return _run(state, made, options)
        kept = True
        _tell(state)
        return 0
    finally:
        if not kept:
            state.remove()


def _up(state: State, wanted: schedule.Schedule, options: Options) -> Route:
    ends = {side: End(_netns(state, side), "eth0") for side in ADDRESSES}
    for end in ends.values():
        state.add_namespace(end.netns)
        command.run(["ip", "netns", "add", end.netns])
    hold = options.action == "run"
    route = path.lay(state, ends["near"], ends["far"], wanted, mtu=options.mtu, hold=hold)
    for side, addresses in ADDRESSES.items():
        lines = ["link set lo up"]
        for address in addresses:
            nodad = " nodad" if ipaddress.ip_address(address).version == 6 else ""
            size = 64 if nodad else 24
            lines.append(f"addr add {address}/{size} dev eth0{nodad}")
        command.run(["ip", "-netns", ends[side].netns, "-batch", "-"], stdin="\n".join(lines))
    return route


def _run(state: State, route: Route, options: Options) -> int:
    if options.far:
        words = ["sh", "-c", _filled([options.far], ADDRESSES)[0]]
        far = process.start(state, "far", words, netns=_netns(state, "far"))
        time.sleep(FAR_SECONDS)
        if not far.running():
            raise CommandError(f"{options.far} ended at once: {far.tail()}")
    route.begin()
    words = [*netns.enter(_netns(state, "near")), *_filled(options.command, ADDRESSES)]
    return subprocess.run(words, check=False).returncode


def _filled(words: Sequence[str], addresses: Mapping[str, tuple[str, str]]) -> list[str]:
    """The words with the addresses that they ask for; other braces stay as they are."""
    found = list(words)
    for side, (six, four) in addresses.items():
        found = [word.replace(f"{{{side}}}", six).replace(f"{{{side}4}}", four) for word in found]
    return found


def _tell(state: State) -> None:
    near, far = (_netns(state, side) for side in ADDRESSES)
    address = ADDRESSES["far"][0]
    print(
        f"the near end is network namespace {near}, the far end {far}; try:\n"
        f"  ip netns exec {far} iperf3 -s -D\n  ip netns exec {near} iperf3 -c {address}\n"
        "remove it with: hack/netlab down"
    )


def _down() -> int:
    runs = all_runs(PURPOSE)
    for state in runs:
        state.remove()
        print(f"removed {state.run}", file=sys.stderr)
    if not runs:
        print("nothing is left of any path", file=sys.stderr)
    return 0


def _netns(state: State, side: str) -> str:
    return f"stoq-{state.run}-{side}"


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

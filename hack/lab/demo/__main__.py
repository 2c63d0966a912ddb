"""`python -m lab.demo`, which hack/demo starts once everything is built."""

import json
import os
import signal
import sys
from types import FrameType

from lab.command import CommandError
from lab.demo.options import Options, parse
from lab.demo.report import Report, render
from lab.demo.run import PURPOSE, Demonstration, programs_missing
from lab.netlab.schedule import ScheduleError
from lab.process import ProcessError
from lab.state import all_runs


def main() -> int:
    """Returns the exit status: 0 when every check held, 1 otherwise."""
    options = parse(sys.argv[1:])
    if options.down:
        return _down()
    if missing := programs_missing():
        print(f"missing: {', '.join(missing)}; run hack/setup as root", file=sys.stderr)
        return 1
    # A terminated demonstration cleans up as an interrupted one does.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        demonstration = Demonstration(options)
    except ScheduleError as error:
        print(f"--path: {error}", file=sys.stderr)
        return 2
    kept = False
    try:
        report = demonstration.run()
        kept = options.keep
    except (CommandError, ProcessError) as error:
        print(f"{demonstration.logs()}\n\nerror: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        demonstration.progress("interrupted; removing what was made")
        return 130
    finally:
        if not kept:
            demonstration.state.remove()
    _show(demonstration, report, options)
    return 0 if report.ok else 1


def _show(demonstration: Demonstration, report: Report, options: Options) -> None:
    if options.json:
        print(json.dumps(report.as_object(), indent=2))
    else:
        print(render(report))
    if not options.keep:
        return
    demonstration.remember(report)
    client, server = demonstration.client, demonstration.server
    enter = "" if os.environ.get("STOQ_LAB_ROOT") is None else _rootless_prefix(demonstration)
    print(
        f"\nleft running; try:\n  {enter}ip netns exec {client.netns} "
        f"curl -s 'http://[{server.ipv6}]:8080/1000'\nremove it with: hack/demo --down",
        file=sys.stderr,
    )


def _rootless_prefix(demonstration: Demonstration) -> str:
    """What to put before a command to run it inside the user namespace."""
    mesh = demonstration.mesh
    pid = mesh.control.pid if mesh and mesh.control else 0
    return f"nsenter --preserve-credentials --user --mount --net --target {pid} "


def _down() -> int:
    runs = all_runs(PURPOSE)
    for state in runs:
        state.remove()
        print(f"removed {state.run}", file=sys.stderr)
    if not runs:
        print("nothing is left of any demonstration", file=sys.stderr)
    return 0


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

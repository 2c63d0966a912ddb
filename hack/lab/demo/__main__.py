"""`python -m lab.demo`, which hack/demo starts once everything is built."""

import json
import os
import signal
import sys
from types import FrameType

from lab.command import CommandError
from lab.demo import programs, scenario
from lab.demo.options import Options, parse
from lab.demo.report import Report, render
from lab.demo.stage import PURPOSE, Stage
from lab.netlab.schedule import ScheduleError
from lab.process import ProcessError
from lab.state import all_runs


def main() -> int:
    """Returns the exit status: 0 when every check held, 1 otherwise."""
    scenarios = scenario.find()
    options = parse(sys.argv[1:], {name: each.summary for name, each in scenarios.items()})
    if options.down:
        return _down()
    try:
        shown = scenarios[options.scenario] if options.scenario else programs.scenario(options)
    except ScheduleError as error:
        print(f"--path: {error}", file=sys.stderr)
        return 2
    if missing := shown.missing():
        print(f"missing: {', '.join(missing)}; run hack/setup as root", file=sys.stderr)
        return 1
    # A terminated demonstration cleans up as an interrupted one does.
    signal.signal(signal.SIGTERM, _interrupt)
    stage = Stage(options, shown.pods)
    kept = False
    try:
        shown.play(stage)
        report = stage.report()
        kept = options.keep
    except (CommandError, ProcessError) as error:
        print(f"{stage.logs()}\n\nerror: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        stage.progress("interrupted; removing what was made")
        return 130
    finally:
        if not kept:
            stage.state.remove()
    _show(stage, report, options)
    return 0 if report.ok else 1


def _show(stage: Stage, report: Report, options: Options) -> None:
    if options.json:
        print(json.dumps(report.as_object(), indent=2))
    else:
        print(render(report))
    if not options.keep:
        return
    stage.remember(report)
    enter = "" if os.environ.get("STOQ_LAB_ROOT") is None else _rootless_prefix(stage)
    print("\nleft running; try:", file=sys.stderr)
    for hint in stage.hints:
        print(f"  {enter}{hint}", file=sys.stderr)
    print("remove it with: hack/demo --down", file=sys.stderr)


def _rootless_prefix(stage: Stage) -> str:
    """What to put before a command to run it inside the user namespace."""
    pid = next(iter(stage.state.processes), 0)
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

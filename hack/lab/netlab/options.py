"""The command line of hack/netlab."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

from lab.netlab.schedule import presets

_EXAMPLES = """\
In commands {near} and {far} stand for the addresses of the two ends (IPv6), {near4} and {far4} for
their IPv4 addresses. Commands run in the near end; up is from there to the far end.

examples:
  hack/netlab run branch-office -- ping -c 5 {far}
  hack/netlab run rate-step --far 'iperf3 -s' -- iperf3 -c {far} -R -t 15
  hack/netlab run my-path.toml -- ./my-test {far}
  hack/netlab up satellite              leave it there, and say how to enter it
  hack/netlab down                      remove what up left, and nothing else
  hack/netlab show branch-office        a preset as a file, to begin your own with

a schedule (TOML, or JSON with the same names; all but steps may be left out):
  seed = 1                              the same seed loses the same frames
  repeat = false                        begin anew after the last step
  path = "kernel"                       token buckets of the kernel, for gigabits: all steps have
                                        rate_mbit, and nothing else but queue_ms
  [[steps]]
  seconds = 5                           the last step may leave it out: it holds for good
  rate_mbit = 50                        queue_ms = 50: how long the rate makes a frame wait at most
  delay_ms = 20                         jitter_ms = 5: up to so much more, in order
  loss_percent = 0.1
  reorder_percent = 0.5                 late by reorder_ms = 5
  duplicate_percent = 0.1
  up = { rate_mbit = 10 }               where one direction differs; down likewise
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    action: str
    schedule: str = ""
    far: str = ""
    """A command for the far end, run by the shell."""
    mtu: int = 1500
    command: tuple[str, ...] = ()


def parse(arguments: Sequence[str]) -> Options:
    """Reads the command line; explains itself and exits with status 2 when it cannot be used."""
    parser = argparse.ArgumentParser(
        prog="hack/netlab",
        description="Two network namespaces, and a path between them as bad as you ask for.",
        epilog=f"presets:\n{_presets()}\n\n{_EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="up|down|run|show")
    up = actions.add_parser("up", help="make it and leave it running")
    run = actions.add_parser("run", help="make it, run a command in its near end, remove it")
    show = actions.add_parser("show", help="print a preset or a file once it is checked")
    actions.add_parser("down", help="remove what up left running")
    for action in (up, run, show):
        action.add_argument("schedule", metavar="SCHEDULE", help="a preset or a file")
    for action in (up, run):
        action.add_argument("--mtu", type=_mtu, default=1500, metavar="N", help="bytes (1500)")
    run.add_argument("--far", default="", metavar="COMMAND", help="runs in the far end meanwhile")
    words, _, command = _split(arguments)
    chosen = parser.parse_args(words)
    if (chosen.action == "run") != bool(command):
        run.error("name the command after --, as in: hack/netlab run satellite -- ping {far}")
    return Options(**vars(chosen), command=tuple(command))


def _split(arguments: Sequence[str]) -> tuple[list[str], str, list[str]]:
    words = list(arguments)
    if "--" not in words:
        return words, "", []
    at = words.index("--")
    return words[:at], "--", words[at + 1 :]


def _mtu(text: str) -> int:
    if not text.isdecimal() or not 1280 <= int(text) <= 65_535:
        raise argparse.ArgumentTypeError(f"{text!r}: a number of bytes from 1280 to 65535")
    return int(text)


def _presets() -> str:
    return "\n".join(f"  {name:19} {found.description}" for name, found in presets().items())

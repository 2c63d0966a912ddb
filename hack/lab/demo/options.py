"""The command line of the demonstration."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_EXAMPLES = """\
examples:
  hack/demo                          build what is missing, run everything, clean up
  hack/demo --json                   the same as one JSON object on standard output
  hack/demo --keep                   leave it running, to try any program in the namespaces
  hack/demo --down                   remove what --keep left, and nothing else
  hack/demo --mtu 9000 --pods 4
  hack/demo --path branch-office     the client sits behind a slow line (hack/netlab --help)
  hack/demo --ebpf                   and strict mode, guard and splice in the kernel, AF_XDP
  hack/demo --scenario shard         one of these instead, to be had with --mtu, --json and --keep:
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user asked for."""

    json: bool = False
    keep: bool = False
    down: bool = False
    mtu: int = 1500
    pods: int = 2
    capture: str = "init"
    ebpf: bool = False
    path: str = ""
    """A preset or file of hack/netlab."""
    scenario: str = ""
    """What to show instead; empty: programs over TCP."""


def _bounded(low: int, high: int, unit: str) -> type[int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r}: a number of {unit} from {low} to {high}")
        return value

    return parse  # type: ignore[return-value]


def parse(arguments: Sequence[str], scenarios: Mapping[str, str]) -> Options:
    """Reads the command line; explains itself and exits with status 2 when it cannot be used.

    `scenarios` says of each what it shows.
    """
    listed = "".join(f"    {name:<8} {summary}\n" for name, summary in scenarios.items())
    parser = argparse.ArgumentParser(
        prog="hack/demo",
        description="A STOQ mesh on this machine: unmodified programs, and what crossed the wire.",
        epilog=_EXAMPLES + listed,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--keep", action="store_true", help="leave everything running")
    parser.add_argument("--down", action="store_true", help="remove what --keep left running")
    parser.add_argument("--mtu", type=_bounded(1280, 65535, "bytes"), default=1500, metavar="N")
    parser.add_argument("--pods", type=_bounded(2, 50, "pods"), default=2, metavar="N")
    parser.add_argument(
        "--capture",
        choices=("init", "node"),
        default="init",
        help="who programs nftables: stoq-init, or the control process as the broker",
    )
    parser.add_argument(
        "--ebpf",
        action="store_true",
        help="a node agent captures, keeps the pods strict in the kernel, guards them against a "
        "flood, joins two of them and lends AF_XDP (root, Linux 6.6)",
    )
    parser.add_argument(
        "--path",
        default="",
        metavar="SCHEDULE",
        help="the client's link is such a path of hack/netlab: a preset or a file",
    )
    parser.add_argument(
        "--scenario",
        choices=scenarios,
        default="",
        metavar="NAME",
        help=f"show something else: {', '.join(scenarios)}",
    )
    chosen = parser.parse_args(arguments)
    plain = Options()
    for name in ("pods", "capture", "ebpf", "path"):
        value = getattr(chosen, name)
        if chosen.scenario and value != getattr(plain, name):
            # A scenario has pods, capture and paths of its own.
            said = f"--{name}" if value is True else f"--{name} {value}"
            parser.error(f"--scenario {chosen.scenario} goes without {said}")
    if chosen.ebpf and chosen.capture == "node":
        parser.error("--ebpf goes without --capture node: the node agent captures")
    return Options(**vars(chosen))

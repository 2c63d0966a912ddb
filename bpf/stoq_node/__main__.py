"""`stoq-node`: the command line of the node agent."""

import argparse
import dataclasses
import json
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

from stoq import program
from stoq.settings.options import FILE_VARIABLE, SettingsError, describe
from stoq_kube.apiserver import ApiError
from stoq_node._kernel import KernelError
from stoq_node.agent import serve
from stoq_node.capabilities import Capability, decide
from stoq_node.facts import gather
from stoq_node.pinned import AgentError
from stoq_node.programs import load
from stoq_node.settings import Settings, read
from stoq_node.trace import command as trace
from stoq_node.trial import choice, tried

log: Final = logging.getLogger("stoq.node")

REFUSED: Final = 2
"""Exit status for flags and settings that can not be."""

FAILED: Final = 1
"""Exit status for what the machine refuses."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    flags = _parser().parse_args(arguments)
    try:
        settings = read(os.environ)
        if flags.command == "probe":
            _probe(settings, as_json=flags.json)
        elif flags.command == "settings":
            _settings()
        elif flags.command == "trace":
            trace.run(flags, settings)
        else:
            program.until_told(partial(serve, settings), settings, log)
    except SettingsError as error:
        print(f"stoq-node: {error}", file=sys.stderr)
        return REFUSED
    except (AgentError, ApiError, KernelError, trace.TraceError, OSError) as error:
        print(f"stoq-node: {error}", file=sys.stderr)
        return FAILED
    return 0


def _probe(settings: Settings, *, as_json: bool) -> None:
    where, capture = settings.kernel.pins, tried(settings.capture.namespaces)
    af_xdp = choice(settings.af_xdp.mode, settings.capture.namespaces)
    told = (capture, af_xdp.lacking, af_xdp.chosen)
    facts = gather(where, settings.guard.interface, load(None).refused, *told)
    found = decide(facts)
    if as_json:
        uplink = dataclasses.asdict(facts.uplink) if facts.uplink else None
        capabilities = [dataclasses.asdict(one) for one in found]
        document = {"kernel": facts.release, "uplink": uplink, "capabilities": capabilities}
        print(json.dumps(document, indent=2))
        return
    print(f"kernel {facts.release}, uplink {facts.uplink.name if facts.uplink else 'unknown'}")
    for one in found:
        print(_line(one))


def _line(one: Capability) -> str:
    return f"{one.name:14}  {one.said}"


def _settings() -> None:
    print(f"{FILE_VARIABLE}: a TOML file with tables of these options")
    for variable, default, expects, why in describe(Settings):
        print(f"{variable} (default {default or 'empty'}): {expects}\n    {why}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="stoq-node", description="What the kernel of a node enforces for STOQ mesh."
    )
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    commands.add_parser("run", help="enforce until SIGTERM; what is in force then stays")
    probe = commands.add_parser("probe", help="what this node can do, and why not")
    probe.add_argument("--json", action="store_true", help="for programs")
    trace.add(commands)
    commands.add_parser("settings", help="list all options")
    return parser


if __name__ == "__main__":
    sys.exit(main())
